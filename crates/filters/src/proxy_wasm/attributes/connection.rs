//! What is known of the client's connection, and of the one to a server.

use super::{Attribute, certificate};
use crate::proxy_wasm::state::Stream;
use sampan_service::Handshake;
use std::net::SocketAddr;

pub const ADDRESS: &[&str] = &["address", "port"];

pub const CONNECTION: &[&str] = &[
    "id",
    "mtls",
    "requested_server_name",
    "tls_version",
    "subject_local_certificate",
    "subject_peer_certificate",
    "dns_san_local_certificate",
    "dns_san_peer_certificate",
    "uri_san_local_certificate",
    "uri_san_peer_certificate",
    "sha256_peer_certificate_digest",
    "peer_certificate",
];

pub const UPSTREAM: &[&str] = &[
    "address",
    "port",
    "local_address",
    "num_endpoints",
    "request_attempt_count",
    "cx_pool_ready_duration",
    "transport_failure_reason",
    "tls_version",
    "subject_local_certificate",
    "subject_peer_certificate",
    "dns_san_local_certificate",
    "dns_san_peer_certificate",
    "uri_san_local_certificate",
    "uri_san_peer_certificate",
    "sha256_peer_certificate_digest",
    "peer_certificate",
];

pub fn address(address: SocketAddr, name: &[u8]) -> Option<Attribute> {
    match name {
        b"address" => Some(Attribute::text(address.to_string())),
        b"port" => Some(Attribute::Int(address.port().into())),
        _ => None,
    }
}

pub fn connection(stream: &Stream, name: &[u8]) -> Option<Attribute> {
    let peer = stream.about.peer?;
    let handshake = stream.about.handshake.as_deref();
    Some(match name {
        // Of this process, as long as the connection is open.
        b"id" => Attribute::Uint(u64::from(peer.address.port()) << 16 | u64::from(peer.local.port())),
        b"mtls" => Attribute::Bool(handshake.is_some_and(|handshake| handshake.theirs.is_some())),
        b"requested_server_name" => Attribute::text(
            handshake.and_then(|handshake| handshake.server_name.as_deref()).unwrap_or_default(),
        ),
        _ => return tls(handshake?, name),
    })
}

pub fn upstream(stream: &Stream, name: &[u8]) -> Option<Attribute> {
    let via = stream.about.via.as_deref();
    let server = via.map_or(stream.about.upstream, |via| via.server);
    let connection = via.and_then(|via| via.connection.as_deref());
    Some(match name {
        b"address" | b"port" => return address(server?, name),
        b"local_address" => Attribute::text(connection?.local?.to_string()),
        b"num_endpoints" => Attribute::Uint(via?.servers as u64),
        // 0: nobody was asked so far.
        b"request_attempt_count" => Attribute::Uint(via.map_or(0, |via| via.attempts.into())),
        b"cx_pool_ready_duration" => {
            Attribute::Duration(i64::try_from(via?.connecting.as_nanos()).unwrap_or(i64::MAX))
        }
        b"transport_failure_reason" => Attribute::text(via?.transport_failure.as_deref().unwrap_or_default()),
        _ => return tls(connection?.handshake.as_deref()?, name),
    })
}

fn tls(handshake: &Handshake, name: &[u8]) -> Option<Attribute> {
    let (ours, theirs) = (handshake.ours.as_deref(), handshake.theirs.as_ref());
    match name {
        b"tls_version" => Some(Attribute::text(handshake.version)),
        b"subject_local_certificate" => Some(certificate::subject(ours)),
        b"subject_peer_certificate" => Some(certificate::subject(theirs)),
        b"dns_san_local_certificate" => certificate::first_name(ours?, certificate::Kind::Dns),
        b"dns_san_peer_certificate" => certificate::first_name(theirs?, certificate::Kind::Dns),
        b"uri_san_local_certificate" => certificate::first_name(ours?, certificate::Kind::Uri),
        b"uri_san_peer_certificate" => certificate::first_name(theirs?, certificate::Kind::Uri),
        b"sha256_peer_certificate_digest" => Some(certificate::digest(theirs?)),
        b"peer_certificate" => Some(certificate::pem(theirs?)),
        _ => None,
    }
}
