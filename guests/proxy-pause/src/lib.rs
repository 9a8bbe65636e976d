//! Waits with a request: `/call` for an answer of `other`, `/call-missing` for one of an upstream that does not exist,
//! `/tick` for the next tick, `/ever` for ever. `/response` waits with the response.

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType};
use std::cell::RefCell;
use std::time::Duration;

thread_local! {
    static WAITING: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
}

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Root));
}}

struct Root;

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _: usize) -> bool {
        self.set_tick_period(Duration::from_millis(2));
        true
    }

    fn on_tick(&mut self) {
        for context in WAITING.take() {
            // A stream may have gone meanwhile.
            if hostcalls::set_effective_context(context).is_ok() {
                let _ = hostcalls::resume_http_request();
                let _ = hostcalls::resume_http_response();
            }
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream { id, path: String::new() }))
    }
}

struct Stream {
    id: u32,
    path: String,
}

impl Context for Stream {
    fn on_http_call_response(&mut self, _: u32, headers: usize, body: usize, trailers: usize) {
        let status = self.get_http_call_response_header(":status").unwrap_or_default();
        let text = self.get_http_call_response_body(0, body).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        match self.path.as_str() {
            "/call-local" => self.send_http_response(429, vec![("x-call", &status)], Some(text.as_bytes())),
            _ => {
                self.set_http_request_header(
                    "x-call",
                    Some(&format!("{} {status} {text} {trailers}", headers > 0)),
                );
                self.resume_http_request();
            }
        }
    }
}

impl Stream {
    fn call(&self, upstream: &str) -> bool {
        let headers = vec![
            (":method", "POST"),
            (":path", "/asked"),
            (":authority", "other.example"),
            ("x-by", "filter"),
        ];
        self.dispatch_http_call(upstream, headers, Some(b"question"), vec![], Duration::from_millis(500))
            .is_ok()
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        self.path = self.get_http_request_header(":path").unwrap_or_default();
        match self.path.as_str() {
            "/call" | "/call-local" => {
                self.call("other");
                Action::Pause
            }
            "/call-slow" => {
                self.call("slow");
                Action::Pause
            }
            "/call-missing" => {
                let done = self.call("missing");
                self.set_http_request_header("x-called", Some(&done.to_string()));
                Action::Continue
            }
            "/tick" => {
                WAITING.with_borrow_mut(|waiting| waiting.push(self.id));
                Action::Pause
            }
            "/now" => {
                self.resume_http_request();
                Action::Pause
            }
            "/ever" => Action::Pause,
            _ => Action::Continue,
        }
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        match self.path.as_str() {
            "/response" => {
                WAITING.with_borrow_mut(|waiting| waiting.push(self.id));
                Action::Pause
            }
            _ => Action::Continue,
        }
    }
}
