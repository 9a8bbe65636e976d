//! The guest's memory: what it points at, and how it gets what the host returns.

use crate::proxy_wasm::state::State;
use crate::proxy_wasm::values::{MEMORY, OK, Status};
use crate::proxy_wasm::vm::state_of;
use sampan_capabilities::Host;
use wasmtime::{Caller, Extern, Memory, Result, TypedFunc, bail};

pub type Guest<'a> = Caller<'a, Host>;

/// A host function's work: its status, or an error that ends the guest.
pub type Answer = std::result::Result<(), Status>;

/// Of an answer, what the guest gets.
pub fn status(answer: Answer) -> Status {
    match answer {
        Ok(()) => OK,
        Err(status) => status,
    }
}

pub fn state<'a>(guest: &'a mut Guest<'_>) -> &'a mut State {
    state_of(guest.data_mut())
}

/// The guest's bytes beside the state.
pub fn split<'a>(guest: &'a mut Guest<'_>) -> std::result::Result<(&'a mut [u8], &'a mut State), Status> {
    let memory = memory(guest).ok_or(MEMORY)?;
    let (bytes, host) = memory.data_and_store_mut(guest);
    Ok((bytes, state_of(host)))
}

fn memory(guest: &mut Guest<'_>) -> Option<Memory> {
    if let Some(memory) = state(guest).memory {
        return Some(memory);
    }
    // In a start section the exports were not looked up yet.
    match guest.get_export("memory") {
        Some(Extern::Memory(memory)) => Some(memory),
        _ => None,
    }
}

pub fn bytes(memory: &[u8], pointer: u32, len: u32) -> std::result::Result<&[u8], Status> {
    memory.get(pointer as usize..).and_then(|rest| rest.get(..len as usize)).ok_or(MEMORY)
}

pub fn write_u32(memory: &mut [u8], pointer: u32, value: u32) -> Answer {
    write(memory, pointer, &value.to_le_bytes())
}

pub fn write_u64(memory: &mut [u8], pointer: u32, value: u64) -> Answer {
    write(memory, pointer, &value.to_le_bytes())
}

fn write(memory: &mut [u8], pointer: u32, value: &[u8]) -> Answer {
    let to = memory.get_mut(pointer as usize..).and_then(|rest| rest.get_mut(..value.len()));
    to.ok_or(MEMORY)?.copy_from_slice(value);
    Ok(())
}

/// Where a function puts what it returns: pointers to a pointer and a size.
#[derive(Clone, Copy)]
pub struct Out {
    pub data: u32,
    pub size: u32,
}

/// Hands bytes to the guest, in memory that it allocates itself and will free.
///
/// # Errors
///
/// Ends the guest where its allocator does not work: there is no status for it.
pub async fn give(
    guest: &mut Guest<'_>,
    found: std::result::Result<Vec<u8>, Status>,
    out: Out,
) -> Result<Status> {
    let bytes = match found {
        Ok(bytes) => bytes,
        Err(status) => return Ok(status),
    };
    let writable = |memory: &mut [u8], pointer: u32, size: u32| {
        status(write_u32(memory, out.data, pointer).and_then(|()| write_u32(memory, out.size, size)))
    };
    // Before anything is allocated: pointers that are wrong are said to be.
    let first = match split(guest) {
        Ok((memory, _)) => writable(memory, 0, 0),
        Err(status) => status,
    };
    if first != OK || bytes.is_empty() {
        return Ok(first);
    }
    let pointer = place(guest, &bytes).await?;
    // Memory may have moved meanwhile.
    Ok(match split(guest) {
        Ok((memory, _)) => writable(memory, pointer, bytes.len() as u32),
        Err(status) => status,
    })
}

/// Bytes in memory that the guest allocates.
pub async fn place(guest: &mut Guest<'_>, bytes: &[u8]) -> Result<u32> {
    let Some(allocate) = allocator(guest) else {
        bail!("it wants bytes from the host but exports neither proxy_on_memory_allocate nor malloc");
    };
    let len = bytes.len() as u32;
    let pointer = allocate.call_async(&mut *guest, len).await?;
    let memory = split(guest).map(|(memory, _)| memory).unwrap_or_default();
    let to = memory.get_mut(pointer as usize..).and_then(|rest| rest.get_mut(..bytes.len()));
    match to.filter(|_| pointer != 0) {
        Some(to) => to.copy_from_slice(bytes),
        None => bail!("its allocator was asked for {len} bytes and returned the wrong address {pointer}"),
    }
    Ok(pointer)
}

fn allocator(guest: &mut Guest<'_>) -> Option<TypedFunc<u32, u32>> {
    if let Some(allocate) = state(guest).allocate.clone() {
        return Some(allocate);
    }
    ["proxy_on_memory_allocate", "malloc"].into_iter().find_map(|name| match guest.get_export(name) {
        Some(Extern::Func(function)) => function.typed(&*guest).ok(),
        _ => None,
    })
}
