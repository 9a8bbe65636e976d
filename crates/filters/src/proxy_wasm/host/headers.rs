//! Headers, trailers, and what else is a map.
//!
//! A map that does not exist now is empty when it is read, because Rust's SDK takes any other status for the end of
//! the world; writing to one is a bad argument, as in Envoy. So is a name or a value that HTTP does not allow.

use super::memory::{Answer, Guest, Out, bytes, give, split, status, write_u32};
use crate::abi::ProxyAbi;
use crate::proxy_wasm::head::{Fields, Invalid};
use crate::proxy_wasm::map;
use crate::proxy_wasm::state::State;
use crate::proxy_wasm::values::{BAD_ARGUMENT, Map, NOT_FOUND, Status};
use sampan_capabilities::Definer;
use wasmtime::Func;

pub fn function(to: &mut Definer<'_>, name: &str) -> Option<Func> {
    Some(match name {
        "get_header_map_pairs" => {
            to.wrap_async(|mut guest: Guest<'_>, (map, data, size): (u32, u32, u32)| {
                Box::new(async move {
                    let found = split(&mut guest).and_then(|(_, state)| pairs(state, map));
                    give(&mut guest, found, Out { data, size }).await
                })
            })
        }
        "get_header_map_value" => {
            to.wrap_async(|mut guest: Guest<'_>, (map, name, len, data, size): (u32, u32, u32, u32, u32)| {
                Box::new(async move {
                    let found = split(&mut guest)
                        .and_then(|(memory, state)| value(state, map, bytes(memory, name, len)?));
                    give(&mut guest, found, Out { data, size }).await
                })
            })
        }
        "get_header_map_size" => to.wrap(|mut guest: Guest<'_>, map: u32, out: u32| {
            status(split(&mut guest).and_then(|(memory, state)| {
                let map = Map::of(map).ok_or(BAD_ARGUMENT)?;
                let size = state.fields(map).map_or(0, |fields| fields.bytes());
                write_u32(memory, out, size)
            }))
        }),
        "set_header_map_pairs" => to.wrap(|mut guest: Guest<'_>, map: u32, pairs: u32, len: u32| {
            status(split(&mut guest).and_then(|(memory, state)| {
                let pairs = map::decode(bytes(memory, pairs, len)?).ok_or(BAD_ARGUMENT)?;
                written(state, map, |fields| fields.replace(&pairs))
            }))
        }),
        "add_header_map_value" => to.wrap(|guest: Guest<'_>, map: u32, n: u32, nl: u32, v: u32, vl: u32| {
            status(write(guest, map, (n, nl), (v, vl), |fields, name, value| fields.add(name, value)))
        }),
        "replace_header_map_value" => {
            to.wrap(|guest: Guest<'_>, map: u32, n: u32, nl: u32, v: u32, vl: u32| {
                status(write(guest, map, (n, nl), (v, vl), |fields, name, value| fields.set(name, value)))
            })
        }
        "remove_header_map_value" => to.wrap(|guest: Guest<'_>, map: u32, name: u32, len: u32| {
            status(write(guest, map, (name, len), (0, 0), |fields, name, _| {
                fields.delete(name);
                Ok(())
            }))
        }),
        _ => return None,
    })
}

fn pairs(state: &mut State, map: u32) -> Result<Vec<u8>, Status> {
    let map = Map::of(map).ok_or(BAD_ARGUMENT)?;
    Ok(map::encode(&state.fields(map).map(|fields| fields.pairs()).unwrap_or_default()))
}

/// Of a missing name, 0.1.0 gets an empty value.
fn value(state: &mut State, map: u32, name: &[u8]) -> Result<Vec<u8>, Status> {
    let found = Map::of(map).and_then(|map| state.fields(map)?.value(name));
    match state.facts.abi {
        ProxyAbi::V0_1_0 => Ok(found.unwrap_or_default()),
        ProxyAbi::V0_2_0 | ProxyAbi::V0_2_1 => found.ok_or(NOT_FOUND),
    }
}

fn write(
    mut guest: Guest<'_>,
    map: u32,
    (name, name_len): (u32, u32),
    (value, value_len): (u32, u32),
    change: impl FnOnce(&mut dyn Fields, &[u8], &[u8]) -> Result<(), Invalid>,
) -> Answer {
    let (memory, state) = split(&mut guest)?;
    let (name, value) = (bytes(memory, name, name_len)?, bytes(memory, value, value_len)?);
    written(state, map, |fields| change(fields, name, value))
}

fn written(
    state: &mut State,
    map: u32,
    change: impl FnOnce(&mut dyn Fields) -> Result<(), Invalid>,
) -> Answer {
    let fields = Map::of(map).and_then(|map| state.fields(map)).ok_or(BAD_ARGUMENT)?;
    change(fields).map_err(|Invalid| BAD_ARGUMENT)
}
