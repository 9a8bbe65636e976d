//! What the ABIs share that see an exchange as a head and a body: http-wasm, Easegress and middleware.

pub mod headers;
pub mod memory;
pub mod outgoing;
pub mod pool;
pub mod source;

use crate::code::Code;
use http::{Response, StatusCode};
use sampan_runtime::serve::failure_response;
use sampan_service::Body;

/// The answer where a filter failed and the exchange must not go on without it, or where there is no place for it.
pub fn unavailable() -> Response<Body> {
    failure_response(StatusCode::SERVICE_UNAVAILABLE)
}

/// Notes that there was no place for an exchange in time.
pub fn no_place(code: &Code) -> Response<Body> {
    code.metrics.failed("no_place");
    unavailable()
}

/// Whether a response has no body whatever was written (RFC 9110, section 6.4.1).
pub fn is_bodyless(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}
