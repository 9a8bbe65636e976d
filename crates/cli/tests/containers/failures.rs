//! What goes wrong: processes that are killed, files that are damaged, programs that are none.

use crate::{Place, idle};
use rustix::process::{Pid, Signal, kill_process};
use sampan_testing::{PATIENCE, guest, temp_dir};
use std::fs;
use std::time::Instant;

fn kill(pid: &serde_json::Value) {
    let pid = i32::try_from(pid.as_i64().unwrap()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

#[test]
fn a_killed_supervisor_takes_its_guest_along_and_the_rest_is_as_it_was() {
    let place = Place::new();
    place.start("a", &[], &idle(), &[]);
    place.start("b", &[], &idle(), &[]);
    let state = place.inspect("a")["State"].clone();
    kill(&state["SupervisorPid"]);
    // Whoever waits is told, as soon as nobody holds the container any more.
    assert_eq!(place.ok(&["wait", "a"]), "137");
    let after = place.inspect("a")["State"].clone();
    assert_eq!(
        (after["Status"].as_str(), after["Error"].as_str()),
        (Some("exited"), Some("its supervisor was killed"))
    );
    let begun = Instant::now();
    while fs::exists(format!("/proc/{}/stat", state["Pid"])).unwrap() && !is_zombie(&state["Pid"]) {
        assert!(begun.elapsed() < PATIENCE, "the guest lives on");
    }
    assert_eq!(place.status("b"), "running");
    place.ok(&["start", "a"]);
    assert_eq!(place.status("a"), "running");
}

fn is_zombie(pid: &serde_json::Value) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}

#[test]
fn a_killed_guest_is_an_end_as_any() {
    let place = Place::new();
    place.start("a", &[], &idle(), &[]);
    kill(&place.inspect("a")["State"]["Pid"]);
    assert_eq!(place.ok(&["wait", "a"]), "137");
}

#[test]
fn what_is_no_program_is_said() {
    let place = Place::new();
    let folder = temp_dir();
    let broken = folder.path().join("broken.wasm");
    fs::write(&broken, b"\0asm\x01\0\0\0broken").unwrap();
    let ended = place.sampan(&["run", "--name", "x", "--rm", broken.to_str().unwrap()]);
    assert_eq!(ended.code, 126, "{}", ended.stderr);
    assert!(ended.stderr.contains("error: ") && ended.stderr.contains("help: "), "{}", ended.stderr);
    place.fails(&["run", "-d", "/nowhere/at-all.wasm"], 127, "there is no file");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("127.0.0.1:{}:8080", port.local_addr().unwrap().port());
    let ended =
        place.sampan(&["run", "--name", "x", "--rm", "-p", &taken, guest("wasmedge-echo").to_str().unwrap()]);
    assert_eq!(ended.code, 125, "{}", ended.stderr);
    assert!(ended.stderr.contains("in use"), "{}", ended.stderr);
    assert_eq!(place.ok(&["ps", "-aq"]), "");
}

#[test]
fn a_damaged_record_is_said_and_can_be_removed() {
    let place = Place::new();
    place.start("a", &[], &idle(), &[]);
    place.ok(&["stop", "a"]);
    let folder = place.folder("a");
    fs::write(folder.join("state.json"), "{").unwrap();
    place.fails(&["start", "a"], 1, "is damaged");
    place.ok(&["rm", "-f", "a"]);
    assert!(!folder.exists());
}

#[test]
fn an_image_that_cannot_be_had() {
    let place = Place::new();
    place.fails(&["run", "--pull", "never", "no/such:image"], 125, "no/such:image");
    let port = sampan_testing::free_port();
    place.fails(&["run", &format!("127.0.0.1:{port}/no/such:image")], 125, "does not answer");
    assert_eq!(place.ok(&["ps", "-aq"]), "");
}
