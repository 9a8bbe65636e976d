//! Shared data and queues.

use super::memory::{Answer, Guest, Out, bytes, give, split, state, status, write_u32};
use crate::proxy_wasm::space::queue;
use crate::proxy_wasm::values::{BAD_ARGUMENT, INTERNAL, NOT_FOUND, Status};
use sampan_capabilities::Definer;
use std::sync::Arc;
use wasmtime::Func;

/// A longer key is a mistake.
const KEY_MAX: u32 = 64 << 10;
/// So often a callback may wake those that read queues.
const TOLD_MAX: usize = 16_384;

pub fn function(to: &mut Definer<'_>, name: &str) -> Option<Func> {
    Some(match name {
        "get_shared_data" => {
            to.wrap_async(|mut guest: Guest<'_>, (key, len, data, size, cas): (u32, u32, u32, u32, u32)| {
                Box::new(async move {
                    let found = split(&mut guest).and_then(|(memory, state)| {
                        let key = bytes(memory, key, len)?;
                        let (value, number) = state.calling().space.get(key).ok_or(NOT_FOUND)?;
                        write_u32(memory, cas, number)?;
                        Ok(value)
                    });
                    give(&mut guest, found, Out { data, size }).await
                })
            })
        }
        "set_shared_data" => {
            to.wrap(|mut guest: Guest<'_>, key: u32, key_len: u32, value: u32, len: u32, cas: u32| {
                let set = split(&mut guest).and_then(|(memory, state)| {
                    let key = bytes(memory, key, key_len.min(KEY_MAX + 1))?;
                    if key_len > KEY_MAX {
                        return Err(INTERNAL);
                    }
                    Ok(state.calling().space.set(key, bytes(memory, value, len)?, cas))
                });
                set.unwrap_or_else(|status| status)
            })
        }
        "register_shared_queue" => to.wrap(|mut guest: Guest<'_>, name: u32, len: u32, out: u32| {
            status(register(&mut guest, name, len, out))
        }),
        "resolve_shared_queue" => {
            to.wrap(|mut guest: Guest<'_>, vm: u32, vm_len: u32, name: u32, len: u32, out: u32| {
                status(split(&mut guest).and_then(|(memory, state)| {
                    let (vm, name) = (text(memory, vm, vm_len)?, text(memory, name, len)?);
                    let space = state.calling().space.other(vm).ok_or(NOT_FOUND)?;
                    let queue = space.resolve(name).ok_or(NOT_FOUND)?;
                    write_u32(memory, out, queue)
                }))
            })
        }
        "enqueue_shared_queue" => to.wrap(|mut guest: Guest<'_>, id: u32, item: u32, len: u32| {
            status(split(&mut guest).and_then(|(memory, state)| {
                let told = queue(id)?.push(bytes(memory, item, len)?)?;
                // Whoever takes items out and puts others in is told often enough.
                if state.after.queues.len() < TOLD_MAX {
                    state.after.queues.extend(told.map(|(slot, root)| (slot, root, id)));
                }
                Ok(())
            }))
        }),
        "dequeue_shared_queue" => to.wrap_async(|mut guest: Guest<'_>, (id, data, size): (u32, u32, u32)| {
            Box::new(async move {
                let found = queue(id).and_then(|queue| queue.pop());
                give(&mut guest, found, Out { data, size }).await
            })
        }),
        _ => return None,
    })
}

fn text(memory: &[u8], pointer: u32, len: u32) -> Result<&str, Status> {
    str::from_utf8(bytes(memory, pointer, len)?).map_err(|_| BAD_ARGUMENT)
}

fn register(guest: &mut Guest<'_>, name: u32, len: u32, out: u32) -> Answer {
    let root = state(guest).effective_root();
    let (memory, state) = split(guest)?;
    let name = text(memory, name, len)?;
    if len > KEY_MAX {
        return Err(INTERNAL);
    }
    let space = Arc::clone(&state.calling().space);
    let queue = space.register(name, state.slot.clone(), root).ok_or(INTERNAL)?;
    write_u32(memory, out, queue)
}
