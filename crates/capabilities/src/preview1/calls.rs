//! The calls of preview 1 that know sockets or change the descriptor table; the rest is delegated.

use super::delegate::explain;
use super::memory::{self, Scratch, guest};
use super::wire::{self, Filestat, Generation};
use super::{Descriptor, Errno, Preview1, mounted};
use crate::Host;
use crate::link::Definer;
use crate::sockets::ReceiveFlags;
use crate::sockets::host::preview1 as sockets;
use sampan_app::Protocol;
use wasmtime::{Caller, Func, Result};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi::p1::wasi_snapshot_preview1 as wasi;
use wiggle::GuestMemory;

/// Several buffers of one write are written in one go up to this size in bytes.
const MAX_GATHERED: usize = 64 << 10;
/// Random bytes that are made at a time: a guest may ask for its whole memory.
const RANDOM_CHUNK: u32 = 64 << 10;

/// A call that waits: its parameters are all `i32`.
macro_rules! waiting {
    ($to:ident, $call:ident($($arg:ident: $type:ty),*)) => {
        $to.wrap_async(|mut caller: Caller<'_, Host>, ($($arg,)*): ($($type,)*)| {
            Box::new(async move {
                let (memory, host) = guest(&mut caller)?;
                $call(memory, host, $($arg),*).await
            })
        })
    };
}

pub fn function(to: &mut Definer<'_>, name: &str) -> Option<Func> {
    Some(match name {
        "fd_close" => waiting!(to, fd_close(fd: u32)),
        "fd_fdstat_get" => waiting!(to, fd_fdstat_get(fd: u32, out: u32)),
        "fd_fdstat_set_flags" => waiting!(to, fd_fdstat_set_flags(fd: u32, flags: u32)),
        "fd_filestat_get" => waiting!(to, fd_filestat_get(fd: u32, out: u32)),
        "fd_prestat_get" => to.wrap(|mut caller: Caller<'_, Host>, fd: u32, out: i32| {
            let (memory, host) = guest(&mut caller)?;
            host.files.explain_nothing_mounted();
            // BADF ends the search of C libraries for preopened folders.
            match host.preview1.wasi_descriptor(fd, Errno::BADF) {
                Ok(inner) => {
                    let memory = &mut GuestMemory::Unshared(memory);
                    wasi::fd_prestat_get(&mut host.preview1.wasi, memory, inner as i32, out)
                }
                Err(errno) => Ok(Errno::code(Err(errno))),
            }
        }),
        "fd_read" => waiting!(to, fd_read(fd: u32, iovecs: u32, count: u32, out: u32)),
        "fd_renumber" => waiting!(to, fd_renumber(from: u32, to: u32)),
        "fd_write" => waiting!(to, fd_write(fd: u32, iovecs: u32, count: u32, out: u32)),
        "path_open" => path_open_function(to),
        "poll_oneoff" => waiting!(to, poll_oneoff(subscriptions: u32, events: u32, count: u32, out: u32)),
        // Exit codes are a byte, as on any system; -1 is 255.
        "proc_exit" => to.wrap(|code: i32| -> Result<()> { Err(I32Exit(code & 0xff).into()) }),
        "random_get" => to.wrap(|mut caller: Caller<'_, Host>, buffer: u32, len: u32| {
            let (memory, host) = guest(&mut caller)?;
            random_get(memory, host, buffer, len)
        }),
        _ => return None,
    })
}

async fn fd_close(memory: &mut [u8], host: &mut Host, fd: u32) -> Result<i32> {
    match host.preview1.descriptors().remove(fd) {
        Ok(descriptor) => close(memory, &mut host.preview1, descriptor).await,
        Err(errno) => Ok(Errno::code(Err(errno))),
    }
}

pub async fn close(memory: &mut [u8], preview1: &mut Preview1, descriptor: Descriptor) -> Result<i32> {
    match descriptor {
        Descriptor::Wasi(inner) => {
            wasi::fd_close(&mut preview1.wasi, &mut GuestMemory::Unshared(memory), inner as i32).await
        }
        Descriptor::Socket(socket) => {
            drop(socket);
            Ok(0)
        }
    }
}

async fn fd_renumber(memory: &mut [u8], host: &mut Host, from: u32, to: u32) -> Result<i32> {
    match host.preview1.descriptors().renumber(from, to) {
        Ok(Some(replaced)) => close(memory, &mut host.preview1, replaced).await,
        Ok(None) => Ok(0),
        Err(errno) => Ok(Errno::code(Err(errno))),
    }
}

/// wasmtime-wasi's number, or `None` for a socket.
fn inner(preview1: &mut Preview1, fd: u32) -> Result<Option<i32>, Errno> {
    match preview1.descriptors().get(fd)? {
        Descriptor::Wasi(inner) => Ok(Some(*inner as i32)),
        Descriptor::Socket(_) => Ok(None),
    }
}

async fn fd_read(
    memory: &mut [u8],
    host: &mut Host,
    fd: u32,
    iovecs: u32,
    count: u32,
    out: u32,
) -> Result<i32> {
    match inner(&mut host.preview1, fd) {
        Ok(Some(inner)) => {
            let memory = &mut GuestMemory::Unshared(memory);
            wasi::fd_read(&mut host.preview1.wasi, memory, inner, iovecs as i32, count as i32, out as i32)
                .await
        }
        Ok(None) => {
            let received = sockets::receive(memory, host, fd, iovecs, count, ReceiveFlags::default()).await;
            let result = received.and_then(|received| memory::write_u32(memory, out, received.len as u32));
            Ok(Errno::code(result))
        }
        Err(errno) => Ok(Errno::code(Err(errno))),
    }
}

async fn fd_write(
    memory: &mut [u8],
    host: &mut Host,
    fd: u32,
    iovecs: u32,
    count: u32,
    out: u32,
) -> Result<i32> {
    let inner = match inner(&mut host.preview1, fd) {
        Ok(Some(inner)) => inner,
        Ok(None) => {
            let sent = sockets::send(memory, host, fd, iovecs, count, None).await;
            return Ok(Errno::code(sent.and_then(|sent| memory::write_u32(memory, out, sent))));
        }
        Err(errno) => return Ok(Errno::code(Err(errno))),
    };
    let wasi = &mut host.preview1.wasi;
    if let Some(gathered) = several_small(memory, iovecs, count) {
        // One iovec at 0, the result at 8, the bytes from 16 on.
        let mut scratch = Scratch::new(16 + gathered.len());
        let bytes = scratch.as_mut();
        bytes[..4].copy_from_slice(&16u32.to_le_bytes());
        bytes[4..8].copy_from_slice(&(gathered.len() as u32).to_le_bytes());
        bytes[16..].copy_from_slice(&gathered);
        let errno = wasi::fd_write(wasi, &mut GuestMemory::Unshared(bytes), inner, 0, 1, 8).await?;
        if errno != 0 {
            return Ok(errno);
        }
        let written = memory::read_u32(scratch.as_mut(), 8);
        return Ok(Errno::code(written.and_then(|written| memory::write_u32(memory, out, written))));
    }
    let memory = &mut GuestMemory::Unshared(memory);
    wasi::fd_write(wasi, memory, inner, iovecs as i32, count as i32, out as i32).await
}

/// The bytes of a write that has more than one buffer, where the first leaves room for the next:
/// wasmtime-wasi writes one buffer a call, and a C library's `fwrite` has two.
fn several_small(memory: &[u8], iovecs: u32, count: u32) -> Option<Vec<u8>> {
    if count < 2 {
        return None;
    }
    let mut spans = memory::iovecs(memory, iovecs, count).ok()?;
    spans.retain(|span| span.len > 0);
    if spans.len() < 2 || spans[0].len as usize >= MAX_GATHERED {
        return None;
    }
    memory::gather(memory, &spans, MAX_GATHERED).ok()
}

async fn fd_fdstat_get(memory: &mut [u8], host: &mut Host, fd: u32, out: u32) -> Result<i32> {
    match inner(&mut host.preview1, fd) {
        Ok(Some(inner)) => {
            let memory = &mut GuestMemory::Unshared(memory);
            wasi::fd_fdstat_get(&mut host.preview1.wasi, memory, inner, out as i32).await
        }
        Ok(None) => {
            let result = host.preview1.socket(fd).and_then(|(socket, _)| {
                let stat = wire::socket_fdstat(filetype(socket.protocol), socket.nonblocking);
                memory::aligned_mut(memory, out, stat.len() as u32, 8)?.copy_from_slice(&stat);
                Ok(())
            });
            Ok(Errno::code(result))
        }
        Err(errno) => Ok(Errno::code(Err(errno))),
    }
}

async fn fd_fdstat_set_flags(memory: &mut [u8], host: &mut Host, fd: u32, flags: u32) -> Result<i32> {
    match inner(&mut host.preview1, fd) {
        Ok(Some(inner)) => wasi::fd_fdstat_set_flags(
            &mut host.preview1.wasi,
            &mut GuestMemory::Unshared(memory),
            inner,
            flags as i32,
        ),
        Ok(None) => Ok(Errno::code(host.preview1.socket(fd).map(|(socket, _)| {
            socket.nonblocking = flags & u32::from(wire::FDFLAGS_NONBLOCK) != 0;
        }))),
        Err(errno) => Ok(Errno::code(Err(errno))),
    }
}

async fn fd_filestat_get(memory: &mut [u8], host: &mut Host, fd: u32, out: u32) -> Result<i32> {
    match inner(&mut host.preview1, fd) {
        Ok(Some(inner)) => {
            let memory = &mut GuestMemory::Unshared(memory);
            wasi::fd_filestat_get(&mut host.preview1.wasi, memory, inner, out as i32).await
        }
        Ok(None) => Ok(Errno::code(write_socket_filestat(memory, host, fd, out, Generation::Preview1))),
        Err(errno) => Ok(Errno::code(Err(errno))),
    }
}

pub fn write_socket_filestat(
    memory: &mut [u8],
    host: &mut Host,
    fd: u32,
    out: u32,
    generation: Generation,
) -> Result<(), Errno> {
    let (socket, _) = host.preview1.socket(fd)?;
    let stat = Filestat { filetype: filetype(socket.protocol), ..Filestat::default() }.to_bytes(generation);
    memory::aligned_mut(memory, out, stat.len() as u32, 8)?.copy_from_slice(&stat);
    Ok(())
}

fn filetype(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => wire::FILETYPE_SOCKET_STREAM,
        Protocol::Udp => wire::FILETYPE_SOCKET_DGRAM,
    }
}

fn path_open_function(to: &mut Definer<'_>) -> Func {
    type Params = (u32, i32, i32, i32, i32, i64, i64, i32, u32);
    to.wrap_async(
        |mut caller: Caller<'_, Host>,
         (fd, lookup, path, len, open, base, inheriting, flags, out): Params| {
            Box::new(async move {
                let (memory, host) = guest(&mut caller)?;
                if let Some(real) = mounted::find(memory, host, fd, path as u32, len as u32) {
                    return mounted::open(memory, host, real, (open, base, inheriting, flags), out).await;
                }
                let preview1 = &mut host.preview1;
                let inner = match preview1.wasi_descriptor(fd, Errno::NOTDIR) {
                    Ok(inner) => inner as i32,
                    Err(errno) => return Ok(Errno::code(Err(errno))),
                };
                let mut view = GuestMemory::Unshared(&mut *memory);
                let wasi = &mut preview1.wasi;
                let errno = wasi::path_open(
                    wasi, &mut view, inner, lookup, path, len, open, base, inheriting, flags, out as i32,
                )
                .await?;
                if errno != 0 {
                    explain(&host.files, "path_open", errno);
                    return Ok(errno);
                }
                // wasmtime-wasi wrote its own number; the guest gets ours.
                let opened = match memory::read_u32(memory, out) {
                    Ok(opened) => opened,
                    Err(errno) => return Ok(Errno::code(Err(errno))),
                };
                give(memory, preview1, opened, out).await
            })
        },
    )
}

/// Gives the guest a number for what was opened.
pub async fn give(memory: &mut [u8], preview1: &mut Preview1, opened: u32, out: u32) -> Result<i32> {
    match preview1.descriptors().insert(Descriptor::Wasi(opened)) {
        Ok(fd) => Ok(Errno::code(memory::write_u32(memory, out, fd))),
        Err(errno) => {
            close(memory, preview1, Descriptor::Wasi(opened)).await?;
            Ok(Errno::code(Err(errno)))
        }
    }
}

async fn poll_oneoff(
    memory: &mut [u8],
    host: &mut Host,
    subscriptions: u32,
    events: u32,
    count: u32,
    out: u32,
) -> Result<i32> {
    let call = super::poll::Call {
        generation: Generation::Preview1,
        trigger: crate::sockets::Trigger::Level,
        subscriptions,
        events,
        count,
        out,
    };
    super::poll_oneoff(memory, host, call).await
}

fn random_get(memory: &mut [u8], host: &mut Host, buffer: u32, len: u32) -> Result<i32> {
    let mut done = 0;
    while done < len {
        let chunk = (len - done).min(RANDOM_CHUNK);
        // Where this wraps around, the first chunk beyond the memory has already failed.
        let start = buffer.wrapping_add(done);
        let memory = &mut GuestMemory::Unshared(&mut *memory);
        let errno = wasi::random_get(&mut host.preview1.wasi, memory, start as i32, chunk as i32)?;
        if errno != 0 {
            return Ok(errno);
        }
        done += chunk;
    }
    Ok(0)
}
