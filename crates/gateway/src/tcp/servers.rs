//! Servers that take turns.

use super::{Connect, Connected};
use futures::future::BoxFuture;
use sampan_app::Upstream;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The servers of an upstream.
pub struct Servers {
    upstream: Upstream,
    next: AtomicUsize,
}

impl Servers {
    pub fn new(upstream: &Upstream) -> Self {
        Servers { upstream: upstream.clone(), next: AtomicUsize::new(0) }
    }
}

impl Connect for Servers {
    fn connect(&self, _: IpAddr) -> BoxFuture<'_, io::Result<Connected>> {
        Box::pin(async move {
            let servers = &self.upstream.servers;
            let first = self.next.fetch_add(1, Relaxed);
            let mut last = io::Error::from(io::ErrorKind::NotFound);
            for at in 0..servers.len() {
                let server = &servers[(first + at) % servers.len()];
                let connecting = TcpStream::connect((server.host.as_str(), server.port));
                match timeout(self.upstream.timeouts.connect, connecting).await {
                    Ok(Ok(stream)) => {
                        stream.set_nodelay(true)?;
                        let address = stream.peer_addr()?;
                        return Ok(Connected { stream, address, held: Box::new(()) });
                    }
                    Ok(Err(error)) => last = error,
                    Err(_) => last = io::ErrorKind::TimedOut.into(),
                }
            }
            Err(last)
        })
    }
}
