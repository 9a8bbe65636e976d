//! What it does with bodies is said by the configuration: `upper` changes each piece, `whole` waits for all of it and
//! turns it round, `swallow` replaces everything, `local` answers when it has seen the body, `trailers` changes these.

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType};

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Root { config: String::new() }));
}}

struct Root {
    config: String,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _: usize) -> bool {
        let config = self.get_plugin_configuration().unwrap_or_default();
        self.config = String::from_utf8_lossy(&config).into_owned();
        true
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream { config: self.config.clone() }))
    }
}

struct Stream {
    config: String,
}

impl Context for Stream {}

fn reversed(body: Option<Vec<u8>>) -> Vec<u8> {
    body.unwrap_or_default().into_iter().rev().collect()
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, end: bool) -> Action {
        if self.config != "keep-length" {
            self.set_http_request_header("content-length", None);
        }
        match self.config.as_str() {
            "held" if !end => Action::Pause,
            _ => Action::Continue,
        }
    }

    fn on_http_request_body(&mut self, size: usize, end: bool) -> Action {
        match self.config.as_str() {
            "upper" | "keep-length" => {
                let body = self.get_http_request_body(0, size).unwrap_or_default();
                self.set_http_request_body(0, size, &body.to_ascii_uppercase());
            }
            "longer" => self.set_http_request_body(0, 0, b"more "),
            "whole" | "held" if !end => return Action::Pause,
            "whole" | "held" => {
                let body = reversed(self.get_http_request_body(0, size));
                self.set_http_request_body(0, size, &body);
                self.set_http_request_header("x-size", Some(&size.to_string()));
            }
            "local" if end => self.send_http_response(422, vec![], Some(b"seen it all")),
            "panic" => panic!("as it was asked"),
            _ => {}
        }
        Action::Continue
    }

    fn on_http_request_trailers(&mut self, count: usize) -> Action {
        if self.config == "trailers" {
            assert_eq!(self.get_http_request_trailers().len(), count);
            self.add_http_request_trailer("x-added", "to the request");
        }
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        if self.config != "keep-length" {
            self.set_http_response_header("content-length", None);
        }
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, end: bool) -> Action {
        match self.config.as_str() {
            "upper" => {
                let body = self.get_http_response_body(0, size).unwrap_or_default();
                self.set_http_response_body(0, size, &body.to_ascii_uppercase());
            }
            "whole" if !end => return Action::Pause,
            "whole" => {
                let body = reversed(self.get_http_response_body(0, size));
                self.set_http_response_body(0, size, &body);
            }
            "append" if end => self.set_http_response_body(size, 0, b" and more"),
            "late-panic" => panic!("as it was asked"),
            _ => {}
        }
        Action::Continue
    }

    fn on_http_response_trailers(&mut self, _: usize) -> Action {
        if self.config == "trailers" {
            let old = self.get_http_response_trailer("x-sum").unwrap_or_default();
            self.set_http_response_trailer("x-sum", Some(&format!("{old} checked")));
        }
        Action::Continue
    }
}
