//! The socket itself: who may connect, what is replaced, and what is left at the end.

use crate::{Engine, dockers, serve, socket, within};
use rustix::process::{Pid, Signal, kill_process};
use sampan_testing::{finish, sampan, temp_dir};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

#[test]
fn only_its_user_may_connect() {
    let engine = Engine::with(&["streams"]);
    let mode = fs::metadata(engine.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn what_is_there_already() {
    let folder = temp_dir();
    // One that nobody listens at is replaced.
    drop(UnixListener::bind(socket(folder.path())).unwrap());
    let _api = serve(folder.path());
    let second = |path: &std::path::Path| {
        let mut command = within(folder.path(), sampan());
        finish(command.arg("docker-api").arg("--socket").arg(path), "")
    };
    let live = second(&socket(folder.path()));
    assert!(live.code != 0 && live.stderr.contains("somebody listens"), "{}", live.stderr);
    let file = folder.path().join("file");
    fs::write(&file, "kept").unwrap();
    let no_socket = second(&file);
    assert!(no_socket.code != 0 && no_socket.stderr.contains("is no socket"), "{}", no_socket.stderr);
    assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
    let long = second(&folder.path().join("x".repeat(120)));
    assert!(long.code != 0 && long.stderr.contains("107 bytes"), "{}", long.stderr);
}

/// The server is a face: containers live without it, and the next one finds them.
#[test]
fn containers_go_on_without_it() {
    let mut engine = Engine::start();
    let Some(docker) = dockers().pop() else { return };
    let run = ["run", "-d", "--name", "on", "--entrypoint", "/endless.wasm", "guests", "sleep"];
    engine.good(&docker, &run);
    let pid = Pid::from_child(&engine.api.child);
    kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(engine.api.child.wait().unwrap().code(), Some(0));
    assert!(!engine.socket().exists());
    assert!(engine.sampan(&["ps"]).stdout.contains("on"));
    engine.api = serve(engine.path());
    assert_eq!(engine.good(&docker, &["inspect", "-f", "{{.State.Status}}", "on"]), "running");
}
