//! Preview 0 (`wasi_unstable`): the calls that differ from preview 1 in a struct or an enumeration.

use super::calls::write_socket_filestat;
use super::memory::{self, guest};
use super::mounted::{self, Real};
use super::poll::Call;
use super::wire::{Filestat, Generation};
use super::{Descriptor, Errno};
use crate::Host;
use crate::link::Definer;
use crate::sockets::Trigger;
use wasmtime::{Caller, Func, Result};
use wasmtime_wasi::p1::types::{self, Fd, Lookupflags};
use wasmtime_wasi::p1::wasi_snapshot_preview1::{self as wasi, WasiSnapshotPreview1};
use wiggle::{GuestMemory, GuestPtr};

pub fn function(to: &mut Definer<'_>, name: &str) -> Option<Func> {
    Some(match name {
        "fd_filestat_get" => to.wrap_async(|mut caller: Caller<'_, Host>, (fd, out): (u32, u32)| {
            Box::new(async move {
                let (memory, host) = guest(&mut caller)?;
                fd_filestat_get(memory, host, fd, out).await
            })
        }),
        "path_filestat_get" => to.wrap_async(
            |mut caller: Caller<'_, Host>, (fd, flags, path, len, out): (u32, i32, u32, u32, u32)| {
                Box::new(async move {
                    let (memory, host) = guest(&mut caller)?;
                    path_filestat_get(memory, host, fd, flags, (path, len), out, Generation::Preview0).await
                })
            },
        ),
        "fd_seek" => {
            to.wrap_async(|mut caller: Caller<'_, Host>, (fd, offset, whence, out): (u32, i64, i32, i32)| {
                Box::new(async move {
                    let (memory, Host { preview1, .. }) = guest(&mut caller)?;
                    let inner = match preview1.wasi_descriptor(fd, Errno::SPIPE) {
                        Ok(inner) => inner as i32,
                        Err(errno) => return Ok(Errno::code(Err(errno))),
                    };
                    // Preview 0 counts current, end, set; preview 1 set, current, end.
                    let whence = match whence {
                        0 => 1,
                        1 => 2,
                        2 => 0,
                        _ => return Ok(Errno::code(Err(Errno::INVAL))),
                    };
                    let memory = &mut GuestMemory::Unshared(memory);
                    wasi::fd_seek(&mut preview1.wasi, memory, inner, offset, whence, out).await
                })
            })
        }
        "poll_oneoff" => to.wrap_async(
            |mut caller: Caller<'_, Host>, (subscriptions, events, count, out): (u32, u32, u32, u32)| {
                Box::new(async move {
                    let (memory, host) = guest(&mut caller)?;
                    let generation = Generation::Preview0;
                    let trigger = Trigger::Level;
                    let call = Call { generation, trigger, subscriptions, events, count, out };
                    super::poll_oneoff(memory, host, call).await
                })
            },
        ),
        _ => return None,
    })
}

async fn fd_filestat_get(memory: &mut [u8], host: &mut Host, fd: u32, out: u32) -> Result<i32> {
    let inner = match host.preview1.descriptors().get(fd) {
        Ok(Descriptor::Wasi(inner)) => *inner,
        Ok(Descriptor::Socket(_)) => {
            let result = write_socket_filestat(memory, host, fd, out, Generation::Preview0);
            return Ok(Errno::code(result));
        }
        Err(errno) => return Ok(Errno::code(Err(errno))),
    };
    let view = &mut GuestMemory::Unshared(&mut *memory);
    let stat = host.preview1.wasi.fd_filestat_get(view, Fd::from(inner)).await;
    write_filestat(memory, out, stat, Generation::Preview0)
}

pub async fn path_filestat_get(
    memory: &mut [u8],
    host: &mut Host,
    fd: u32,
    flags: i32,
    path: (u32, u32),
    out: u32,
    generation: Generation,
) -> Result<i32> {
    if let Some(mut real) = mounted::find(memory, host, fd, path.0, path.1) {
        let view = &mut GuestMemory::Unshared(real.memory.as_mut());
        let name = GuestPtr::new((Real::NAME, real.name_len));
        let directory = Fd::from(real.directory);
        let stat = host.preview1.wasi.path_filestat_get(view, directory, Lookupflags::empty(), name).await;
        return write_filestat(memory, out, stat, generation);
    }
    let inner = match host.preview1.wasi_descriptor(fd, Errno::NOTDIR) {
        Ok(inner) => inner,
        Err(errno) => return Ok(Errno::code(Err(errno))),
    };
    let Ok(flags) = Lookupflags::try_from(flags) else { return Ok(Errno::code(Err(Errno::INVAL))) };
    let view = &mut GuestMemory::Unshared(&mut *memory);
    let wasi = &mut host.preview1.wasi;
    let stat = wasi.path_filestat_get(view, Fd::from(inner), flags, GuestPtr::new(path)).await;
    write_filestat(memory, out, stat, generation)
}

fn write_filestat(
    memory: &mut [u8],
    out: u32,
    stat: Result<types::Filestat, types::Error>,
    generation: Generation,
) -> Result<i32> {
    let stat = match stat {
        Ok(stat) => stat,
        // Either an error number or a trap.
        Err(error) => return Ok(error.downcast()? as i32),
    };
    let bytes = Filestat {
        device: stat.dev,
        inode: stat.ino,
        filetype: stat.filetype as u8,
        links: stat.nlink,
        size: stat.size,
        accessed_ns: stat.atim,
        modified_ns: stat.mtim,
        changed_ns: stat.ctim,
    }
    .to_bytes(generation);
    let target = memory::aligned_mut(memory, out, bytes.len() as u32, 8);
    Ok(Errno::code(target.map(|target| target.copy_from_slice(&bytes))))
}
