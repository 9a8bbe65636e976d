//! gRPC.

use super::memory::{Answer, Guest, bytes, split, state, status, write_u32};
use crate::proxy_wasm::grpc::Asked;
use sampan_capabilities::Definer;
use wasmtime::Func;

/// A pointer and a length.
type Text = (u32, u32);

pub fn function(to: &mut Definer<'_>, name: &str) -> Option<Func> {
    Some(match name {
        "grpc_call" => to.wrap(
            |mut guest: Guest<'_>,
             u: u32,
             ul: u32,
             s: u32,
             sl: u32,
             m: u32,
             ml: u32,
             d: u32,
             dl: u32,
             b: u32,
             bl: u32,
             timeout_ms: u32,
             out: u32| {
                let names = [(u, ul), (s, sl), (m, ml), (d, dl)];
                status(begin(&mut guest, names, Some(((b, bl), timeout_ms)), out))
            },
        ),
        "grpc_stream" => to.wrap(
            |mut guest: Guest<'_>, u: u32, ul: u32, s: u32, sl: u32, m: u32, ml: u32, d: u32, dl: u32, out: u32| {
                status(begin(&mut guest, [(u, ul), (s, sl), (m, ml), (d, dl)], None, out))
            },
        ),
        "grpc_send" => to.wrap(|mut guest: Guest<'_>, id: u32, message: u32, len: u32, end: u32| {
            status(split(&mut guest).and_then(|(memory, state)| {
                state.grpc_send(id, bytes(memory, message, len)?, end != 0)
            }))
        }),
        "grpc_cancel" => to.wrap(|mut guest: Guest<'_>, id: u32| status(state(&mut guest).grpc_cancel(id))),
        "grpc_close" => to.wrap(|mut guest: Guest<'_>, id: u32| status(state(&mut guest).grpc_close(id))),
        _ => return None,
    })
}

/// A call where there is a message, or a stream.
fn begin(guest: &mut Guest<'_>, names: [Text; 4], call: Option<(Text, u32)>, out: u32) -> Answer {
    let (memory, state) = split(guest)?;
    write_u32(memory, out, 0)?;
    let [upstream, service, method, metadata] = names;
    let text = |(pointer, len): Text| bytes(memory, pointer, len);
    let asked = Asked {
        upstream: text(upstream)?,
        service: text(service)?,
        method: text(method)?,
        metadata: text(metadata)?,
    };
    let id = match call {
        Some((message, timeout_ms)) => state.grpc_call(&asked, text(message)?, timeout_ms)?,
        None => state.grpc_stream(&asked)?,
    };
    write_u32(memory, out, id)
}
