//! Ports, and a TCP server that does what a test says.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// A port on 127.0.0.1 that was free a moment ago. Prefer port 0 where the program under test can say which
/// one it got.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
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
