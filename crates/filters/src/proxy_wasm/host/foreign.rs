//! Functions that are no part of the specification.

use super::memory::{Guest, bytes, place, split, status, write_u32};
use crate::proxy_wasm::foreign;
use crate::proxy_wasm::values::{MEMORY, OK, Status};
use sampan_capabilities::Definer;
use wasmtime::{Func, Result};

pub fn function(to: &mut Definer<'_>, name: &str) -> Option<Func> {
    Some(match name {
        "call_foreign_function" => to.wrap_async(
            |guest: Guest<'_>, (name, name_len, args, len, data, size): (u32, u32, u32, u32, u32, u32)| {
                Box::new(call(guest, (name, name_len), (args, len), data, size))
            },
        ),
        _ => return None,
    })
}

/// A guest that does not want the result gives 0 for where to put it.
async fn call(
    mut guest: Guest<'_>,
    name: (u32, u32),
    arguments: (u32, u32),
    data: u32,
    size: u32,
) -> Result<Status> {
    let guest = &mut guest;
    // Pointers that are wrong are said to be before anything happens.
    let first = told(guest, data, size, 0, 0);
    if first != OK {
        return Ok(first);
    }
    let result = split(guest).and_then(|(memory, state)| {
        let name = bytes(memory, name.0, name.1)?;
        foreign::call(state, name, bytes(memory, arguments.0, arguments.1)?)
    });
    match result {
        Err(status) => Ok(status),
        Ok(result) if result.is_empty() || (data == 0 && size == 0) => Ok(OK),
        Ok(result) => {
            let pointer = place(guest, &result).await?;
            Ok(told(guest, data, size, pointer, result.len() as u32))
        }
    }
}

fn told(guest: &mut Guest<'_>, data: u32, size: u32, pointer: u32, len: u32) -> Status {
    let Ok((memory, _)) = split(guest) else { return MEMORY };
    let mut write = |to: u32, value: u32| if to == 0 { Ok(()) } else { write_u32(memory, to, value) };
    status(write(data, pointer).and_then(|()| write(size, len)))
}
