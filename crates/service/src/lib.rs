//! What every listener shares: the seam to whoever answers, accepting, TLS, limits, drain.

mod accept;
mod admin;
mod body;
mod check;
mod client_tls;
mod connection;
mod exchange;
mod filter;
mod framing;
mod handler;
mod handshake;
mod hop;
mod id;
mod limits;
mod line;
mod listener;
mod notice;
mod prompt;
mod server;
mod tcp;
mod tcp_filter;
mod tls;
mod traffic;
mod wire;
mod worker;

pub use admin::{Admin, Ready, Reload};
pub use body::BodyTimeout;
pub use client_tls::{ClientTls, system_roots};
pub use exchange::Served;
pub use filter::Filter;
pub use handler::{
    Answer, AskedHost, Body, BodyError, Depth, Granted, Handler, Matched, Notes, Overdue, Peer, RequestId,
    Unanswered, Via, ViaConnection, empty, full, is_reset, reset,
};
pub use handshake::Handshake;
pub use hop::remove_named_by_connection;
pub use limits::Limits;
pub use listener::{BindError, Listen, Listener, TlsFiles};
pub use notice::{Notice, Notices};
pub use prompt::be_patient;
pub use rustls::pki_types::CertificateDer;
pub use server::{Drained, Options, Server, serve, serve_tcp};
pub use tcp::{TcpConnection, TcpHandler};
pub use tcp_filter::{ClosedBy, Flow, Side, TcpEntry, TcpFilter, TcpPass};
pub use tls::TlsError;
pub use traffic::{CountedTcp, Traffic};
