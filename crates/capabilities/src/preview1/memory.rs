//! Checked access to a guest's memory.

use super::Errno;
use crate::Host;
use crate::sockets::host::wire::{self, Span};
use wasmtime::{AsContextMut, Caller, Extern, Result, bail};
use wasmtime_wasi::p1::wasi_snapshot_preview1::WasiSnapshotPreview1;

/// Most iovecs of one call, as on Linux.
const MAX_IOVECS: u32 = 1024;

/// The memory of the guest that calls, and its capabilities.
pub fn guest<'a>(caller: &'a mut Caller<'_, Host>) -> Result<(&'a mut [u8], &'a mut Host)> {
    let fuel = caller.as_context_mut().hostcall_fuel();
    match caller.get_export("memory") {
        Some(Extern::Memory(memory)) => {
            let (memory, host) = memory.data_and_store_mut(caller);
            // Bounds what wasmtime-wasi copies out of the guest's memory in one call.
            host.preview1.wasi.set_hostcall_fuel(fuel);
            Ok((memory, host))
        }
        Some(Extern::SharedMemory(_)) => bail!("the module's memory is shared; threads are not supported"),
        _ => bail!("the module exports no memory named `memory`, which a WASI module must"),
    }
}

pub fn bytes(memory: &[u8], pointer: u32, len: u32) -> Result<&[u8], Errno> {
    memory.get(pointer as usize..).and_then(|rest| rest.get(..len as usize)).ok_or(Errno::FAULT)
}

pub fn bytes_mut(memory: &mut [u8], pointer: u32, len: u32) -> Result<&mut [u8], Errno> {
    memory.get_mut(pointer as usize..).and_then(|rest| rest.get_mut(..len as usize)).ok_or(Errno::FAULT)
}

/// The bytes of a struct or an array of structs, which must be aligned.
pub fn aligned(memory: &[u8], pointer: u32, len: u32, align: u32) -> Result<&[u8], Errno> {
    if !pointer.is_multiple_of(align) {
        return Err(Errno::ADDRNOTAVAIL);
    }
    bytes(memory, pointer, len)
}

pub fn aligned_mut(memory: &mut [u8], pointer: u32, len: u32, align: u32) -> Result<&mut [u8], Errno> {
    if !pointer.is_multiple_of(align) {
        return Err(Errno::ADDRNOTAVAIL);
    }
    bytes_mut(memory, pointer, len)
}

pub fn read_u32(memory: &[u8], pointer: u32) -> Result<u32, Errno> {
    let bytes = aligned(memory, pointer, 4, 4)?;
    bytes.first_chunk().map(|bytes| u32::from_le_bytes(*bytes)).ok_or(Errno::FAULT)
}

pub fn write_u32(memory: &mut [u8], pointer: u32, value: u32) -> Result<(), Errno> {
    aligned_mut(memory, pointer, 4, 4)?.copy_from_slice(&value.to_le_bytes());
    Ok(())
}

pub fn write_u16(memory: &mut [u8], pointer: u32, value: u16) -> Result<(), Errno> {
    aligned_mut(memory, pointer, 2, 2)?.copy_from_slice(&value.to_le_bytes());
    Ok(())
}

/// The iovecs of a call; every one of them is inside the memory.
pub fn iovecs(memory: &[u8], pointer: u32, count: u32) -> Result<Vec<Span>, Errno> {
    if count > MAX_IOVECS {
        return Err(Errno::INVAL);
    }
    let array = aligned(memory, pointer, count * wire::IOVEC_SIZE as u32, 4)?;
    let spans = wire::iovecs(array).map_err(|_| Errno::FAULT)?;
    for span in &spans {
        bytes(memory, span.pointer, span.len)?;
    }
    Ok(spans)
}

/// Copies what the iovecs point to, at most `max_len` bytes.
pub fn gather(memory: &[u8], spans: &[Span], max_len: usize) -> Result<Vec<u8>, Errno> {
    let mut gathered = Vec::new();
    for span in spans {
        let part = bytes(memory, span.pointer, span.len)?;
        let room = max_len - gathered.len();
        gathered.extend_from_slice(&part[..part.len().min(room)]);
        if part.len() > room {
            break;
        }
    }
    Ok(gathered)
}

/// Copies `data` to where the iovecs point, in order.
pub fn scatter(memory: &mut [u8], spans: &[Span], mut data: &[u8]) -> Result<(), Errno> {
    for span in spans {
        let part = bytes_mut(memory, span.pointer, span.len)?;
        let len = part.len().min(data.len());
        part[..len].copy_from_slice(&data[..len]);
        data = &data[len..];
    }
    Ok(())
}

/// A buffer of `len` bytes that lies at a multiple of 8, in which calls of wasmtime-wasi find their
/// structs as they would in a guest's memory.
pub struct Scratch {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl Scratch {
    pub fn new(len: usize) -> Self {
        let bytes = vec![0; len + 8];
        let start = bytes.as_ptr().align_offset(8);
        Scratch { bytes, start, len }
    }

    pub fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..][..self.len]
    }
}
