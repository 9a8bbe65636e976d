//! Tries every call of preview 1, with every descriptor that a careless host might have left open, and
//! prints a line for each: the call, the descriptor if it takes one, and `ok` with a value or the error.

use std::mem::MaybeUninit;
use wasip1::*;

/// What a call gave, as text.
type Outcome = Result<String, Errno>;

/// Paths that lead somewhere if a descriptor is a folder, or if the host forgets to ask.
const PATHS: [&str; 5] = [".", "etc/passwd", "/etc/passwd", "../../../../etc/passwd", "/proc/self/environ"];

fn main() {
    without_descriptor();
    for fd in [0, 1, 2, 3, 4, 5, 6, 7, 100, u32::MAX >> 1, u32::MAX] {
        streams(fd);
        files(fd);
        sockets(fd);
        for path in PATHS {
            paths(fd, path);
        }
        if fd > 2 {
            destructive(fd);
        }
    }
    print("proc_raise", "", unsafe { proc_raise(SIGNAL_TERM) }.map(none));
    print("proc_exit", "", Ok("with 0".to_owned()));
    // SAFETY: it takes no pointer.
    unsafe { proc_exit(0) }
}

fn print(call: &str, on: impl std::fmt::Display, outcome: Outcome) {
    match outcome {
        Ok(value) => println!("{call} {on}: ok {value}"),
        Err(errno) => println!("{call} {on}: {}", errno.name()),
    }
}

fn none(_: ()) -> String {
    String::new()
}

fn without_descriptor() {
    let mut pointers = [std::ptr::null_mut(); 64];
    let mut buffer = [0u8; 4096];
    let (first, bytes) = (pointers.as_mut_ptr(), buffer.as_mut_ptr());
    // SAFETY: the pointers are those of live buffers, larger than what a host without grants has to say.
    unsafe {
        print("args_sizes_get", "", args_sizes_get().map(|(count, _)| count.to_string()));
        print("args_get", "", args_get(first, bytes).map(none));
        print("environ_sizes_get", "", environ_sizes_get().map(|(count, _)| count.to_string()));
        print("environ_get", "", environ_get(first, bytes).map(none));
        for clock in
            [CLOCKID_REALTIME, CLOCKID_MONOTONIC, CLOCKID_PROCESS_CPUTIME_ID, CLOCKID_THREAD_CPUTIME_ID]
        {
            print("clock_res_get", clock.raw(), clock_res_get(clock).map(|_| String::new()));
            print("clock_time_get", clock.raw(), clock_time_get(clock, 0).map(|_| String::new()));
        }
        print("random_get", "", random_get(bytes, 16).map(none));
        print("sched_yield", "", sched_yield().map(none));
        print("poll_oneoff", "", poll());
    }
}

/// A timer and every low descriptor at once: what is not there must be told as an event, or refused.
unsafe fn poll() -> Outcome {
    let clock = SubscriptionClock { id: CLOCKID_MONOTONIC, timeout: 1_000_000, precision: 0, flags: 0 };
    let timer = SubscriptionU { tag: EVENTTYPE_CLOCK.raw(), u: SubscriptionUU { clock } };
    let mut wanted = vec![Subscription { userdata: 0, u: timer }];
    for fd in 3..8 {
        let fd_read = SubscriptionFdReadwrite { file_descriptor: fd };
        let read = SubscriptionU { tag: EVENTTYPE_FD_READ.raw(), u: SubscriptionUU { fd_read } };
        wanted.push(Subscription { userdata: fd.into(), u: read });
    }
    let mut events = [MaybeUninit::<Event>::uninit(); 8];
    // SAFETY: there is room for an event for each subscription.
    let count = unsafe { poll_oneoff(wanted.as_ptr(), events.as_mut_ptr().cast(), wanted.len())? };
    // SAFETY: the host has written so many.
    let events = events[..count].iter().map(|event| unsafe { event.assume_init_ref() });
    let ready = events.filter(|event| event.userdata != 0 && event.error == ERRNO_SUCCESS).count();
    Ok(format!("{ready} ready"))
}

fn streams(fd: Fd) {
    let mut buffer = [0u8; 64];
    let read = [Iovec { buf: buffer.as_mut_ptr(), buf_len: buffer.len() }];
    let write = [Ciovec { buf: b"".as_ptr(), buf_len: 0 }];
    // SAFETY: the vectors point to live buffers.
    unsafe {
        print("fd_read", fd, fd_read(fd, &read).map(|count| count.to_string()));
        print("fd_pread", fd, fd_pread(fd, &read, 0).map(|count| count.to_string()));
        print("fd_write", fd, fd_write(fd, &write).map(|count| count.to_string()));
        print("fd_pwrite", fd, fd_pwrite(fd, &write, 0).map(|count| count.to_string()));
    }
}

fn files(fd: Fd) {
    let mut buffer = [0u8; 4096];
    let bytes = buffer.as_mut_ptr();
    // SAFETY: the pointers are those of live buffers.
    unsafe {
        print("fd_advise", fd, fd_advise(fd, 0, 1, ADVICE_NORMAL).map(none));
        print("fd_allocate", fd, fd_allocate(fd, 0, 1).map(none));
        print("fd_datasync", fd, fd_datasync(fd).map(none));
        print("fd_sync", fd, fd_sync(fd).map(none));
        print("fd_fdstat_get", fd, fd_fdstat_get(fd).map(|_| String::new()));
        print("fd_filestat_get", fd, fd_filestat_get(fd).map(|_| String::new()));
        print("fd_filestat_set_size", fd, fd_filestat_set_size(fd, 0).map(none));
        let now = FSTFLAGS_ATIM_NOW | FSTFLAGS_MTIM_NOW;
        print("fd_filestat_set_times", fd, fd_filestat_set_times(fd, 0, 0, now).map(none));
        print("fd_prestat_get", fd, fd_prestat_get(fd).map(|_| String::new()));
        print("fd_prestat_dir_name", fd, fd_prestat_dir_name(fd, bytes, 64).map(none));
        print("fd_readdir", fd, fd_readdir(fd, bytes, 4096, 0).map(|count| count.to_string()));
        print("fd_seek", fd, fd_seek(fd, 0, WHENCE_SET).map(|at| at.to_string()));
        print("fd_tell", fd, fd_tell(fd).map(|at| at.to_string()));
    }
}

fn sockets(fd: Fd) {
    let mut buffer = [0u8; 64];
    let read = [Iovec { buf: buffer.as_mut_ptr(), buf_len: buffer.len() }];
    let write = [Ciovec { buf: b"".as_ptr(), buf_len: 0 }];
    // SAFETY: the vectors point to live buffers.
    unsafe {
        print("sock_accept", fd, sock_accept(fd, 0).map(|fd| fd.to_string()));
        print("sock_recv", fd, sock_recv(fd, &read, 0).map(|(count, _)| count.to_string()));
        print("sock_send", fd, sock_send(fd, &write, 0).map(|count| count.to_string()));
        print("sock_shutdown", fd, sock_shutdown(fd, SDFLAGS_RD | SDFLAGS_WR).map(none));
    }
}

fn paths(fd: Fd, path: &str) {
    let on = format!("{fd} {path}");
    let mut buffer = [0u8; 64];
    let (flags, times) = (LOOKUPFLAGS_SYMLINK_FOLLOW, FSTFLAGS_MTIM_NOW);
    let rights = RIGHTS_FD_READ | RIGHTS_FD_READDIR;
    // SAFETY: the pointers are those of live buffers.
    unsafe {
        let opened = path_open(fd, flags, path, 0, rights, rights, 0);
        print("path_open", &on, opened.map(|fd| fd.to_string()));
        let created = path_open(fd, flags, "greedy", OFLAGS_CREAT, RIGHTS_FD_WRITE, 0, 0);
        print("path_open", format!("{fd} greedy"), created.map(|fd| fd.to_string()));
        print("path_create_directory", &on, path_create_directory(fd, path).map(none));
        print("path_filestat_get", &on, path_filestat_get(fd, flags, path).map(|stat| stat.size.to_string()));
        print(
            "path_filestat_set_times",
            &on,
            path_filestat_set_times(fd, flags, path, 0, 0, times).map(none),
        );
        print("path_link", &on, path_link(fd, 0, path, fd, "greedy").map(none));
        let target = path_readlink(fd, path, buffer.as_mut_ptr(), buffer.len());
        print("path_readlink", &on, target.map(|count| count.to_string()));
        print("path_remove_directory", &on, path_remove_directory(fd, path).map(none));
        print("path_rename", &on, path_rename(fd, path, fd, "greedy").map(none));
        print("path_symlink", &on, path_symlink(path, fd, "greedy").map(none));
        print("path_unlink_file", &on, path_unlink_file(fd, path).map(none));
    }
}

/// What would take the standard streams away from this program, and with them its report.
fn destructive(fd: Fd) {
    // SAFETY: they take no pointers.
    unsafe {
        print("fd_fdstat_set_flags", fd, fd_fdstat_set_flags(fd, FDFLAGS_NONBLOCK).map(none));
        print("fd_fdstat_set_rights", fd, fd_fdstat_set_rights(fd, RIGHTS_FD_READ, 0).map(none));
        print("fd_renumber", fd, fd_renumber(fd, fd.wrapping_add(1)).map(none));
        print("fd_close", fd, fd_close(fd).map(none));
    }
}
