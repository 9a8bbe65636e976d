//! What it does with a request is said by the request's path.

use log::info;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Trace);
    proxy_wasm::set_root_context(|_| Box::new(Root { config: String::new() }));
}}

struct Root {
    config: String,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_vm_start(&mut self, _: usize) -> bool {
        info!(
            "vm starts with {:?}",
            self.get_vm_configuration().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        );
        true
    }

    fn on_configure(&mut self, _: usize) -> bool {
        let config = self.get_plugin_configuration().unwrap_or_default();
        self.config = String::from_utf8_lossy(&config).into_owned();
        self.config != "refuse"
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream { id, config: self.config.clone(), path: String::new() }))
    }
}

struct Stream {
    id: u32,
    config: String,
    path: String,
}

impl Context for Stream {
    fn on_done(&mut self) -> bool {
        info!("done {}", self.path);
        true
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, count: usize, end: bool) -> Action {
        self.path = self.get_http_request_header(":path").unwrap_or_default();
        self.set_http_request_header("x-count", Some(&format!("{count} {end}")));
        match self.path.as_str() {
            "/rewrite" => {
                self.set_http_request_header(":path", Some("/rewritten?a=b"));
                self.set_http_request_header(":authority", Some("other.example"));
                self.set_http_request_header(":method", Some("PUT"));
            }
            "/headers" => {
                assert_eq!(self.get_http_request_header("missing"), None);
                self.add_http_request_header("x-twice", "1");
                self.add_http_request_header("x-twice", "2");
                self.set_http_request_header("x-gone", None);
                let names: Vec<String> =
                    self.get_http_request_headers().into_iter().map(|(name, _)| name).collect();
                self.set_http_request_header("x-names", Some(&names.join(",")));
            }
            "/replace" => self.set_http_request_headers(vec![("x-only", "this"), (":path", "/replaced")]),
            "/invalid" => self.set_http_request_header("x-bad", Some("line\nbreak")),
            "/local" => self.send_http_response(403, vec![("x-why", "because")], Some(b"not for you")),
            "/local-twice" => {
                self.send_http_response(401, vec![], Some(b"first"));
                self.send_http_response(402, vec![], Some(b"second"));
            }
            "/panic" => panic!("as it was asked"),
            "/loop" => loop {
                std::hint::black_box(0);
            },
            "/pause" => return Action::Pause,
            "/reset" => self.reset_http_request(),
            _ => {}
        }
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        self.add_http_response_header("x-filter", &self.config);
        self.add_http_response_header("x-context", &self.id.to_string());
        // What was sent on can still be read.
        let path = self.get_http_request_header(":path").unwrap_or_default();
        self.add_http_response_header("x-path", &path);
        match self.path.as_str() {
            "/status" => self.set_http_response_header(":status", Some("418")),
            "/late" => self.send_http_response(599, vec![("x-why", "late")], Some(b"in its place")),
            "/reset-late" => self.reset_http_response(),
            "/late-panic" => panic!("as it was asked"),
            "/late-loop" => loop {
                std::hint::black_box(0);
            },
            _ => {}
        }
        Action::Continue
    }

    fn on_http_response_body(&mut self, _: usize, end: bool) -> Action {
        if self.path == "/reset-body" && !end {
            self.reset_http_response();
        }
        Action::Continue
    }

    fn on_log(&mut self) {
        let status = self.get_http_response_header(":status").unwrap_or_default();
        info!("log {} {status}", self.path);
    }
}
