//! The calls of preview 1 that wasmtime-wasi answers, with the guest's descriptors translated to its own.

use super::memory::guest;
use super::{Errno, Preview1};
use crate::Host;
use crate::files::Files;
use crate::link::Definer;
use wasmtime::{Caller, Func, Result};
use wasmtime_wasi::p1::wasi_snapshot_preview1 as wasi;
use wiggle::GuestMemory;

/// The type of a parameter as WebAssembly sees it.
macro_rules! wasm_type {
    (Fd) => {
        i32
    };
    ($type:ident) => {
        $type
    };
}

/// wasmtime-wasi's value of a parameter. `$answer` is what the call says of a socket.
macro_rules! translated {
    ($preview1:ident, $value:ident, $answer:ident, Fd) => {
        match Preview1::wasi_descriptor($preview1, $value as u32, Errno::$answer) {
            Ok(fd) => fd as i32,
            Err(errno) => return Ok(Errno::code(Err(errno))),
        }
    };
    ($preview1:ident, $value:ident, $answer:ident, $type:ident) => {
        $value
    };
}

/// Says which flag would have allowed what a call with a path was refused.
pub fn explain(files: &Files, call: &str, errno: i32) {
    if call.starts_with("path_")
        && [Errno::PERM, Errno::ROFS].iter().any(|one| Errno::code(Err(*one)) == errno)
    {
        files.explain_read_only(None);
    }
}

/// One line for each call: name, parameters, and the error where a descriptor (`Fd`) is a socket.
macro_rules! delegated {
    (
        sync { $($sync:ident($($p:ident: $type:ident),*) $answer:ident;)* }
        async { $($async:ident($($q:ident: $async_type:ident),*) $async_answer:ident;)* }
    ) => {
        pub fn function(to: &mut Definer<'_>, name: &str) -> Option<Func> {
            Some(match name {
                $(stringify!($sync) => to.wrap(|mut caller: Caller<'_, Host>, $($p: wasm_type!($type)),*| -> Result<i32> {
                        let (memory, Host { preview1, .. }) = guest(&mut caller)?;
                        $(let $p = translated!(preview1, $p, $answer, $type);)*
                        wasi::$sync(&mut preview1.wasi, &mut GuestMemory::Unshared(memory), $($p),*)
                    },
                ),)*
                $(stringify!($async) => to.wrap_async(|mut caller: Caller<'_, Host>, ($($q,)*): ($(wasm_type!($async_type),)*)| {
                        Box::new(async move {
                            let (memory, Host { preview1, files, .. }) = guest(&mut caller)?;
                            $(let $q = translated!(preview1, $q, $async_answer, $async_type);)*
                            let memory = &mut GuestMemory::Unshared(memory);
                            let errno = wasi::$async(&mut preview1.wasi, memory, $($q),*).await?;
                            explain(files, stringify!($async), errno);
                            Ok(errno)
                        })
                    },
                ),)*
                _ => return None,
            })
        }
    };
}

delegated! {
    sync {
        args_get(argv: i32, buffer: i32) BADF;
        args_sizes_get(count: i32, size: i32) BADF;
        clock_res_get(id: i32, out: i32) BADF;
        clock_time_get(id: i32, precision: i64, out: i32) BADF;
        environ_get(environ: i32, buffer: i32) BADF;
        environ_sizes_get(count: i32, size: i32) BADF;
        fd_allocate(fd: Fd, offset: i64, len: i64) INVAL;
        fd_fdstat_set_rights(fd: Fd, base: i64, inheriting: i64) NOTSUP;
        fd_prestat_dir_name(fd: Fd, path: i32, len: i32) NOTDIR;
        fd_tell(fd: Fd, out: i32) SPIPE;
        proc_raise(signal: i32) BADF;
        sched_yield() BADF;
    }
    async {
        fd_advise(fd: Fd, offset: i64, len: i64, advice: i32) SPIPE;
        fd_datasync(fd: Fd) INVAL;
        fd_filestat_set_size(fd: Fd, size: i64) INVAL;
        fd_filestat_set_times(fd: Fd, accessed: i64, modified: i64, flags: i32) INVAL;
        fd_pread(fd: Fd, iovecs: i32, count: i32, offset: i64, out: i32) SPIPE;
        fd_pwrite(fd: Fd, iovecs: i32, count: i32, offset: i64, out: i32) SPIPE;
        fd_readdir(fd: Fd, buffer: i32, len: i32, cookie: i64, out: i32) NOTDIR;
        fd_seek(fd: Fd, offset: i64, whence: i32, out: i32) SPIPE;
        fd_sync(fd: Fd) INVAL;
        path_create_directory(fd: Fd, path: i32, len: i32) NOTDIR;
        path_filestat_get(fd: Fd, flags: i32, path: i32, len: i32, out: i32) NOTDIR;
        path_filestat_set_times(
            fd: Fd, flags: i32, path: i32, len: i32, accessed: i64, modified: i64, which: i32
        ) NOTDIR;
        path_link(
            fd: Fd, flags: i32, path: i32, len: i32, new_fd: Fd, new_path: i32, new_len: i32
        ) NOTDIR;
        path_readlink(fd: Fd, path: i32, len: i32, buffer: i32, buffer_len: i32, out: i32) NOTDIR;
        path_remove_directory(fd: Fd, path: i32, len: i32) NOTDIR;
        path_rename(fd: Fd, path: i32, len: i32, new_fd: Fd, new_path: i32, new_len: i32) NOTDIR;
        path_symlink(target: i32, target_len: i32, fd: Fd, path: i32, len: i32) NOTDIR;
        path_unlink_file(fd: Fd, path: i32, len: i32) NOTDIR;
    }
}
