//! The acceptor: one thread that takes connections off all listeners and hands each to the worker that has
//! the fewest. It does nothing that a client could hold up.

use crate::connection;
use crate::handler::Peer;
use crate::line::Line;
use crate::listener::Listener;
use crate::notice::Notice;
use crate::server::{Shared, Work};
use crate::tls;
use crate::worker::Hand;
use sampan_telemetry::metrics;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Builder;

/// After an error that is not the client's, such as no more descriptors, so much time is given to others to
/// close some.
const PAUSE: Duration = Duration::from_millis(50);

/// What a client gets that is one too many. It is sent without waiting for anything.
const TOO_MANY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

pub(crate) fn start(
    listeners: Vec<Listener>,
    hands: Vec<Hand>,
    shared: Arc<Shared>,
) -> io::Result<JoinHandle<()>> {
    let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
    let hands: Arc<[Hand]> = hands.into();
    let listeners = {
        let _inside = runtime.enter();
        listeners
            .into_iter()
            .map(|one| Ok((TcpListener::from_std(one.socket)?, one.address, one.certificates)))
            .collect::<io::Result<Vec<_>>>()?
    };
    std::thread::Builder::new().name("accept".to_owned()).spawn(move || {
        runtime.block_on(async move {
            let certificates = listeners.iter().filter_map(|(_, _, certificates)| certificates.clone());
            tokio::spawn(tls::watch(certificates.collect(), shared.clone()));
            for (socket, address, certificates) in listeners {
                let door =
                    Door { socket, address, certificates, hands: hands.clone(), shared: shared.clone() };
                tokio::spawn(door.run());
            }
            shared.stop.notified().await;
        });
        // The sockets are closed here, with the tasks that own them.
    })
}

struct Door {
    socket: TcpListener,
    address: SocketAddr,
    certificates: Option<Arc<tls::Certificates>>,
    hands: Arc<[Hand]>,
    shared: Arc<Shared>,
}

impl Door {
    async fn run(self) {
        let mut told = false;
        loop {
            // Leaving this runtime costs two system calls for each connection, and no unsafe code.
            match self.socket.accept().await.and_then(|(stream, peer)| Ok((stream.into_std()?, peer))) {
                Ok((stream, peer)) => {
                    told = false;
                    self.admit(stream, peer);
                }
                // accept(2) says to go on.
                Err(error) if client_gone(&error) => {}
                Err(error) => {
                    if !told {
                        told = true;
                        let error = error.to_string();
                        self.shared.notices.tell(&Notice::AcceptFails { address: self.address, error });
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    fn admit(&self, stream: TcpStream, peer: SocketAddr) {
        if !self.shared.admit() {
            metrics().connections_refused.inc();
            if matches!(self.shared.work, Work::Http(_)) && self.certificates.is_none() {
                refuse(&stream);
            }
            return;
        }
        let tls = self.certificates.as_ref().map(|certificates| certificates.current());
        let peer = Peer { address: peer, local: self.address, tls: tls.is_some() };
        let line = Arc::new(Line::new(self.shared.clone(), peer));
        let Some(hand) = self.hands.iter().min_by_key(|hand| hand.lines.count()) else { return };
        let slot = hand.lines.enter(line.clone());
        hand.runtime.spawn(connection::run(stream, line, slot, tls));
    }
}

fn client_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
        || error.kind() == io::ErrorKind::Interrupted
}

/// Says no without waiting: the socket does not block. What has come is read, because closing with unread bytes would take back the
/// answer too.
fn refuse(mut stream: &TcpStream) {
    let mut heap = [0; 4096];
    let _ = stream.read(&mut heap);
    let _ = stream.write(TOO_MANY);
    let _ = stream.shutdown(Shutdown::Write);
}
