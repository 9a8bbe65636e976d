//! Calls of gRPC.

use super::memory::{Guest, bytes, split, state, status, write_u32};
use crate::proxy_wasm::grpc::{Asked, Kind};
use crate::proxy_wasm::state::State;
use crate::proxy_wasm::values::{BAD_ARGUMENT, Status};
use sampan_capabilities::Definer;
use wasmtime::Func;

pub fn function(to: &mut Definer<'_>, name: &str) -> Option<Func> {
    Some(match name {
        "grpc_call" => to.wrap(grpc_call),
        "grpc_stream" => to.wrap(grpc_stream),
        "grpc_send" => to.wrap(|mut guest: Guest<'_>, id: u32, message: u32, len: u32, end: u32| {
            status(split(&mut guest).and_then(|(memory, state)| {
                state.grpc.send(id, bytes(memory, message, len)?, end != 0).map_err(|one| of(state, id, one))
            }))
        }),
        "grpc_close" => to.wrap(|mut guest: Guest<'_>, id: u32| {
            let state = state(&mut guest);
            status(state.grpc.close(id).map_err(|one| of(state, id, one)))
        }),
        "grpc_cancel" => to.wrap(|mut guest: Guest<'_>, id: u32| {
            let state = state(&mut guest);
            status(state.grpc.cancel(id).map_err(|one| of(state, id, one)))
        }),
        _ => return None,
    })
}

/// A call of HTTP is there, but is none of gRPC.
fn of(state: &State, id: u32, status: Status) -> Status {
    match state.calls.contains_key(&id) || state.after.calls.iter().any(|call| call.id == id) {
        true => BAD_ARGUMENT,
        false => status,
    }
}

#[expect(clippy::too_many_arguments, reason = "the specification has so many")]
fn grpc_call(
    mut guest: Guest<'_>,
    upstream: u32,
    upstream_len: u32,
    service: u32,
    service_len: u32,
    method: u32,
    method_len: u32,
    metadata: u32,
    metadata_len: u32,
    message: u32,
    message_len: u32,
    timeout_ms: u32,
    out: u32,
) -> u32 {
    status(split(&mut guest).and_then(|(memory, state)| {
        write_u32(memory, out, 0)?;
        let asked = Asked {
            upstream: bytes(memory, upstream, upstream_len)?,
            service: bytes(memory, service, service_len)?,
            method: bytes(memory, method, method_len)?,
            metadata: bytes(memory, metadata, metadata_len)?,
            kind: Kind::Call { message: bytes(memory, message, message_len)?, timeout_ms },
        };
        let id = state.grpc(&asked)?;
        write_u32(memory, out, id)
    }))
}

#[expect(clippy::too_many_arguments, reason = "the specification has so many")]
fn grpc_stream(
    mut guest: Guest<'_>,
    upstream: u32,
    upstream_len: u32,
    service: u32,
    service_len: u32,
    method: u32,
    method_len: u32,
    metadata: u32,
    metadata_len: u32,
    out: u32,
) -> u32 {
    status(split(&mut guest).and_then(|(memory, state)| {
        write_u32(memory, out, 0)?;
        let asked = Asked {
            upstream: bytes(memory, upstream, upstream_len)?,
            service: bytes(memory, service, service_len)?,
            method: bytes(memory, method, method_len)?,
            metadata: bytes(memory, metadata, metadata_len)?,
            kind: Kind::Stream,
        };
        let id = state.grpc(&asked)?;
        write_u32(memory, out, id)
    }))
}
