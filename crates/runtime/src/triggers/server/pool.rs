//! Connections to one instance of a server guest. They end with it: none is ever used for its successor,
//! which may have the same port.

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use sampan_service::Body;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// Connections that are kept for later requests.
const IDLE_MAX: usize = 64;
/// Servers close connections that were unused for longer, and a request could cross with that.
const IDLE_TIME: Duration = Duration::from_secs(4);
/// A guest that says that it listens and refuses connections is asked again after so long, so many times.
const REFUSED_PAUSE: Duration = Duration::from_millis(2);
const REFUSED_MAX: u32 = 50;

pub type Sender = http1::SendRequest<Body>;

#[derive(Debug)]
pub struct Pool {
    address: SocketAddr,
    /// `None` once the guest has ended.
    idle: Mutex<Option<Vec<(Sender, Instant)>>>,
}

/// A connection for one request.
pub struct Lease {
    pub sender: Sender,
    /// It has served another request: the guest may be closing it.
    pub reused: bool,
}

/// What came of handing a request to a connection.
pub enum Sent {
    Response(Response<Incoming>),
    /// The connection was dead before it took the request.
    Unsent(Request<Body>),
    Failed(hyper::Error),
}

impl Pool {
    pub fn new(address: SocketAddr) -> Pool {
        Pool { address, idle: Mutex::new(Some(Vec::new())) }
    }

    fn idle(&self) -> MutexGuard<'_, Option<Vec<(Sender, Instant)>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The guest has ended: its connections are dropped and nobody connects any more.
    pub fn close(&self) {
        drop(self.idle().take());
    }

    pub fn is_closed(&self) -> bool {
        self.idle().is_none()
    }

    /// An unused connection, or a new one.
    pub async fn lease(&self) -> io::Result<Lease> {
        while let Some((sender, since)) = self.idle().as_mut().and_then(Vec::pop) {
            if sender.is_ready() && since.elapsed() < IDLE_TIME {
                return Ok(Lease { sender, reused: true });
            }
        }
        self.connect().await
    }

    pub async fn connect(&self) -> io::Result<Lease> {
        let mut refused = 0;
        let stream = loop {
            if self.is_closed() {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            match TcpStream::connect(self.address).await {
                Ok(stream) => break stream,
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused && refused < REFUSED_MAX => {
                    refused += 1;
                    tokio::time::sleep(REFUSED_PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        };
        stream.set_nodelay(true)?;
        let handshake = http1::Builder::new().handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(io::Error::other)?;
        // Its errors are the request's too, which tells them.
        tokio::spawn(connection.with_upgrades());
        Ok(Lease { sender, reused: false })
    }

    /// Sends a request; the connection is used again once the response was read.
    pub async fn send(self: &Arc<Self>, lease: Lease, request: Request<Body>) -> Sent {
        let mut sender = lease.sender;
        match sender.try_send_request(request).await {
            Ok(response) => {
                let pool = self.clone();
                tokio::spawn(async move {
                    // Ready again: the response was read to its end, and the connection lives.
                    if sender.ready().await.is_ok()
                        && let Some(idle) = &mut *pool.idle()
                        && idle.len() < IDLE_MAX
                    {
                        idle.push((sender, Instant::now()));
                    }
                });
                Sent::Response(response)
            }
            Err(mut error) => match error.take_message() {
                Some(request) => Sent::Unsent(request),
                None => Sent::Failed(error.into_error()),
            },
        }
    }
}
