//! Ten thousand connections that do nothing.

use crate::support::{Raw, Site};
use sampan_service::Limits;
use sampan_testing::{PATIENCE, allow_many_files, finish, skip};
use std::net::SocketAddr;
use std::process::Command;

const CONNECTIONS: usize = 10_000;

/// Set for the process that is the client: both ends in one would need twice the descriptors.
const CLIENT: &str = "SAMPAN_IDLE_CLIENT";

/// What the server and its tests need beside the connections.
const SPARE: u64 = 500;

#[test]
fn ten_thousand_idle_connections_disturb_nobody() {
    allow_many_files();
    if let Ok(address) = std::env::var(CLIENT) {
        return client(address.parse().unwrap());
    }
    let allowed = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    if allowed.is_some_and(|allowed| allowed < CONNECTIONS as u64 + SPARE) {
        return skip(&format!("{CONNECTIONS} connections need more than {allowed:?} open files"))
            .unwrap_or(());
    }
    // A busy machine takes long to open so many.
    let site = Site::limited(Limits { keep_alive: PATIENCE * 4, ..Limits::default() });
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "idle::ten_thousand_idle_connections_disturb_nobody"]);
    let finished = finish(command.env(CLIENT, site.address.to_string()), "");
    assert_eq!(finished.code, 0, "{}{}", finished.stdout, finished.stderr);
    // All were there at once: none was refused or cut, and each was asked something at its beginning and its end.
    let served = site.events.try_iter().filter(|event| event == "request /hello").count();
    assert_eq!(served, 2 * CONNECTIONS + 1);
}

fn client(address: SocketAddr) {
    let ask = |raw: &mut Raw| assert_eq!(raw.get("/hello").response().1, "hello");
    let open = |_| {
        let mut raw = Raw::connect(address);
        ask(&mut raw);
        raw
    };
    let mut idle: Vec<Raw> = (0..CONNECTIONS).map(open).collect();
    ask(&mut Raw::connect(address));
    idle.iter_mut().for_each(ask);
}
