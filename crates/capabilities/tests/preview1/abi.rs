//! Names, types and numbers: what a module may import, and how it ends.

use crate::{Flags, run_to_end};
use sampan_testing::{guest, wat};

/// A module that imports these functions and calls none.
fn imports(list: &[(&str, &str, &str)]) -> String {
    let lines: String = list
        .iter()
        .map(|(module, name, ty)| format!("(import \"{module}\" \"{name}\" (func {ty}))\n"))
        .collect();
    format!("(module {lines} (memory (export \"memory\") 1) (func (export \"_start\")))")
}

fn params(count: usize) -> String {
    format!("(param {}) (result i32)", "i32 ".repeat(count))
}

const WASI: &str = "wasi_snapshot_preview1";

#[test]
fn every_socket_import_is_known_in_both_generations() {
    let calls = [
        ("sock_open", 3, 3),
        ("sock_bind", 3, 3),
        ("sock_connect", 3, 3),
        ("sock_listen", 2, 2),
        ("sock_accept", 2, 3),
        ("sock_recv", 6, 6),
        ("sock_recv_from", 7, 8),
        ("sock_send", 5, 5),
        ("sock_send_to", 7, 7),
        ("sock_getlocaladdr", 4, 3),
        ("sock_getpeeraddr", 4, 3),
    ];
    let others =
        [("sock_shutdown", 2), ("sock_getsockopt", 5), ("sock_setsockopt", 5), ("sock_getaddrinfo", 8)];
    let mut list = Vec::new();
    for (name, first, second) in calls {
        list.push((name.to_owned(), params(first)));
        list.push((name.to_owned(), params(second)));
        list.push((format!("{name}_v2"), params(second)));
    }
    list.extend(others.map(|(name, count)| (name.to_owned(), params(count))));
    list.push(("epoll_oneoff".to_owned(), params(4)));
    let list: Vec<_> = list.iter().map(|(name, ty)| (WASI, name.as_str(), ty.as_str())).collect();
    // One module imports both types under one name.
    assert_eq!(run_to_end(imports(&list), &Flags::default()).code, Ok(0));
}

#[test]
fn preview_0_knows_the_standard_calls() {
    let one = params(5);
    let list = [
        ("wasi_unstable", "sock_send", one.as_str()),
        ("wasi_unstable", "fd_seek", "(param i32 i64 i32 i32) (result i32)"),
        ("wasi_unstable", "sched_yield", "(result i32)"),
        ("wasi_unstable", "proc_exit", "(param i32)"),
    ];
    assert_eq!(run_to_end(imports(&list), &Flags::default()).code, Ok(0));
}

#[test]
fn what_is_not_provided_is_named() {
    let nine = params(9);
    for (module, name, ty) in [
        (WASI, "sock_accept", params(4).as_str()),
        (WASI, "sock_accept_v2", params(2).as_str()),
        (WASI, "sock_shutdown_v2", params(2).as_str()),
        (WASI, "epoll_oneoff_v2", params(4).as_str()),
        (WASI, "fd_read", nine.as_str()),
        (WASI, "fd_seek", params(4).as_str()),
        (WASI, "no_such_call", ""),
        ("wasi_unstable", "sock_open", params(3).as_str()),
        ("wasi_unstable", "sock_accept", params(2).as_str()),
        ("wasi", "thread-spawn", "(param i32) (result i32)"),
        ("env", "puts", "(param i32)"),
    ] {
        let error = run_to_end(imports(&[(module, name, ty)]), &Flags::default()).code.unwrap_err();
        assert!(error.contains(&format!("{module} `{name}`")), "{error}");
    }
    let memory = "(module (import \"env\" \"memory\" (memory 1 2 shared)) (func (export \"_start\")))";
    let error = run_to_end(memory, &Flags::default()).code.unwrap_err();
    assert!(error.contains("env `memory` (a shared memory, for threads)"), "{error}");
}

#[test]
fn exit_codes_are_bytes() {
    for module in [WASI, "wasi_unstable"] {
        for (code, seen) in [(0, 0), (1, 1), (125, 125), (126, 126), (255, 255), (256, 0), (-1, 255)] {
            let wat = format!(
                "(module (import \"{module}\" \"proc_exit\" (func $exit (param i32)))
                   (memory (export \"memory\") 1) (func (export \"_start\") (call $exit (i32.const {code}))))"
            );
            assert_eq!(run_to_end(wat, &Flags::default()).code, Ok(seen), "{code}");
        }
    }
}

#[test]
fn preview_0_prints_and_ends() {
    let ended = run_to_end(std::fs::read(wat("preview0")).unwrap(), &Flags::default());
    assert_eq!(ended.code, Ok(3), "{ended:?}");
    assert!(!ended.stdout.is_empty());
}

#[test]
fn a_module_without_memory_traps_alone() {
    let wat = format!(
        "(module (import \"{WASI}\" \"fd_close\" (func $close (param i32) (result i32)))
           (func (export \"_start\") (drop (call $close (i32.const 1)))))"
    );
    let error = run_to_end(wat, &Flags::default()).code.unwrap_err();
    assert!(error.contains("exports no memory"), "{error}");
}

#[test]
fn bad_arguments_are_errors_and_no_traps() {
    let flags = Flags { args: &["bad"], tcp: &["127.0.0.1:*"], ..Flags::default() };
    let ended = run_to_end(std::fs::read(guest("wasmedge-abi")).unwrap(), &flags);
    let expected = [
        ("unix", 52),
        ("no family", 28),
        ("family 9", 28),
        ("type 9", 28),
        ("misaligned fd", 4),
        ("fd outside", 21),
        ("address outside", 21),
        ("address misaligned", 4),
        ("address of 5 bytes", 28),
        ("address buffer outside", 21),
        ("port 65536", 28),
        ("unix address", 52),
        ("1025 iovecs", 28),
        ("iovecs outside", 21),
        ("iovecs misaligned", 4),
        ("iovec outside", 21),
        ("send flags", 28),
        ("recv flags", 28),
        // Linux says EPIPE for a stream that was never connected.
        ("send unconnected", 64),
        ("recv unconnected", 53),
        ("listen unbound", 2),
        ("accept unbound", 28),
        ("accept flags", 28),
        ("shutdown unconnected", 53),
        ("shutdown 0", 28),
        ("shutdown 4", 28),
        ("peer unconnected", 53),
        ("local in 3 bytes", 28),
        ("local v2 in 16 bytes", 28),
        ("setsockopt of PHP", 28),
        ("option 15", 50),
        ("set a readable option", 50),
        ("option of 3 bytes", 28),
        ("option outside", 21),
        ("get into 2 bytes", 28),
    ];
    let expected: String = expected.iter().map(|(what, errno)| format!("{what} {errno}\n")).collect();
    assert_eq!(ended.stdout, expected);
    assert_eq!(ended.code, Ok(0));
}

#[test]
fn descriptors_have_the_lowest_free_number() {
    let flags =
        Flags { args: &["numbers"], tcp: &["127.0.0.1:*"], udp: &["127.0.0.1:*"], ..Flags::default() };
    let ended = run_to_end(std::fs::read(guest("wasmedge-abi")).unwrap(), &flags);
    // 3 4 5, then 4 again; the datagram socket (type 5) in the place of the first, blocking and then not;
    // no seeking in it; its old number is closed; and 0 is free when 0 is closed.
    assert_eq!(ended.stdout, "3 4 5\n4\n5 0\n4\n5\nErr(70)\nErr(8)\n");
    assert_eq!(ended.code, Ok(0));
}

#[test]
fn sockets_are_bounded() {
    let flags = Flags { args: &["many"], udp: &["127.0.0.1:*"], ..Flags::default() };
    let ended = run_to_end(std::fs::read(guest("wasmedge-abi")).unwrap(), &flags);
    assert_eq!(ended.stdout, "4096 then 41\n");
}
