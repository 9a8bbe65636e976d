//! A small web server on WasmEdge's sockets: `web-server [ADDRESS [FOLDER]]`, by default `0.0.0.0:80` and
//! `/site`. One thread and one `poll` serve all connections.

mod connection;
mod request;
mod response;

use connection::{Connection, Wants};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Result};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};
use wasmedge_wasi_socket::TcpListener;
use wasmedge_wasi_socket::poll::{Event, EventType, Subscription, poll};

/// Beyond these, clients wait in the listener's queue.
const CONNECTIONS_MAX: usize = 4000;

/// A client that neither sends nor takes anything for so long is let go.
const IDLE_MAX: Duration = Duration::from_secs(30);

const LISTENER: u64 = u64::MAX;
const TIMER: u64 = u64::MAX - 1;

struct Server {
    listener: TcpListener,
    folder: PathBuf,
    connections: BTreeMap<u64, Connection>,
    next_id: u64,
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "0.0.0.0:80".to_owned());
    let folder = PathBuf::from(arguments.next().unwrap_or_else(|| "/site".to_owned()));
    if !folder.is_dir() {
        eprintln!("web-server: there is no folder {}; grant one with -v HOST:{0}:ro", folder.display());
        std::process::exit(2);
    }
    let listener = TcpListener::bind(&*address, true).inspect_err(|error| {
        eprintln!("web-server: cannot listen on {address}: {error}; map a port with -p HOST:GUEST");
    })?;
    println!("web-server: serving {} on {address}", folder.display());
    Server { listener, folder, connections: BTreeMap::new(), next_id: 0 }.serve()
}

impl Server {
    fn serve(&mut self) -> Result<()> {
        loop {
            for event in poll(&self.subscriptions())? {
                match event.userdata {
                    LISTENER => self.accept()?,
                    TIMER => self.drop_idle(),
                    id => self.advance(id, &event),
                }
            }
        }
    }

    fn subscriptions(&self) -> Vec<Subscription> {
        let mut list = Vec::with_capacity(self.connections.len() + 2);
        if self.connections.len() < CONNECTIONS_MAX {
            list.push(Subscription::io(LISTENER, &self.listener, true, false, None));
        }
        for (id, connection) in &self.connections {
            let (read, write) = match connection.wants() {
                Wants::Read => (true, false),
                Wants::Write => (false, true),
            };
            list.push(Subscription::io(*id, &connection.stream, read, write, None));
        }
        if let Some(oldest) = self.connections.values().map(|connection| connection.active).min() {
            list.push(Subscription::timeout(TIMER, oldest + IDLE_MAX));
        }
        list
    }

    fn accept(&mut self) -> Result<()> {
        while self.connections.len() < CONNECTIONS_MAX {
            match self.listener.accept(true) {
                Ok((stream, peer)) => {
                    self.connections.insert(self.next_id, Connection::new(stream, peer));
                    self.next_id += 1;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // A client that was gone before it was accepted, or no descriptor left: others go on.
                Err(error) => {
                    eprintln!("web-server: accept: {error}");
                    break;
                }
            }
        }
        Ok(())
    }

    fn advance(&mut self, id: u64, event: &Event) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let open = match event.event_type {
            EventType::Error(_) => false,
            _ => connection.advance(&self.folder).unwrap_or(false),
        };
        if !open {
            self.connections.remove(&id);
        }
    }

    fn drop_idle(&mut self) {
        let now = SystemTime::now();
        let idle = |connection: &Connection| now.duration_since(connection.active).unwrap_or_default();
        self.connections.retain(|_, connection| idle(connection) < IDLE_MAX);
    }
}
