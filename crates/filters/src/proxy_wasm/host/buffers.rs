//! Bodies, configurations, and what else is a buffer.

use super::memory::{Guest, Out, bytes, give, split, status, write_u32};
use crate::proxy_wasm::state::State;
use crate::proxy_wasm::values::{BAD_ARGUMENT, Buffer, INTERNAL, NOT_FOUND, Status};
use sampan_capabilities::Definer;
use wasmtime::Func;

pub fn function(to: &mut Definer<'_>, name: &str) -> Option<Func> {
    Some(match name {
        "get_buffer_bytes" => to.wrap_async(
            |mut guest: Guest<'_>, (buffer, start, max, data, size): (u32, u32, u32, u32, u32)| {
                Box::new(async move {
                    let found = split(&mut guest).and_then(|(_, state)| get(state, buffer, start, max));
                    give(&mut guest, found, Out { data, size }).await
                })
            },
        ),
        // 0.1.0's way to read what `on_configure` or `on_vm_start` is about.
        "get_configuration" => to.wrap_async(|mut guest: Guest<'_>, (data, size): (u32, u32)| {
            Box::new(async move {
                let found = split(&mut guest).and_then(|(_, state)| {
                    let buffer = if state.starting { Buffer::VmConfig } else { Buffer::PluginConfig };
                    state.buffer(buffer, 0, usize::MAX).ok_or(NOT_FOUND)
                });
                give(&mut guest, found, Out { data, size }).await
            })
        }),
        "get_buffer_status" => to.wrap(|mut guest: Guest<'_>, buffer: u32, size: u32, flags: u32| {
            status(split(&mut guest).and_then(|(memory, state)| {
                let buffer = Buffer::of(buffer).ok_or(BAD_ARGUMENT)?;
                let len = state.buffer_len(buffer).ok_or(NOT_FOUND)?;
                write_u32(memory, size, len as u32)?;
                write_u32(memory, flags, 0)
            }))
        }),
        "set_buffer_bytes" => {
            to.wrap(|mut guest: Guest<'_>, buffer: u32, start: u32, len: u32, data: u32, size: u32| {
                status(split(&mut guest).and_then(|(memory, state)| {
                    let data = bytes(memory, data, size)?;
                    let buffer = Buffer::of(buffer).ok_or(BAD_ARGUMENT)?;
                    let limit = usize::try_from(state.calling().code.spec.buffer_bytes).unwrap_or(usize::MAX);
                    let body = state.body(buffer).ok_or(NOT_FOUND)?;
                    let whole = body.len();
                    let removed = if start == 0 { whole.min(len as usize) } else { 0 };
                    // What has come may be longer than what the guest may make of it.
                    if whole - removed + data.len() > limit.max(whole) {
                        return Err(INTERNAL);
                    }
                    let done = body.set(start as usize, len as usize, data);
                    done.then_some(()).ok_or(BAD_ARGUMENT)
                }))
            })
        }
        _ => return None,
    })
}

fn get(state: &mut State, buffer: u32, start: u32, max: u32) -> Result<Vec<u8>, Status> {
    let buffer = Buffer::of(buffer).ok_or(BAD_ARGUMENT)?;
    state.buffer(buffer, start as usize, max as usize).ok_or(NOT_FOUND)
}
