//! Reads the properties that `x-ask` names (paths with slashes, blanks between them) in each callback, and tells them
//! in hexadecimal digits: in the request's `x-at-request`, the response's `x-at-response`, and a line of the log.
//! `x-expression` is created, evaluated twice and deleted. `/denied` is answered here, with details.

use log::info;
use proxy_wasm::hostcalls::call_foreign_function;
use proxy_wasm::traits::{Context, HttpContext, RootContext, StreamContext};
use proxy_wasm::types::{Action, ContextType, LogLevel, Status};

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    // The SDK's has no details.
    fn proxy_send_local_response(
        code: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc: i32,
    ) -> u32;
}

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Trace);
    proxy_wasm::set_root_context(|_| Box::new(Root { tcp: false }));
}}

struct Root {
    tcp: bool,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _: usize) -> bool {
        self.tcp = self.get_plugin_configuration().is_some_and(|config| config == b"tcp");
        true
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(if self.tcp { ContextType::StreamContext } else { ContextType::HttpContext })
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream { ask: String::new() }))
    }

    fn create_stream_context(&self, _: u32) -> Option<Box<dyn StreamContext>> {
        Some(Box::new(Stream { ask: "connection/requested_server_name connection/tls_version".into() }))
    }
}

struct Stream {
    ask: String,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Stream {
    fn told(&self) -> String {
        let one = |path: &str| {
            let found = self.get_property(path.split('/').collect());
            found.map_or("-".to_owned(), |value| format!("={}", hex(&value)))
        };
        self.ask.split(' ').filter(|path| !path.is_empty()).map(one).collect::<Vec<_>>().join(" ")
    }
}

/// What each step led to: the value twice, and what evaluating leads to when the expression is deleted.
fn evaluated(expression: &str) -> String {
    let shown = |result: Result<Option<Vec<u8>>, Status>| match result {
        Ok(value) => format!("={}", hex(&value.unwrap_or_default())),
        Err(status) => format!("{status:?}"),
    };
    let token = match call_foreign_function("expr_create", Some(expression.as_bytes())) {
        Ok(token) => token.unwrap_or_default(),
        Err(status) => return format!("{status:?}"),
    };
    let mut steps: Vec<String> =
        (0..2).map(|_| shown(call_foreign_function("expr_evaluate", Some(&token)))).collect();
    steps.push(shown(call_foreign_function("expr_delete", Some(&token))));
    steps.push(shown(call_foreign_function("expr_evaluate", Some(&token))));
    steps.join(" ")
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        self.ask = self.get_http_request_header("x-ask").unwrap_or_default();
        if let Some(expression) = self.get_http_request_header("x-expression") {
            self.set_property(vec!["mine"], Some(b"set"));
            self.set_http_request_header("x-evaluated", Some(&evaluated(&expression)));
        }
        self.set_http_request_header("x-at-request", Some(&self.told()));
        if self.get_http_request_header(":path").as_deref() == Some("/denied") {
            let (details, body) = ("rbac_denied", "no\n");
            // SAFETY: the pointers are of what lives until the call has returned.
            let status = unsafe {
                let (details, details_size) = (details.as_ptr(), details.len());
                let (body, body_size) = (body.as_ptr(), body.len());
                proxy_send_local_response(
                    403,
                    details,
                    details_size,
                    body,
                    body_size,
                    std::ptr::null(),
                    0,
                    -1,
                )
            };
            assert_eq!(status, 0);
            return Action::Pause;
        }
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        let told = self.told();
        self.add_http_response_header("x-at-response", &told);
        Action::Continue
    }

    fn on_log(&mut self) {
        info!("at the end: {}", self.told());
    }
}

impl StreamContext for Stream {
    fn on_new_connection(&mut self) -> Action {
        info!("a connection: {}", self.told());
        Action::Continue
    }
}
