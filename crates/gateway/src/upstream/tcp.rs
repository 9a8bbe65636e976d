//! A connection to a server for those who carry bytes and know nothing of HTTP.

use super::connect::{self, OpenOne};
use super::failure::Failure;
use super::gate::Permit;
use super::outlier::Shown;
use super::server::InFlight;
use super::{Upstream, ip_key};
use http::StatusCode;
use sampan_app::{Balance, HashKey};
use std::io;
use std::net::{IpAddr, SocketAddr};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A connection to a server of an upstream. It counts as a request that the server has until it is dropped.
pub struct TcpLink {
    pub stream: TcpStream,
    pub address: SocketAddr,
    _permit: Permit,
    _in_flight: InFlight,
    _open: OpenOne,
}

impl Upstream {
    /// Connects to a server as the balance says, in the clear: whatever a client says goes there as it is. A ring
    /// goes by the client's address, or else its servers take turns. Another server is tried if one cannot be
    /// reached.
    pub async fn connect_tcp(&self, client: Option<IpAddr>) -> io::Result<TcpLink> {
        self.try_connect_tcp(client).await.map_err(|failure| {
            self.inner.metrics.failed(failure.reason());
            match failure {
                Failure::Connect(error) => error,
                Failure::ConnectTime(_) => io::Error::new(io::ErrorKind::TimedOut, failure.to_string()),
                other => io::Error::other(other.to_string()),
            }
        })
    }

    async fn try_connect_tcp(&self, client: Option<IpAddr>) -> Result<TcpLink, Failure> {
        let inner = &self.inner;
        let permit = inner.gate.enter().await?;
        let key = match &inner.spec.balance {
            Balance::RingHash(HashKey::SourceIp) => client.map(ip_key),
            _ => None,
        };
        let limit = inner.spec.timeouts.connect;
        let mut server = inner.pick(key, None)?;
        let mut attempt = 1;
        loop {
            let in_flight = server.enter();
            let open = inner.connector.open.enter();
            let connected = timeout(limit, connect::tcp(server.address)).await;
            let failure = match connected {
                Ok(Ok(stream)) => {
                    inner.saw(&server, Shown::Status(StatusCode::OK));
                    let address = server.address;
                    return Ok(TcpLink {
                        stream,
                        address,
                        _permit: permit,
                        _in_flight: in_flight,
                        _open: open,
                    });
                }
                Ok(Err(error)) => Failure::Connect(error),
                Err(_) => Failure::ConnectTime(limit),
            };
            inner.saw(&server, Shown::NoAnswer);
            // Nothing was sent yet, so that another server may always be tried.
            if attempt >= inner.spec.retry.attempts {
                return Err(failure);
            }
            attempt += 1;
            inner.metrics.retries.inc();
            server = inner.pick(key, Some(&server))?;
        }
    }
}
