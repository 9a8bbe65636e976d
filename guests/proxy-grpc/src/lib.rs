//! Calls a service of gRPC and says in `x-grpc` what came of it. The path is `/KIND/METHOD`: `call` waits for one
//! answer, `stream` sends `one` and `two` and waits for the end, `half` sends nothing and closes its side, `cancel`
//! does not wait, `reply` cancels when the first message has come. `x-upstream` says whom to call, and `x-message`
//! whether that is said in Envoy's way.

use proxy_wasm::hostcalls::get_grpc_status;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType};
use std::time::Duration;

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Root));
}}

struct Root;

impl Context for Root {}

impl RootContext for Root {
    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream::default()))
    }
}

#[derive(Default)]
struct Stream {
    kind: String,
    events: Vec<String>,
}

const SERVICE: &str = "test.Greeter";

impl Stream {
    fn done(&mut self) {
        self.set_http_request_header("x-grpc", Some(&self.events.join("; ")));
        self.resume_http_request();
    }

    fn note(&mut self, event: String) {
        self.events.push(event);
    }
}

fn pairs(fields: Vec<(String, Vec<u8>)>) -> String {
    let mut fields: Vec<String> = fields
        .into_iter()
        .filter(|(name, _)| name.starts_with("x-") || name.starts_with(":") || name.starts_with("grpc-"))
        .map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(&value)))
        .collect();
    fields.sort();
    fields.join(" ")
}

fn status() -> String {
    let (code, message) = get_grpc_status().unwrap();
    format!("{code} {}", message.unwrap_or_default())
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let path = self.get_http_request_header(":path").unwrap();
        let (kind, method) = path[1..].split_once('/').unwrap();
        let mut upstream = self.get_http_request_header("x-upstream").unwrap_or("greeter".into());
        if self.get_http_request_header("x-message").is_some() {
            let len = upstream.len() as u8;
            upstream = String::from_utf8([b"\x0a", &[len + 2, 0x0a, len][..], upstream.as_bytes()].concat())
                .unwrap();
        }
        self.kind = kind.to_owned();
        let metadata = vec![("x-by", &b"filter"[..])];
        let timeout = Duration::from_millis(if method == "Slow" { 5 } else { 10_000 });
        let opened = match kind {
            "call" => self.dispatch_grpc_call(&upstream, SERVICE, method, metadata, Some(b"hello"), timeout),
            _ => self.open_grpc_stream(&upstream, SERVICE, method, metadata),
        };
        let Ok(id) = opened else {
            self.set_http_request_header("x-grpc", Some(&format!("{opened:?}")));
            return Action::Continue;
        };
        match kind {
            "stream" => {
                self.send_grpc_stream_message(id, Some(b"one"), false);
                self.send_grpc_stream_message(id, Some(b"two"), true);
            }
            "reply" => self.send_grpc_stream_message(id, Some(b"one"), false),
            "half" => self.close_grpc_stream(id),
            "cancel" => {
                self.cancel_grpc_stream(id);
                self.set_http_request_header("x-grpc", Some("cancelled"));
                return Action::Continue;
            }
            _ => {}
        }
        Action::Pause
    }
}

impl Context for Stream {
    fn on_grpc_call_response(&mut self, _: u32, code: u32, size: usize) {
        let message = self.get_grpc_call_response_body(0, size).unwrap_or_default();
        self.note(format!("{code} {}", String::from_utf8_lossy(&message)));
        self.note(status());
        self.done();
    }

    fn on_grpc_stream_initial_metadata(&mut self, _: u32, count: u32) {
        let fields = self.get_grpc_stream_initial_metadata();
        assert_eq!(fields.len(), count as usize);
        self.note(format!("initial {}", pairs(fields)));
    }

    fn on_grpc_stream_message(&mut self, id: u32, size: usize) {
        let message = self.get_grpc_stream_message(0, size).unwrap_or_default();
        self.note(format!("message {}", String::from_utf8_lossy(&message)));
        if self.kind == "reply" {
            self.cancel_grpc_stream(id);
            self.done();
        }
    }

    fn on_grpc_stream_trailing_metadata(&mut self, _: u32, count: u32) {
        let fields = self.get_grpc_stream_trailing_metadata();
        assert_eq!(fields.len(), count as usize);
        self.note(format!("trailing {}", pairs(fields)));
    }

    fn on_grpc_stream_close(&mut self, _: u32, code: u32) {
        self.note(format!("close {code}"));
        self.note(status());
        self.done();
    }
}
