//! Properties: attributes of the exchange, and what filters set for each other.

use super::memory::{Guest, Out, bytes, give, split, status};
use crate::proxy_wasm::attributes;
use crate::proxy_wasm::state::State;
use crate::proxy_wasm::values::{BAD_ARGUMENT, INTERNAL, NOT_FOUND, OK, Status};
use sampan_capabilities::Definer;
use std::sync::PoisonError;
use wasmtime::Func;

/// What filters may set for an exchange.
const SET_MAX: usize = 256;
const SET_BYTES_MAX: usize = 256 << 10;

pub fn function(to: &mut Definer<'_>, name: &str) -> Option<Func> {
    Some(match name {
        "get_property" => {
            to.wrap_async(|mut guest: Guest<'_>, (path, len, data, size): (u32, u32, u32, u32)| {
                Box::new(async move {
                    let found = split(&mut guest).and_then(|(memory, state)| {
                        let path = trimmed(bytes(memory, path, len)?);
                        // Envoy keeps what filters set under this name.
                        let path = path.strip_prefix(b"filter_state\0wasm.").unwrap_or(path);
                        let found = attributes::get(state, path, memory.len());
                        found.map(|found| found.encode()).ok_or(NOT_FOUND)
                    });
                    give(&mut guest, found, Out { data, size }).await
                })
            })
        }
        "set_property" => to.wrap(|mut guest: Guest<'_>, path: u32, len: u32, value: u32, value_len: u32| {
            status(split(&mut guest).and_then(|(memory, state)| {
                let (path, value) = (bytes(memory, path, len)?, bytes(memory, value, value_len)?);
                match set(state, trimmed(path), value) {
                    OK => Ok(()),
                    status => Err(status),
                }
            }))
        }),
        _ => return None,
    })
}

/// Some SDKs end the last part too.
fn trimmed(path: &[u8]) -> &[u8] {
    path.strip_suffix(b"\0").unwrap_or(path)
}

pub fn set(state: &mut State, path: &[u8], value: &[u8]) -> Status {
    let State { streams, roots, effective, .. } = state;
    let Some(stream) = streams.get_mut(effective) else { return NOT_FOUND };
    let properties = stream.properties.get_or_insert_default();
    let mut properties = properties.lock().unwrap_or_else(PoisonError::into_inner);
    let full = properties.len() >= SET_MAX && !properties.contains_key(path);
    let others = properties.iter().filter(|(name, _)| *name != path);
    let bytes: usize = others.map(|(name, value)| name.len() + value.len()).sum();
    if full || bytes + path.len() + value.len() > SET_BYTES_MAX {
        return INTERNAL;
    }
    let once = roots.get(&stream.root).and_then(|root| root.declared.get(path)).is_some_and(|once| *once);
    if once && properties.contains_key(path) {
        return BAD_ARGUMENT;
    }
    properties.insert(path.to_vec(), value.to_vec());
    OK
}
