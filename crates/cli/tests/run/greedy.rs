//! Deny by default: guests that try every call of their interface, without a grant and with one that does
//! not fit, reach nothing of the host.

use crate::run;
use sampan_testing::{guest, guest_for};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What each call gave: the guest prints `CALL [ON]: OUTCOME` a line.
fn outcomes(args: &[&str], guest: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let args = args.iter().map(|arg| arg.as_ref()).chain([guest.as_os_str()]);
    let finished = run(args);
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let mut outcomes = BTreeMap::<_, BTreeSet<_>>::new();
    for line in finished.stdout.lines() {
        let (call, outcome) = line.rsplit_once(": ").unwrap_or_else(|| panic!("no outcome in `{line}`"));
        outcomes.entry(call.trim().to_owned()).or_default().insert(outcome.to_owned());
    }
    outcomes
}

/// Each call has exactly these outcomes, and no call is missing or new.
#[track_caller]
fn check(outcomes: &BTreeMap<String, BTreeSet<String>>, expected: &[(&str, &str)]) {
    let expected: BTreeMap<_, BTreeSet<_>> = expected
        .iter()
        .map(|(call, outcomes)| ((*call).to_owned(), outcomes.split(" | ").map(str::to_owned).collect()))
        .collect();
    for (call, outcome) in outcomes {
        assert_eq!(Some(outcome), expected.get(call), "{call}");
    }
    assert_eq!(outcomes.len(), expected.len(), "a call was not tried");
}

/// The calls of preview 1 that take a descriptor and may do nothing at all.
const ON_NOTHING: [&str; 29] = [
    "fd_advise",
    "fd_allocate",
    "fd_datasync",
    "fd_fdstat_set_flags",
    "fd_fdstat_set_rights",
    "fd_filestat_set_size",
    "fd_filestat_set_times",
    "fd_pread",
    "fd_prestat_dir_name",
    "fd_prestat_get",
    "fd_pwrite",
    "fd_readdir",
    "fd_renumber",
    "fd_close",
    "fd_seek",
    "fd_sync",
    "fd_tell",
    "path_create_directory",
    "path_filestat_get",
    "path_filestat_set_times",
    "path_link",
    "path_open",
    "path_readlink",
    "path_remove_directory",
    "path_rename",
    "path_symlink",
    "path_unlink_file",
    "sock_accept",
    "sock_shutdown",
];

/// The rest, with what a guest without grants may learn. `fd` stands for the standard streams.
const ALLOWED: [(&str, &str); 17] = [
    ("args_get", "ok"),
    ("args_sizes_get", "ok 1"),
    ("clock_res_get", "ok | INVAL | NOTSUP | BADF"),
    ("clock_time_get", "ok | INVAL | NOTSUP | BADF"),
    ("environ_get", "ok"),
    ("environ_sizes_get", "ok 0"),
    ("fd_fdstat_get", "ok | BADF"),
    ("fd_filestat_get", "ok | BADF"),
    ("fd_read", "ok 0 | BADF"),
    ("fd_write", "ok 0 | BADF"),
    ("poll_oneoff", "ok 0 ready"),
    ("proc_exit", "ok with 0"),
    ("proc_raise", "NOTSUP | NOSYS"),
    ("random_get", "ok"),
    ("sched_yield", "ok"),
    ("sock_recv", "BADF | NOTSOCK"),
    ("sock_send", "BADF | NOTSOCK"),
];

#[test]
fn preview_1_reaches_nothing() {
    let mut tried = BTreeSet::new();
    for (call, outcomes) in outcomes(&[], &guest("greedy-p1")) {
        let name = call.split(' ').next().unwrap_or_default().to_owned();
        let allowed = ALLOWED.iter().find(|(one, _)| *one == name).map(|(_, outcomes)| *outcomes);
        for outcome in outcomes {
            let outcome = outcome.trim();
            match allowed {
                Some(allowed) => assert!(allowed.split(" | ").any(|one| one == outcome), "{call}: {outcome}"),
                None => assert!(!outcome.starts_with("ok"), "{call}: {outcome}"),
            }
        }
        assert!(allowed.is_some() || ON_NOTHING.contains(&&*name), "{name} is not in the test's tables");
        tried.insert(name);
    }
    assert_eq!(tried.len(), ON_NOTHING.len() + ALLOWED.len(), "a call was not tried: {tried:?}");
}

const DENIED: &str = "\"access-denied\"";

/// What every component may ask, and learn nothing by.
const P2_PLAIN: [(&str, &str); 17] = [
    ("get-arguments", "ok 1"),
    ("get-directories", "ok []"),
    ("get-environment", "ok []"),
    ("get-insecure-random-bytes", "ok 8"),
    ("get-insecure-random-u64", "ok true"),
    ("get-random-bytes", "ok 8"),
    ("get-random-u64", "ok true"),
    ("get-terminal-stderr", "ok false"),
    ("get-terminal-stdin", "ok false"),
    ("get-terminal-stdout", "ok false"),
    ("initial-cwd", "ok None"),
    ("insecure-seed", "ok true"),
    ("monotonic-clock.now", "ok true"),
    ("monotonic-clock.resolution", "ok true"),
    ("monotonic-clock.subscribe", "ok \"waited\""),
    ("wall-clock.now", "ok true"),
    ("wall-clock.resolution", "ok true"),
];

const P2_NETWORK: [(&str, &str); 7] = [
    ("http.handle 127.0.0.1:1", "ErrorCode::HttpRequestDenied"),
    ("http.handle [::1]:1", "ErrorCode::HttpRequestDenied"),
    ("http.handle example.com", "ErrorCode::HttpRequestDenied"),
    ("http.handle localhost:1", "ErrorCode::HttpRequestDenied"),
    ("resolve-addresses 127.0.0.1", "ok Some(IpAddress::Ipv4((127, 0, 0, 1)))"),
    ("resolve-addresses example.com", DENIED),
    ("resolve-addresses localhost", DENIED),
];

const P2_TCP: [(&str, &str); 9] = [
    ("create-tcp-socket", "ok IpAddressFamily::Ipv4 | ok IpAddressFamily::Ipv6"),
    ("tcp.accept", "\"invalid-state\""),
    ("tcp.bind", DENIED),
    ("tcp.connect", DENIED),
    ("tcp.is-listening", "ok false"),
    ("tcp.listen", "\"invalid-state\""),
    ("tcp.local-address", "\"invalid-state\""),
    ("tcp.remote-address", "\"invalid-state\""),
    ("tcp.shutdown", "\"invalid-state\""),
];

#[test]
fn wasi_0_2_reaches_nothing() {
    let guest = guest_for("wasm32-wasip2", "greedy-p2");
    let none = [("create-tcp-socket", DENIED), ("create-udp-socket", DENIED)];
    check(&outcomes(&[], &guest), &[&P2_PLAIN[..], &P2_NETWORK, &none].concat());
    // With a grant for another port there are sockets, which still lead nowhere.
    let tcp = outcomes(&["-p", "127.0.0.1:0:9999"], &guest);
    check(&tcp, &[&P2_PLAIN[..], &P2_NETWORK, &P2_TCP, &none[1..]].concat());
    let udp = outcomes(&["-p", "127.0.0.1:0:9999/udp"], &guest);
    for call in ["udp.bind", "udp.stream to", "udp.send"] {
        assert!(udp[call].iter().all(|outcome| !outcome.starts_with("ok")), "{call}: {:?}", udp[call]);
    }
}

#[test]
fn wasi_0_3_reaches_nothing() {
    let guest = guest_for("wasm32-wasip2", "greedy-p3");
    let names = [
        ("initial-cwd", "get-initial-cwd"),
        ("insecure-seed", "get-insecure-seed"),
        ("monotonic-clock.resolution", "monotonic-clock.get-resolution"),
        ("monotonic-clock.subscribe", "monotonic-clock.wait"),
        ("wall-clock.now", "system-clock.now"),
        ("wall-clock.resolution", "system-clock.get-resolution"),
    ];
    let renamed = |call| names.iter().find(|(old, _)| *old == call).map_or(call, |(_, new)| *new);
    let plain = P2_PLAIN.map(|(call, outcome)| (renamed(call), outcome));
    let network = [
        ("http.send 127.0.0.1:1", "ErrorCode::HttpRequestDenied"),
        ("http.send [::1]:1", "ErrorCode::HttpRequestDenied"),
        ("http.send example.com", "ErrorCode::HttpRequestDenied"),
        ("http.send localhost:1", "ErrorCode::HttpRequestDenied"),
        ("resolve-addresses 127.0.0.1", "ok [IpAddress::Ipv4((127, 0, 0, 1))]"),
        ("resolve-addresses example.com", "ErrorCode::AccessDenied"),
        ("resolve-addresses localhost", "ErrorCode::AccessDenied"),
    ];
    let none = [("tcp.create", "ErrorCode::AccessDenied"), ("udp.create", "ErrorCode::AccessDenied")];
    check(&outcomes(&[], &guest), &[&plain[..], &network, &none].concat());
    for grant in ["127.0.0.1:0:9999", "127.0.0.1:0:9999/udp"] {
        let outcomes = outcomes(&["-p", grant], &guest);
        for call in ["tcp.bind", "tcp.listen", "tcp.connect", "udp.bind", "udp.connect", "udp.send"] {
            let denied = outcomes.get(call).is_none_or(|all| all.iter().all(|one| !one.starts_with("ok")));
            assert!(denied, "{call}: {:?}", outcomes[call]);
        }
    }
}

/// A handle that the host never gave out ends the component, whatever the call.
#[test]
fn forged_handles_trap() {
    for (name, calls) in [("greedy-p2", 30), ("greedy-p3", 25)] {
        let guest = guest_for("wasm32-wasip2", name);
        let listed = run([guest.as_os_str(), "forge".as_ref()]).stdout;
        assert_eq!(listed.lines().count(), calls, "{listed}");
        for call in listed.lines() {
            let finished = run([guest.as_os_str(), "forge".as_ref(), call.as_ref()]);
            assert!(finished.stderr.contains("unknown handle index"), "{call}: {finished:?}");
            assert_eq!((finished.code, finished.stdout.as_str()), (134, ""), "{call}");
        }
    }
}

#[test]
fn wasi_experimental_http_without_a_grant() {
    // The codes of the interface: 7 is a destination that is not allowed, 1 a handle that is none.
    const NOT_ALLOWED: &str = "7";
    const NO_HANDLE: &str = "1";
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = format!("{:05}", listener.local_addr().unwrap().port());
    let guest = sampan_testing::wat("greedy-experimental");
    let call = |flags: &[&str], function: &str, argument: &str| {
        let args = [flags, &["--invoke", function, guest.to_str().unwrap(), argument]].concat();
        let finished = run(args);
        assert_eq!(finished.code, 0, "{function}: {}", finished.stderr);
        finished.stdout.trim().to_owned()
    };
    for flags in [&[][..], &["--allow-http", "http://127.0.0.1:1"]] {
        assert_eq!(call(flags, "req", &port), NOT_ALLOWED);
        for function in ["close", "header_get", "headers_get_all", "body_read"] {
            for handle in ["0", "1", "4294967295"] {
                assert_eq!(call(flags, function, handle), NO_HANDLE, "{function} {handle}");
            }
        }
    }
    assert!(listener.accept().is_err(), "a request reached the host");
}
