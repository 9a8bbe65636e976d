//! The headers of a message that is handed on: what belongs to a connection stays behind (RFC 9110 §7.6.1), and
//! the server is told who asks.

use super::exchange::Protocol;
use http::header::{
    CONNECTION, COOKIE, EXPECT, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Uri, Version};
use hyper::upgrade::OnUpgrade;
use ipnet::IpNet;
use sampan_app::{Forwarded, HostHeader, Upstream};
use sampan_service::{AskedHost, Body, Peer, RequestId, remove_named_by_connection};
use std::io::Write;
use std::net::IpAddr;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// A chain of proxies that is longer than this is begun anew: it could grow with every round of a loop.
const CHAIN_BYTES_MAX: usize = 4096;

/// What was found in a client's request while it was made one for servers.
pub struct Prepared {
    /// The client's side of an upgrade, where it asked for one.
    pub client: Option<OnUpgrade>,
    /// It waits for a word before it sends its body.
    pub expects: bool,
}

/// Makes a client's request one for a server, but for what depends on which server that is.
pub fn prepare(request: &mut Request<Body>, upstream: &Upstream) -> Prepared {
    let client = request.extensions_mut().remove::<OnUpgrade>();
    let peer = request.extensions_mut().remove::<Peer>();
    let id = request.extensions_mut().remove::<RequestId>();
    let asked = request.extensions_mut().remove::<AskedHost>();
    // Nothing in this process asks the rest any more.
    request.extensions_mut().clear();
    let version = request.version();
    let authority = request.uri().authority().and_then(|one| HeaderValue::from_str(one.as_str()).ok());
    let headers = request.headers_mut();
    let protocol = wanted_upgrade(headers, version);
    let trailers = headers.get(TE).is_some_and(wants_trailers);
    strip(headers);
    let expects = headers.remove(EXPECT).is_some();
    if version == Version::HTTP_2 {
        join_cookies(headers);
    }
    let upgrade = protocol.zip(client).map(|(protocol, client)| {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol);
        client
    });
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if let Some(host) = authority {
        headers.insert(HOST, host);
    }
    if let Some(peer) = peer {
        // What is told of the client is the host that it asked for, before a route rewrote it.
        let rewritten = asked.and_then(|AskedHost(host)| headers.insert(HOST, host));
        forwarded(headers, &peer, upstream);
        if let Some(host) = rewritten {
            headers.insert(HOST, host);
        }
    }
    if let Some(RequestId(id)) = id {
        headers.insert(X_REQUEST_ID, id);
    }
    if let HostHeader::Fixed(host) = &upstream.host
        && let Ok(host) = HeaderValue::from_str(host)
    {
        headers.insert(HOST, host);
    }
    if upstream.via {
        headers.append(VIA, HeaderValue::from_static("1.1 sampan"));
    }
    Prepared { client: upgrade, expects }
}

/// The target and `Host` in the form of the connection's protocol: RFC 9112 §3.2, RFC 9113 §8.3.1.
pub fn dress(request: &mut Request<Body>, protocol: Protocol, own_host: &HeaderValue, policy: &HostHeader) {
    let authority = request.uri().authority().map(Authority::as_str);
    let authority = authority.and_then(|one| HeaderValue::from_str(one).ok());
    let headers = request.headers_mut();
    if *policy == HostHeader::Server {
        headers.insert(HOST, own_host.clone());
    } else if !headers.contains_key(HOST) {
        headers.insert(HOST, authority.unwrap_or_else(|| own_host.clone()));
    }
    match protocol {
        Protocol::Http1 => {
            if request.uri().authority().is_some() || request.uri().path_and_query().is_none() {
                let path = request.uri().path_and_query().cloned();
                *request.uri_mut() = path.map_or_else(Uri::default, Uri::from);
            }
            *request.version_mut() = Version::HTTP_11;
        }
        Protocol::Http2 { tls } => {
            let host = request.headers_mut().remove(HOST);
            let mut parts = std::mem::take(request.uri_mut()).into_parts();
            let host = host.as_ref().unwrap_or(own_host);
            let name = Authority::try_from(host.as_bytes());
            parts.authority = name.or_else(|_| Authority::try_from(own_host.as_bytes())).ok();
            parts.scheme = Some(if tls { Scheme::HTTPS } else { Scheme::HTTP });
            parts.path_and_query.get_or_insert_with(|| PathAndQuery::from_static("/"));
            *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
            request.headers_mut().remove(CONNECTION);
            request.headers_mut().remove(UPGRADE);
            *request.version_mut() = Version::HTTP_2;
        }
    }
}

/// Makes a server's response one for the client.
pub fn response(headers: &mut HeaderMap, upstream: &Upstream) {
    strip(headers);
    if upstream.via {
        headers.append(VIA, HeaderValue::from_static("1.1 sampan"));
    }
}

/// Removes what belongs to one connection. `Trailer` stays, because the trailers do.
pub fn strip(headers: &mut HeaderMap) {
    // Most messages have none of these, and a look at each name is cheaper than a search for each of these.
    if !headers.keys().any(of_connection) {
        return;
    }
    remove_named_by_connection(headers);
    for name in OF_CONNECTION {
        headers.remove(name);
    }
}

const OF_CONNECTION: [HeaderName; 8] = [
    CONNECTION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
];

fn of_connection(name: &HeaderName) -> bool {
    // Their lengths are 2, 7, 10, 16, 17, 18 and 19.
    matches!(name.as_str().len(), 2 | 7 | 10 | 16..=19) && OF_CONNECTION.contains(name)
}

/// The protocol that a client asks for. HTTP/2 in the clear is not one that can be handed on: behind it, requests
/// would be nobody's to look at.
fn wanted_upgrade(headers: &HeaderMap, version: Version) -> Option<HeaderValue> {
    let protocol = headers.get(UPGRADE).filter(|_| version == Version::HTTP_11)?;
    let named = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let upgrade =
        named.flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case("upgrade"));
    let text = protocol.to_str().ok()?;
    let h2c = text.split(',').any(|one| one.trim().to_ascii_lowercase().starts_with("h2"));
    (upgrade && !h2c).then(|| protocol.clone())
}

fn wants_trailers(te: &HeaderValue) -> bool {
    te.as_bytes().split(|byte| *byte == b',').any(|one| one.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

/// HTTP/2 may split cookies over lines, HTTP/1.1 may not (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut all = headers.get_all(COOKIE).iter();
    if let (Some(first), Some(second)) = (all.next(), all.next()) {
        let lines: Vec<&[u8]> = [first, second].into_iter().chain(all).map(HeaderValue::as_bytes).collect();
        // Pieces of valid values with "; " between make a valid value.
        if let Ok(joined) = HeaderValue::from_bytes(&lines.join(&b"; "[..])) {
            headers.insert(COOKIE, joined);
        }
    }
}

/// Tells the server who asks. What the client itself says of it counts only where it is a trusted proxy.
fn forwarded(headers: &mut HeaderMap, peer: &Peer, upstream: &Upstream) {
    let ip = peer.address.ip().to_canonical();
    let trusted = trusts(&upstream.trust_forwarded, ip);
    if !trusted && headers.contains_key(FORWARDED) {
        headers.remove(FORWARDED);
    }
    let (x, standard) = match upstream.forwarded {
        Forwarded::X => (true, false),
        Forwarded::Standard => (false, true),
        Forwarded::Both => (true, true),
        Forwarded::Off => (false, false),
    };
    let proto = HeaderValue::from_static(if peer.tls { "https" } else { "http" });
    if standard {
        append(headers, &FORWARDED, trusted, |text, headers| element(text, ip, headers.get(HOST), &proto));
    }
    if !x {
        if !trusted {
            for name in [X_FORWARDED_FOR, X_FORWARDED_PROTO, X_FORWARDED_HOST, X_FORWARDED_PORT] {
                headers.remove(name);
            }
        }
        return;
    }
    append(headers, &X_FORWARDED_FOR, trusted, |text, _| write!(text, "{ip}"));
    let keep = |headers: &HeaderMap, name: &HeaderName| trusted && headers.contains_key(name);
    if !keep(headers, &X_FORWARDED_PROTO) {
        headers.insert(X_FORWARDED_PROTO, proto);
    }
    if !keep(headers, &X_FORWARDED_HOST) {
        match headers.get(HOST).cloned() {
            Some(host) => headers.insert(X_FORWARDED_HOST, host),
            None => headers.remove(X_FORWARDED_HOST),
        };
    }
    if !keep(headers, &X_FORWARDED_PORT) {
        headers.insert(X_FORWARDED_PORT, HeaderValue::from(peer.local.port()));
    }
}

fn trusts(networks: &[IpNet], ip: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&ip))
}

/// Sets a header to what is written, after what it was before if that is to stay.
fn append(
    headers: &mut HeaderMap,
    name: &HeaderName,
    stay: bool,
    write: impl FnOnce(&mut Vec<u8>, &HeaderMap) -> std::io::Result<()>,
) {
    let mut text = Vec::with_capacity(48);
    let before: usize = headers.get_all(name).iter().map(HeaderValue::len).sum();
    for one in headers.get_all(name).iter().filter(|_| stay && before < CHAIN_BYTES_MAX) {
        text.extend_from_slice(one.as_bytes());
        text.extend_from_slice(b", ");
    }
    // Writing to memory does not fail, and addresses and hosts are valid values.
    let written = write(&mut text, headers);
    if let (Ok(()), Ok(value)) = (written, HeaderValue::from_maybe_shared(bytes::Bytes::from(text))) {
        headers.insert(name, value);
    }
}

/// RFC 7239 §4 and §6: what is no token is quoted, and so is every address of IPv6.
fn element(
    text: &mut Vec<u8>,
    ip: IpAddr,
    host: Option<&HeaderValue>,
    proto: &HeaderValue,
) -> std::io::Result<()> {
    match ip {
        IpAddr::V4(ip) => write!(text, "for={ip}")?,
        IpAddr::V6(ip) => write!(text, "for=\"[{ip}]\"")?,
    }
    if let Some(host) = host.filter(|host| !host.as_bytes().contains(&b'"')) {
        text.extend_from_slice(b";host=\"");
        text.extend_from_slice(host.as_bytes());
        text.push(b'"');
    }
    text.extend_from_slice(b";proto=");
    text.extend_from_slice(proto.as_bytes());
    Ok(())
}

#[cfg(test)]
#[path = "headers_tests.rs"]
mod tests;
