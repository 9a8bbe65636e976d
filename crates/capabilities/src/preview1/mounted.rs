//! Paths of mounted files: where a path names one, the call goes to its real place, by the directory that
//! wasmtime-wasi holds and the guest does not see. Used only for guests that have mounted files.

use super::calls::{close, give};
use super::delegate::explain;
use super::memory::{self, Scratch, guest};
use super::preview0::path_filestat_get;
use super::wire::Generation;
use super::{Descriptor, Errno};
use crate::Host;
use crate::link::Definer;
use wasmtime::{Caller, Func, Result};
use wasmtime_wasi::p1::types::{Fd, Filetype};
use wasmtime_wasi::p1::wasi_snapshot_preview1::{self as wasi, WasiSnapshotPreview1};
use wiggle::GuestMemory;

/// wasmtime-wasi's first descriptor that is not a standard stream.
const FIRST_PREOPEN: u32 = 3;

/// A mounted file that a call goes to, in place of the guest's own directory and path.
pub struct Real {
    /// wasmtime-wasi's number of the directory.
    pub directory: u32,
    pub name_len: u32,
    /// In place of the guest's memory: results at [`Real::RESULT`], the name at [`Real::NAME`].
    pub memory: Scratch,
}

impl Real {
    pub const RESULT: u32 = 0;
    pub const NAME: u32 = 64;
}

/// Whether a path of the guest is a mounted file. A path that is no text is none.
pub fn find(memory: &[u8], host: &mut Host, fd: u32, path: u32, len: u32) -> Option<Real> {
    if !host.files.has_mounted_files() {
        return None;
    }
    let Ok(Descriptor::Wasi(directory)) = host.preview1.descriptors().get(fd) else { return None };
    let preopen = directory.checked_sub(FIRST_PREOPEN)? as usize;
    let path = std::str::from_utf8(memory::bytes(memory, path, len).ok()?).ok()?;
    let redirect = host.files.intercept(preopen, path)?;
    let name = redirect.name.as_bytes();
    let mut memory = Scratch::new(Real::NAME as usize + name.len());
    memory.as_mut()[Real::NAME as usize..].copy_from_slice(name);
    let directory = FIRST_PREOPEN + redirect.preopen as u32;
    Some(Real { directory, name_len: name.len() as u32, memory })
}

/// Opens a mounted file. `how` is `oflags`, both rights and `fdflags` of `path_open`.
pub async fn open(
    memory: &mut [u8],
    host: &mut Host,
    mut real: Real,
    how: (i32, i64, i64, i32),
    out: u32,
) -> Result<i32> {
    let (open, base, inheriting, flags) = how;
    let preview1 = &mut host.preview1;
    let mut view = GuestMemory::Unshared(real.memory.as_mut());
    let (directory, name, len) = (real.directory as i32, Real::NAME as i32, real.name_len as i32);
    let result = Real::RESULT as i32;
    let wasi = &mut preview1.wasi;
    let errno =
        wasi::path_open(wasi, &mut view, directory, 0, name, len, open, base, inheriting, flags, result)
            .await?;
    if errno != 0 {
        explain(&host.files, "path_open", errno);
        return Ok(errno);
    }
    let opened = match memory::read_u32(real.memory.as_mut(), Real::RESULT) {
        Ok(opened) => opened,
        Err(errno) => return Ok(Errno::code(Err(errno))),
    };
    // What has since become a directory on the host was not granted.
    let view = &mut GuestMemory::Unshared(&mut *memory);
    let stat = preview1.wasi.fd_filestat_get(view, Fd::from(opened)).await;
    if !stat.is_ok_and(|stat| stat.filetype == Filetype::RegularFile) {
        close(memory, preview1, Descriptor::Wasi(opened)).await?;
        return Ok(Errno::code(Err(Errno::ISDIR)));
    }
    give(memory, preview1, opened, out).await
}

/// Calls that are asked for a path and have to look at it first.
pub fn function(to: &mut Definer<'_>, generation: Generation, name: &str) -> Option<Func> {
    if !to.store.data().files.has_mounted_files() {
        return None;
    }
    Some(match name {
        "path_filestat_get" => to.wrap_async(
            move |mut caller: Caller<'_, Host>, (fd, flags, path, len, out): (u32, i32, u32, u32, u32)| {
                Box::new(async move {
                    let (memory, host) = guest(&mut caller)?;
                    path_filestat_get(memory, host, fd, flags, (path, len), out, generation).await
                })
            },
        ),
        "path_filestat_set_times" => set_times(to),
        "path_create_directory" => change(to, Change::CreateDirectory),
        "path_remove_directory" => change(to, Change::RemoveDirectory),
        "path_unlink_file" => change(to, Change::UnlinkFile),
        "path_symlink" => symlink(to),
        "path_rename" => rename(to),
        "path_link" => link(to),
        _ => return None,
    })
}

fn set_times(to: &mut Definer<'_>) -> Func {
    type Params = (u32, i32, u32, u32, i64, i64, i32);
    to.wrap_async(
        |mut caller: Caller<'_, Host>, (fd, flags, path, len, accessed, modified, which): Params| {
            Box::new(async move {
                let (memory, host) = guest(&mut caller)?;
                if let Some(mut real) = find(memory, host, fd, path, len) {
                    let memory = &mut GuestMemory::Unshared(real.memory.as_mut());
                    let (fd, path, len) = (real.directory as i32, Real::NAME as i32, real.name_len as i32);
                    let wasi = &mut host.preview1.wasi;
                    return wasi::path_filestat_set_times(
                        wasi, memory, fd, 0, path, len, accessed, modified, which,
                    )
                    .await;
                }
                let fd = match host.preview1.wasi_descriptor(fd, Errno::NOTDIR) {
                    Ok(fd) => fd as i32,
                    Err(errno) => return Ok(Errno::code(Err(errno))),
                };
                let memory = &mut GuestMemory::Unshared(memory);
                let wasi = &mut host.preview1.wasi;
                let (path, len) = (path as i32, len as i32);
                wasi::path_filestat_set_times(wasi, memory, fd, flags, path, len, accessed, modified, which)
                    .await
            })
        },
    )
}

/// What changes one name: a mounted file is like a mount point, which systems keep ("busy").
#[derive(Clone, Copy)]
enum Change {
    CreateDirectory,
    RemoveDirectory,
    UnlinkFile,
}

fn change(to: &mut Definer<'_>, change: Change) -> Func {
    to.wrap_async(move |mut caller: Caller<'_, Host>, (fd, path, len): (u32, u32, u32)| {
        Box::new(async move {
            let (memory, host) = guest(&mut caller)?;
            let fd = match unmounted(memory, host, fd, path, len) {
                Ok(fd) => fd,
                Err(errno) => return Ok(Errno::code(Err(errno))),
            };
            let wasi = &mut host.preview1.wasi;
            let memory = &mut GuestMemory::Unshared(memory);
            let (path, len) = (path as i32, len as i32);
            match change {
                Change::CreateDirectory => wasi::path_create_directory(wasi, memory, fd, path, len).await,
                Change::RemoveDirectory => wasi::path_remove_directory(wasi, memory, fd, path, len).await,
                Change::UnlinkFile => wasi::path_unlink_file(wasi, memory, fd, path, len).await,
            }
        })
    })
}

fn symlink(to: &mut Definer<'_>) -> Func {
    type Params = (i32, i32, u32, u32, u32);
    to.wrap_async(|mut caller: Caller<'_, Host>, (target, target_len, fd, path, len): Params| {
        Box::new(async move {
            let (memory, host) = guest(&mut caller)?;
            let fd = match unmounted(memory, host, fd, path, len) {
                Ok(fd) => fd,
                Err(errno) => return Ok(Errno::code(Err(errno))),
            };
            let wasi = &mut host.preview1.wasi;
            let memory = &mut GuestMemory::Unshared(memory);
            wasi::path_symlink(wasi, memory, target, target_len, fd, path as i32, len as i32).await
        })
    })
}

fn rename(to: &mut Definer<'_>) -> Func {
    type Params = (u32, u32, u32, u32, u32, u32);
    to.wrap_async(|mut caller: Caller<'_, Host>, (fd, path, len, new_fd, new_path, new_len): Params| {
        Box::new(async move {
            let (memory, host) = guest(&mut caller)?;
            let fds = unmounted(memory, host, fd, path, len)
                .and_then(|fd| Ok((fd, unmounted(memory, host, new_fd, new_path, new_len)?)));
            let (fd, new_fd) = match fds {
                Ok(fds) => fds,
                Err(errno) => return Ok(Errno::code(Err(errno))),
            };
            let wasi = &mut host.preview1.wasi;
            let memory = &mut GuestMemory::Unshared(memory);
            let (path, len, new_path, new_len) = (path as i32, len as i32, new_path as i32, new_len as i32);
            wasi::path_rename(wasi, memory, fd, path, len, new_fd, new_path, new_len).await
        })
    })
}

fn link(to: &mut Definer<'_>) -> Func {
    type Params = (u32, i32, u32, u32, u32, u32, u32);
    to.wrap_async(
        |mut caller: Caller<'_, Host>, (fd, flags, path, len, new_fd, new_path, new_len): Params| {
            Box::new(async move {
                let (memory, host) = guest(&mut caller)?;
                let fds = unmounted(memory, host, fd, path, len)
                    .and_then(|fd| Ok((fd, unmounted(memory, host, new_fd, new_path, new_len)?)));
                let (fd, new_fd) = match fds {
                    Ok(fds) => fds,
                    Err(errno) => return Ok(Errno::code(Err(errno))),
                };
                let wasi = &mut host.preview1.wasi;
                let memory = &mut GuestMemory::Unshared(memory);
                let (path, len, new_path, new_len) =
                    (path as i32, len as i32, new_path as i32, new_len as i32);
                wasi::path_link(wasi, memory, fd, flags, path, len, new_fd, new_path, new_len).await
            })
        },
    )
}

/// wasmtime-wasi's number of a directory, if the path in it is not a mounted file.
fn unmounted(memory: &[u8], host: &mut Host, fd: u32, path: u32, len: u32) -> Result<i32, Errno> {
    if find(memory, host, fd, path, len).is_some() {
        return Err(Errno::BUSY);
    }
    host.preview1.wasi_descriptor(fd, Errno::NOTDIR).map(|fd| fd as i32)
}
