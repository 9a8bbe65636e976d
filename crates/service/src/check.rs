//! What a request must be before a handler sees it, beyond what hyper demands.

use crate::limits::Limits;
use http::header::HOST;
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderValue, Method, StatusCode, Version};

/// Refuses a request, or puts it in order.
pub(crate) fn request(head: &mut Parts, limits: &Limits) -> Result<(), StatusCode> {
    // A tunnel is not something that an application offers; a success would turn the connection into one.
    if head.method == Method::CONNECT {
        return Err(StatusCode::NOT_IMPLEMENTED);
    }
    let target = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if target > limits.target_bytes {
        return Err(StatusCode::URI_TOO_LONG);
    }
    if !known_form(head) {
        return Err(StatusCode::BAD_REQUEST);
    }
    // hyper counts in HTTP/1 only.
    if head.headers.len() > limits.headers {
        return Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    host(head).ok_or(StatusCode::BAD_REQUEST)
}

/// A path, a whole URI of ours, or the asterisk of OPTIONS (RFC 9112, section 3.2).
fn known_form(head: &Parts) -> bool {
    match (head.uri.scheme_str(), head.uri.path()) {
        (None | Some("http" | "https"), path) if path.starts_with('/') => true,
        (_, "*") => head.method == Method::OPTIONS,
        _ => false,
    }
}

/// RFC 9112, section 3.2; RFC 9113, section 8.3.1.
fn host(head: &mut Parts) -> Option<()> {
    let first = head.headers.get(HOST);
    // Most requests have no header twice, which is quickly seen.
    let doubled = head.headers.len() != head.headers.keys_len();
    if doubled && head.headers.get_all(HOST).iter().count() > 1 {
        return None;
    }
    if let Some(host) = first {
        valid_host(host.as_bytes()).then_some(())?;
    }
    match (head.uri.authority(), head.version) {
        (Some(authority), _) if authority.as_str().contains('@') => None,
        (Some(authority), Version::HTTP_2) => {
            // Who decides by the one must not be led astray by the other.
            let agree =
                |host: &HeaderValue| host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes());
            first.is_none_or(agree).then_some(())
        }
        (None, Version::HTTP_2) => first.map(drop),
        (Some(authority), _) => {
            // The target in absolute form decides, and the header is ignored.
            let host = host_of(authority)?;
            head.headers.insert(HOST, host);
            Some(())
        }
        (None, Version::HTTP_11) => first.map(drop),
        (None, _) => Some(()),
    }
}

fn host_of(authority: &Authority) -> Option<HeaderValue> {
    HeaderValue::from_str(authority.as_str()).ok()
}

/// `uri-host [ ":" port ]` as far as it matters: nothing that ends a host for some readers and not for others.
/// An empty one is allowed where the target has no authority.
fn valid_host(host: &[u8]) -> bool {
    host.iter().all(|byte| IN_HOST[usize::from(*byte)])
}

/// A table, because this is asked for each byte of each request's host.
const IN_HOST: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let marks = b"-._~:[]%!$&'()*+;=";
    let mut at = 0;
    while at < marks.len() {
        table[marks[at] as usize] = true;
        at += 1;
    }
    table
};
