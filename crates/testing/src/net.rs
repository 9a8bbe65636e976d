//! Ports, and a TCP server that does what a test says.

use crate::{lock, target};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// A port on 127.0.0.1 that nothing listens at, and that no test of this build is given again soon. Prefer
/// port 0 where the program under test can say which one it got.
///
/// It lies below the range from which the system takes ports for connections (`ip_local_port_range` in Linux'
/// Documentation/networking/ip-sysctl.rst), so that no other test's connection takes it in between.
pub fn free_port() -> u16 {
    const FIRST: u16 = 15_000;
    let end = system_ports_begin();
    assert!(end > FIRST + 1_000, "no room for the tests' ports below {end}, where the system's begin");
    let mut file = lock(&target().join("tests/port"));
    let mut last = String::new();
    file.read_to_string(&mut last).expect("the last port");
    let last = last.trim().parse().unwrap_or(FIRST);
    let after_last = (last..end).skip(1).chain(FIRST..=last);
    let port = after_last
        .into_iter()
        .find(|&port| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok())
        .expect("a free port");
    file.set_len(0).expect("the last port is forgotten");
    file.write_all(port.to_string().as_bytes()).expect("the last port is written");
    port
}

/// The first port that the system gives by itself, or Linux' default where it does not tell.
fn system_ports_begin() -> u16 {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    range.split_whitespace().next().and_then(|begin| begin.parse().ok()).unwrap_or(32_768)
}

/// Lets this test process open as many files and sockets as the system allows at all. Most systems give a
/// process 1,024, and the tests of a binary share them.
pub fn allow_many_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("a soft limit may be raised to the hard one");
}

/// A server on 127.0.0.1 that handles each connection in a thread of its own. It lives as long as the test
/// process.
pub struct TcpServer {
    pub address: SocketAddr,
}

impl TcpServer {
    pub fn start(handle: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static) -> TcpServer {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let handle = Arc::new(handle);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let handle = handle.clone();
                // A client that goes away early is its own affair.
                thread::spawn(move || handle(stream));
            }
        });
        TcpServer { address }
    }

    /// Sends back what it receives.
    pub fn echo() -> TcpServer {
        TcpServer::start(|stream| io::copy(&mut &stream, &mut &stream).map(drop))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_and_are_not_the_systems_own() {
        let ports: Vec<u16> = (0..50).map(|_| free_port()).collect();
        assert!(ports.iter().all(|&port| port < system_ports_begin()), "{ports:?}");
        assert!(ports.windows(2).all(|two| two[0] != two[1]), "{ports:?}");
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, free_port())).expect("the port is free");
        let taken = taken.local_addr().expect("an address").port();
        assert!((0..50).all(|_| free_port() != taken));
    }
}
