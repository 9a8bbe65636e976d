//! A proxy-wasm filter by the Rust SDK. It does what every filter in guests/polyglot does; README.md there says
//! what that is.

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};

const LANGUAGE: &str = "rust";

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Root { greeting: String::new() }));
}}

struct Root {
    greeting: String,
}

struct Stream {
    greeting: String,
    is_text: bool,
}

fn text(bytes: Option<Vec<u8>>) -> String {
    String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
}

fn log(message: &str) {
    // A filter that cannot log goes on.
    let _ = proxy_wasm::hostcalls::log(LogLevel::Info, message);
}

impl Context for Root {}

impl RootContext for Root {
    fn on_vm_start(&mut self, _size: usize) -> bool {
        log(&format!("{LANGUAGE}: started with `{}`", text(self.get_vm_configuration())));
        true
    }

    fn on_configure(&mut self, _size: usize) -> bool {
        let configuration = text(self.get_plugin_configuration());
        log(&format!("{LANGUAGE}: configured with `{configuration}`"));
        self.greeting = if configuration.is_empty() { "world!".to_owned() } else { configuration };
        self.greeting != "refuse"
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream { greeting: self.greeting.clone(), is_text: false }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _count: usize, _end: bool) -> Action {
        self.add_http_request_header("x-added", LANGUAGE);
        self.set_http_request_header("x-replaced", Some(LANGUAGE));
        self.set_http_request_header("x-removed", None);
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _count: usize, _end: bool) -> Action {
        self.add_http_response_header("hello", &self.greeting);
        self.set_http_response_header("x-wasm-processed", Some(LANGUAGE));
        let kind = self.get_http_response_header("content-type").unwrap_or_default();
        self.is_text = kind.starts_with("text/plain");
        if self.is_text {
            self.set_http_response_header("content-length", None);
        }
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, end: bool) -> Action {
        if !self.is_text {
            return Action::Continue;
        }
        if !end {
            return Action::Pause;
        }
        let mut body = self.get_http_response_body(0, size).unwrap_or_default();
        body.make_ascii_uppercase();
        body.extend_from_slice(format!(" by {LANGUAGE}").as_bytes());
        self.set_http_response_body(0, size, &body);
        Action::Continue
    }
}
