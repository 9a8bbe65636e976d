//! A web application firewall of real size as a proxy-wasm filter: libinjection reads the parameters of the query, the
//! headers that are named in its configuration, and the fields of forms and JSON bodies.
//!
//! Configuration, in JSON: `{"mode": "block" | "report", "headers": ["user-agent"], "body_max": 65536}`. In the mode
//! `report` a request goes on, with the header `x-waf` for what its head has; for a body that is too late.

use percent_encoding::percent_decode;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};
use serde_json::Value;
use std::borrow::Cow;
use std::rc::Rc;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Root { config: Rc::default(), found: None }));
}}

#[derive(Default)]
struct Config {
    report: bool,
    headers: Vec<String>,
    body_max: usize,
}

impl Config {
    fn read(text: &[u8]) -> Result<Config, String> {
        let value: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let mut config = Config::default();
        for (key, value) in value.as_object().ok_or("it is no object")? {
            match (&**key, value) {
                ("mode", Value::String(mode)) if mode == "block" || mode == "report" => {
                    config.report = mode == "report";
                }
                ("headers", Value::Array(names)) => {
                    config.headers = names.iter().filter_map(Value::as_str).map(str::to_owned).collect();
                }
                ("body_max", Value::Number(size)) => {
                    config.body_max = size.as_u64().and_then(|size| size.try_into().ok()).unwrap_or_default();
                }
                (key, value) => return Err(format!("`{key}` is not to be {value}")),
            }
        }
        Ok(config)
    }
}

struct Root {
    config: Rc<Config>,
    found: Option<u32>,
}

struct Stream {
    config: Rc<Config>,
    found: Option<u32>,
    kind: String,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        let text = self.get_plugin_configuration().unwrap_or_default();
        match Config::read(&text) {
            Ok(config) => self.config = Rc::new(config),
            Err(error) => {
                log::error!("the configuration: {error}");
                return false;
            }
        }
        let metric =
            proxy_wasm::hostcalls::define_metric(proxy_wasm::types::MetricType::Counter, "waf_found");
        self.found = metric.ok();
        true
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        let Root { config, found } = self;
        Some(Box::new(Stream { config: Rc::clone(config), found: *found, kind: String::new() }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _count: usize, _end: bool) -> Action {
        self.kind = self.get_http_request_header("content-type").unwrap_or_default();
        let path = self.get_http_request_header(":path").unwrap_or_default();
        let query = path.split_once('?').map_or("", |(_, query)| query);
        let found = attack_in_form(query.as_bytes()).or_else(|| {
            let values = self.config.headers.iter().filter_map(|name| self.get_http_request_header(name));
            values.map(|value| attack_in(value.as_bytes())).find_map(|found| found)
        });
        if let Some(found) = found.filter(|_| self.config.report) {
            self.add_http_request_header("x-waf", found);
        }
        self.judge(found)
    }

    fn on_http_request_body(&mut self, size: usize, end: bool) -> Action {
        if size > self.config.body_max {
            self.send_http_response(413, vec![], Some(b"The body is too large to be read.\n"));
            return Action::Pause;
        }
        if !end {
            return Action::Pause;
        }
        let body = self.get_http_request_body(0, size).unwrap_or_default();
        let found = if self.kind.starts_with("application/x-www-form-urlencoded") {
            attack_in_form(&body)
        } else if self.kind.starts_with("application/json") {
            serde_json::from_slice(&body).ok().and_then(|value| attack_in_json(&value))
        } else {
            None
        };
        self.judge(found)
    }
}

impl Stream {
    fn judge(&mut self, found: Option<&'static str>) -> Action {
        let Some(found) = found else { return Action::Continue };
        log::warn!("found {found}");
        if let Some(metric) = self.found {
            // Without the metric the request is refused all the same.
            let _ = proxy_wasm::hostcalls::increment_metric(metric, 1);
        }
        if self.config.report {
            return Action::Continue;
        }
        let body = format!("Refused: {found}.\n");
        self.send_http_response(403, vec![("content-type", "text/plain")], Some(body.as_bytes()));
        Action::Pause
    }
}

fn attack_in(bytes: &[u8]) -> Option<&'static str> {
    if libinjectionrs::detect_sqli(bytes).is_injection() {
        Some("SQL injection")
    } else if libinjectionrs::detect_xss(bytes).is_injection() {
        Some("cross-site scripting")
    } else {
        None
    }
}

/// Names and values, as in queries and forms.
fn attack_in_form(text: &[u8]) -> Option<&'static str> {
    text.split(|byte| *byte == b'&' || *byte == b'=').find_map(|part| {
        let spaced: Vec<u8> = part.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
        attack_in(&Cow::from(percent_decode(&spaced)))
    })
}

fn attack_in_json(value: &Value) -> Option<&'static str> {
    match value {
        Value::String(text) => attack_in(text.as_bytes()),
        Value::Array(values) => values.iter().find_map(attack_in_json),
        Value::Object(fields) => fields
            .iter()
            .find_map(|(name, value)| attack_in(name.as_bytes()).or_else(|| attack_in_json(value))),
        _ => None,
    }
}
