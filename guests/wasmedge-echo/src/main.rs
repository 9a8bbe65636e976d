//! `wasmedge-echo blocking|poll|epoll ADDRESS [CONNECTIONS]`: sends back what it receives; ends after as many
//! connections. `blocking` serves one after the other; the others serve all at once.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Result, Write};
use std::os::fd::AsRawFd;
use wasip1::{
    EVENTTYPE_FD_READ, EVENTTYPE_FD_WRITE, Event, Subscription, SubscriptionFdReadwrite, SubscriptionU,
    SubscriptionUU,
};
use wasmedge_wasi_socket::{TcpListener, TcpStream};

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn poll_oneoff(
        subscriptions: *const Subscription,
        events: *mut Event,
        count: usize,
        out: *mut usize,
    ) -> i32;
    fn epoll_oneoff(
        subscriptions: *const Subscription,
        events: *mut Event,
        count: usize,
        out: *mut usize,
    ) -> i32;
}

/// What is left to write is kept up to so many bytes; until it is written no more is read.
const BACKLOG_MAX: usize = 64 << 10;

/// Userdata of the listener; a connection has its descriptor's number.
const LISTENER: u64 = u64::MAX;

struct Connection {
    stream: TcpStream,
    backlog: Vec<u8>,
    /// The client sends no more.
    finished: bool,
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let connections = args.get(3).map_or(1, |count| count.parse().expect("a number"));
    let blocking = args[1] == "blocking";
    let listener = TcpListener::bind(&*args[2], !blocking)?;
    println!("listening on {}", listener.local_addr()?);
    if blocking {
        for _ in 0..connections {
            let (stream, _) = listener.accept(false)?;
            io::copy(&mut &stream, &mut &stream)?;
        }
    } else {
        serve(&listener, args[1] == "epoll", connections)?;
    }
    println!("served {connections}");
    Ok(())
}

fn serve(listener: &TcpListener, edges: bool, mut left: usize) -> Result<()> {
    let mut connections: BTreeMap<u64, Connection> = BTreeMap::new();
    while left > 0 {
        for (userdata, error) in wait(&subscriptions(listener, &connections, edges), edges)? {
            if error != 0 {
                return Err(io::Error::from_raw_os_error(error.into()));
            }
            if userdata == LISTENER {
                accept(listener, &mut connections)?;
            } else if connections.get_mut(&userdata).is_some_and(|one| !one.advance()) {
                connections.remove(&userdata);
                left -= 1;
            }
        }
    }
    Ok(())
}

/// With edges everything is subscribed always; with levels only what there is a use for.
fn subscriptions(
    listener: &TcpListener,
    connections: &BTreeMap<u64, Connection>,
    edges: bool,
) -> Vec<Subscription> {
    let mut all = vec![subscription(LISTENER, listener.as_raw_fd(), false)];
    for (id, connection) in connections {
        let fd = connection.stream.as_raw_fd();
        let full = connection.backlog.len() >= BACKLOG_MAX;
        if edges || !(full || connection.finished) {
            all.push(subscription(*id, fd, false));
        }
        if edges || !connection.backlog.is_empty() {
            all.push(subscription(*id, fd, true));
        }
    }
    all
}

fn subscription(userdata: u64, fd: i32, write: bool) -> Subscription {
    let interest = SubscriptionFdReadwrite { file_descriptor: fd as u32 };
    let (tag, u) = if write {
        (EVENTTYPE_FD_WRITE.raw(), SubscriptionUU { fd_write: interest })
    } else {
        (EVENTTYPE_FD_READ.raw(), SubscriptionUU { fd_read: interest })
    };
    Subscription { userdata, u: SubscriptionU { tag, u } }
}

/// Userdata and error of what happened.
fn wait(subscriptions: &[Subscription], edges: bool) -> Result<Vec<(u64, u16)>> {
    let mut events: Vec<Event> = Vec::with_capacity(subscriptions.len());
    let mut count = 0;
    let call = if edges { epoll_oneoff } else { poll_oneoff };
    // SAFETY: there is room for as many events as there are subscriptions.
    let errno = unsafe { call(subscriptions.as_ptr(), events.as_mut_ptr(), subscriptions.len(), &mut count) };
    if errno != 0 {
        return Err(io::Error::from_raw_os_error(errno));
    }
    // SAFETY: the host has written as many events.
    unsafe { events.set_len(count) };
    Ok(events.iter().map(|event| (event.userdata, event.error.raw())).collect())
}

fn accept(listener: &TcpListener, connections: &mut BTreeMap<u64, Connection>) -> Result<()> {
    loop {
        match listener.accept(true) {
            Ok((stream, _)) => {
                let id = stream.as_raw_fd() as u64;
                connections.insert(id, Connection { stream, backlog: Vec::new(), finished: false });
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

impl Connection {
    /// Moves what can be moved; `false` when the connection is done.
    fn advance(&mut self) -> bool {
        let mut buffer = [0; 4096];
        loop {
            match (&self.stream).write(&self.backlog) {
                Ok(len) => drop(self.backlog.drain(..len)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(_) => return false,
            }
            if !self.backlog.is_empty() {
                continue;
            }
            if self.finished {
                return false;
            }
            match (&self.stream).read(&mut buffer) {
                Ok(0) => self.finished = true,
                Ok(len) => self.backlog.extend_from_slice(&buffer[..len]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(_) => return false,
            }
        }
    }
}
