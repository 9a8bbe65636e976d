//! A process that has used up its file descriptors.

use crate::support::Site;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sampan_testing::finish;
use std::net::TcpStream;
use std::process::Command;

/// Set for the process that has few descriptors.
const FEW: &str = "SAMPAN_FEW_DESCRIPTORS";

#[test]
fn without_descriptors_clients_wait_and_are_served_later() {
    const NAME: &str = "descriptors::without_descriptors_clients_wait_and_are_served_later";
    if std::env::var_os(FEW).is_none() {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let finished = finish(command.args(["--exact", NAME, "--nocapture"]).env(FEW, "1"), "");
        assert_eq!(finished.code, 0, "{}{}", finished.stdout, finished.stderr);
        return;
    }
    let site = Site::start();
    let mut first = site.raw();
    assert_eq!(first.get("/hello").response().1, "hello");
    // The client's socket is the last.
    let mut waiting = TcpStream::connect(site.address).map(crate::support::Raw).unwrap();
    waiting.get("/hello").response();
    let next = std::fs::File::open("/dev/null").unwrap();
    let number = std::os::fd::AsRawFd::as_raw_fd(&next) as u64;
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(number + 1), maximum }).unwrap();
    drop(next);
    let mut late = site.raw();
    late.get("/hello");
    let told = site.expect(&format!("cannot accept connections on {}", site.address));
    assert!(told.ends_with("trying again"), "{told}");
    assert_eq!(first.get("/hello").response().1, "hello", "those that are open go on");
    drop(waiting);
    assert_eq!(late.response().1, "hello");
}
