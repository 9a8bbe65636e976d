//! Functions that hosts have beyond the specification, by name: here those of Envoy that mean something elsewhere.

use super::memory::{Guest, Out, bytes, give, place, split, write_u32};
use crate::proxy_wasm::values::{NOT_FOUND, OK, Status};
use sampan_capabilities::Definer;
use wasmtime::Func;

pub fn function(to: &mut Definer<'_>, name: &str) -> Option<Func> {
    Some(match name {
        "call_foreign_function" => to.wrap_async(
            |mut guest: Guest<'_>, (name, len, args, args_len, data, size): (u32, u32, u32, u32, u32, u32)| {
                Box::new(async move {
                    let found = split(&mut guest).and_then(|(memory, _)| {
                        call(bytes(memory, name, len)?, bytes(memory, args, args_len)?)
                    });
                    returned(&mut guest, found, Out { data, size }).await
                })
            },
        ),
        _ => return None,
    })
}

fn call(name: &[u8], _: &[u8]) -> Result<Vec<u8>, Status> {
    match name {
        // The route has been chosen by then and is not chosen again.
        b"clear_route_cache" => Ok(Vec::new()),
        _ => Err(NOT_FOUND),
    }
}

/// Here a guest may say that it does not want to know, with pointers that are 0.
async fn returned(guest: &mut Guest<'_>, found: Result<Vec<u8>, Status>, out: Out) -> wasmtime::Result<Status> {
    match (found, out) {
        (Err(status), _) => Ok(status),
        (found, Out { data: 1.., size: 1.. }) => give(guest, found, out).await,
        (Ok(bytes), Out { data: 1.., .. }) if !bytes.is_empty() => {
            let pointer = place(guest, &bytes).await?;
            let written = split(guest).and_then(|(memory, _)| write_u32(memory, out.data, pointer));
            Ok(super::memory::status(written))
        }
        (Ok(bytes), Out { size: 1.., .. }) => {
            let written = split(guest).and_then(|(memory, _)| write_u32(memory, out.size, bytes.len() as u32));
            Ok(super::memory::status(written))
        }
        (Ok(_), _) => Ok(OK),
    }
}
