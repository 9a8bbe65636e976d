//! `--explain`: a refusal names the flag that would have granted what was refused.

use crate::run;
use sampan_testing::guest_for;

#[test]
fn sockets_of_components_that_are_refused_at_once() {
    for guest in ["sockets-p2", "sockets-p3"] {
        let path = guest_for("wasm32-wasip2", guest);
        let finished = run(["--explain".as_ref(), path.as_os_str(), "probe".as_ref()]);
        assert_eq!(finished.code, 0, "{finished:?}");
        for line in [
            "sampan: refused: open a TCP socket; grant it with --allow-tcp HOST:PORT or -p HOST:GUEST\n",
            "sampan: refused: open a UDP socket; grant it with --allow-udp HOST:PORT or -p HOST:GUEST/udp\n",
            "sampan: refused: look up localhost; grant it with --allow-tcp localhost:PORT\n",
        ] {
            assert!(finished.stderr.contains(line), "{guest}: {line} in {}", finished.stderr);
        }
        let silent = run([path.as_os_str(), "probe".as_ref()]);
        assert_eq!((&*silent.stderr, silent.stdout), ("", finished.stdout));
    }
}

#[test]
fn files_of_modules_and_components() {
    let dir = sampan_testing::temp_dir();
    let read_only = format!("{}:/data:ro", dir.path().display());
    for platform in ["wasm32-wasip1", "wasm32-wasip2"] {
        let guest = guest_for(platform, "files");
        let guest = guest.to_str().unwrap();
        let finished = run(["--explain", "-v", &read_only, guest, "write", "/data/new", "text"]);
        assert!(
            finished.stderr.contains("in a read-only mount; grant it with -v HOST:GUEST (without :ro)"),
            "{finished:?}"
        );
        let finished = run(["--explain", guest, "cat", "/data/new"]);
        assert!(finished.stderr.contains("none is mounted; grant it with -v HOST:GUEST"), "{finished:?}");
        assert!(!run([guest, "cat", "/data/new"]).stderr.contains("refused"));
    }
}

#[test]
fn brokers_of_messages() {
    let guest = guest_for("wasm32-wasip2", "messaging-http");
    let args = ["publish", "events", "orders", "x"];
    let explained = run(["--explain".as_ref(), guest.as_os_str()].into_iter().chain(args.map(AsRef::as_ref)));
    assert_eq!(explained.stdout, "permission denied: the broker is not granted\n", "{explained:?}");
    let line = "sampan: refused: connect to the broker `events`; grant it with messaging = [\"events\"] in the \
                component's grant (sampan.toml)\n";
    assert!(explained.stderr.contains(line), "{}", explained.stderr);
    let silent = run([guest.as_os_str()].into_iter().chain(args.map(AsRef::as_ref)));
    assert_eq!((&*silent.stderr, silent.stdout), ("", explained.stdout));
}
