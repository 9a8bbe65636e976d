//! Calls to others.

use super::memory::{Guest, bytes, split, status, write_u32};
use crate::proxy_wasm::calls::Asked;
use sampan_capabilities::Definer;
use wasmtime::Func;

pub fn function(to: &mut Definer<'_>, name: &str) -> Option<Func> {
    Some(match name {
        "http_call" => to.wrap(http_call),
        _ => return None,
    })
}

#[expect(clippy::too_many_arguments, reason = "the specification has so many")]
fn http_call(
    mut guest: Guest<'_>,
    upstream: u32,
    upstream_len: u32,
    headers: u32,
    headers_len: u32,
    body: u32,
    body_len: u32,
    trailers: u32,
    trailers_len: u32,
    timeout_ms: u32,
    out: u32,
) -> u32 {
    status(split(&mut guest).and_then(|(memory, state)| {
        write_u32(memory, out, 0)?;
        let asked = Asked {
            upstream: bytes(memory, upstream, upstream_len)?,
            headers: bytes(memory, headers, headers_len)?,
            body: bytes(memory, body, body_len)?,
            trailers: bytes(memory, trailers, trailers_len)?,
            timeout_ms,
        };
        let id = state.http_call(&asked)?;
        write_u32(memory, out, id)
    }))
}
