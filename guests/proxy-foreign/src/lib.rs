//! Calls the foreign function that the path names with the request's body, and answers with what it returns.
//! `x-set: NAME=VALUE,…` sets properties afterwards, `x-get: PATH` reads one.

use proxy_wasm::hostcalls::{call_foreign_function, get_property};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType};

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Root));
}}

// The SDK ends where it is not 0.
#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_set_property(path: *const u8, path_len: usize, value: *const u8, value_len: usize) -> u32;
}

struct Root;

impl Context for Root {}

impl RootContext for Root {
    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream))
    }
}

struct Stream;

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_body(&mut self, size: usize, end: bool) -> Action {
        if !end {
            return Action::Pause;
        }
        let path = self.get_http_request_header(":path").unwrap();
        let arguments = self.get_http_request_body(0, size).unwrap_or_default();
        let called = call_foreign_function(&path[1..], Some(&arguments));
        let mut set = String::new();
        for pair in self.get_http_request_header("x-set").unwrap_or_default().split_terminator(',') {
            let (name, value) = pair.split_once('=').unwrap();
            // SAFETY: both are there for as long as the call takes.
            let status =
                unsafe { proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len()) };
            set.push_str(&format!("{status} "));
        }
        let wanted = self.get_http_request_header("x-get").unwrap_or_default();
        let value = get_property(wanted.split('/').collect()).unwrap();
        let value = value.map_or("-".into(), |value| String::from_utf8(value).unwrap());
        let status = format!("{:?}", called.as_ref().map(drop));
        let headers = vec![("x-status", status.as_str()), ("x-set", set.trim_end()), ("x-value", &value)];
        self.send_http_response(200, headers, called.ok().flatten().as_deref());
        Action::Pause
    }
}
