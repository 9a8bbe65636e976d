//! Listening sockets, bound before anything is served, so that a taken port is an error at start.

use crate::tls::{Certificates, TlsError};
use rustix::net::sockopt;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

/// Connections that the kernel keeps until they are accepted. The system bounds it (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;

/// A peer that vanished without a word is found out after a minute and three probes.
const KEEP_ALIVE_IDLE_S: u64 = 60;
const KEEP_ALIVE_INTERVAL_S: u64 = 10;
const KEEP_ALIVE_PROBES: u32 = 3;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    pub address: SocketAddr,
    /// Without it the connection is in the clear.
    pub tls: Option<TlsFiles>,
}

/// A certificate chain and its key, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// A bound socket. Clients can connect already; nobody answers until [`crate::serve`].
#[derive(Debug)]
pub struct Listener {
    pub(crate) socket: TcpListener,
    pub(crate) address: SocketAddr,
    pub(crate) certificates: Option<Arc<Certificates>>,
}

#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("cannot listen on {0}: the port is in use")]
    InUse(SocketAddr),
    #[error("cannot listen on {0}: permission denied")]
    Permission(SocketAddr),
    #[error("cannot listen on {0}: this machine does not have that address")]
    NoSuchAddress(SocketAddr),
    #[error("cannot listen on {0}")]
    Other(SocketAddr, #[source] io::Error),
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl BindError {
    /// What a person can do about it.
    pub fn help(&self) -> String {
        match self {
            BindError::InUse(address) => format!(
                "stop the program that has port {0} (`ss -ltnp 'sport = :{0}'` shows it), or choose another port",
                address.port()
            ),
            BindError::Permission(address) if address.port() < 1024 => {
                "ports below 1024 are the system's: choose a higher one, or give the program the capability \
                 CAP_NET_BIND_SERVICE"
                    .to_owned()
            }
            BindError::Permission(_) => "this user may not listen there".to_owned(),
            BindError::NoSuchAddress(_) => {
                "use an address of this machine (`ip address` lists them), 127.0.0.1 for this machine alone, or \
                 0.0.0.0 for all its addresses"
                    .to_owned()
            }
            BindError::Other(..) => "choose another address".to_owned(),
            BindError::Tls(error) => error.help(),
        }
    }

    fn new(address: SocketAddr, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse(address),
            io::ErrorKind::PermissionDenied => BindError::Permission(address),
            io::ErrorKind::AddrNotAvailable => BindError::NoSuchAddress(address),
            _ => BindError::Other(address, error),
        }
    }
}

impl Listener {
    /// Reads the certificate, binds and listens. Port 0 becomes one that the system chooses.
    pub fn bind(listen: &Listen) -> Result<Listener, BindError> {
        Listener::bind_for(listen, true)
    }

    /// As [`Listener::bind`], for [`crate::serve_tcp`].
    pub fn bind_tcp(listen: &Listen) -> Result<Listener, BindError> {
        Listener::bind_for(listen, false)
    }

    fn bind_for(listen: &Listen, http: bool) -> Result<Listener, BindError> {
        let certificates = listen.tls.clone().map(|files| Certificates::load(files, http));
        let certificates = certificates.transpose()?.map(Arc::new);
        let socket = socket(listen.address).map_err(|error| BindError::new(listen.address, error))?;
        let address = socket.local_addr().map_err(|error| BindError::new(listen.address, error))?;
        Ok(Listener { socket, address, certificates })
    }

    /// The address with the port that was bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn tls(&self) -> bool {
        self.certificates.is_some()
    }
}

fn socket(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    // Accepted sockets inherit these on Linux, which spares four system calls for each connection.
    socket.set_tcp_nodelay(true)?;
    sockopt::set_socket_keepalive(&socket, true)?;
    sockopt::set_tcp_keepidle(&socket, std::time::Duration::from_secs(KEEP_ALIVE_IDLE_S))?;
    sockopt::set_tcp_keepintvl(&socket, std::time::Duration::from_secs(KEEP_ALIVE_INTERVAL_S))?;
    sockopt::set_tcp_keepcnt(&socket, KEEP_ALIVE_PROBES)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
