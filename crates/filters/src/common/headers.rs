//! What a filter may do to headers. A name or value that is none ends the filter: it would let it write into the
//! connection past the headers.

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use wasmtime::{Result, bail, format_err};

/// More headers than this are no message but an attack on whoever reads them.
const HEADERS_MAX: usize = 512;
/// Names and values together.
const HEADERS_BYTES_MAX: usize = 256 << 10;

/// What concerns the connection or the length of the body, and is the gateway's: a filter reads it, and what it
/// does to it has no effect.
const FRAMING: [HeaderName; 8] = [
    CONNECTION,
    CONTENT_LENGTH,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Set,
    Add,
    Remove,
}

/// One change of headers, kept for trailers that have not come yet.
#[derive(Clone, Debug)]
pub struct Edit {
    change: Change,
    name: HeaderName,
    value: HeaderValue,
}

impl Edit {
    pub fn new(change: Change, name: &[u8], value: &[u8]) -> Result<Self> {
        let name = HeaderName::from_bytes(name)
            .map_err(|_| format_err!("`{}` is no name of a header", name.escape_ascii()))?;
        let value = HeaderValue::from_bytes(value)
            .map_err(|_| format_err!("`{}` is no value of a header", value.escape_ascii()))?;
        Ok(Edit { change, name, value })
    }

    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// # Errors
    ///
    /// There are too many.
    pub fn apply(self, headers: &mut HeaderMap) -> Result<()> {
        let Edit { change, name, value } = self;
        if FRAMING.contains(&name) {
            return Ok(());
        }
        match change {
            Change::Remove => drop(headers.remove(name)),
            Change::Set => {
                make_room(headers, &name, &value)?;
                headers.insert(name, value);
            }
            Change::Add => {
                make_room(headers, &name, &value)?;
                headers.append(name, value);
            }
        }
        Ok(())
    }
}

fn make_room(headers: &HeaderMap, name: &HeaderName, value: &HeaderValue) -> Result<()> {
    let more = name.as_str().len() + value.len();
    if headers.len() >= HEADERS_MAX || bytes(headers) + more > HEADERS_BYTES_MAX {
        bail!("it makes more than {HEADERS_MAX} headers, or {HEADERS_BYTES_MAX} bytes of them");
    }
    Ok(())
}

fn bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}

/// Puts other headers in the place of all, but for those of the gateway.
pub fn replace(headers: &mut HeaderMap, edits: Vec<Edit>) -> Result<()> {
    let mut new = HeaderMap::new();
    for name in FRAMING {
        for value in headers.get_all(&name) {
            new.append(name.clone(), value.clone());
        }
    }
    for edit in edits {
        edit.apply(&mut new)?;
    }
    *headers = new;
    Ok(())
}

/// Adds what a filter said of a response before there was one: the one who answers has the last word, but cookies
/// of both are sent.
pub fn merge(into: &mut HeaderMap, from: HeaderMap) {
    let theirs: Vec<HeaderName> = from.keys().filter(|name| into.contains_key(*name)).cloned().collect();
    let mut last = None;
    for (name, value) in from {
        last = name.or(last);
        let Some(name) = &last else { continue };
        if *name == SET_COOKIE || !theirs.contains(name) {
            into.append(name.clone(), value);
        }
    }
}

/// Who a request is for is said in one place, the header `host`, so that a filter that reads or writes it means
/// the same as whoever answers.
pub fn to_origin_form(parts: &mut Parts) {
    let Some(authority) = parts.uri.authority() else { return };
    if !parts.headers.contains_key(HOST)
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        parts.headers.insert(HOST, host);
    }
    let target = parts.uri.path_and_query().cloned();
    parts.uri = target.map_or_else(|| Uri::from_static("/"), Uri::from);
}

/// The length of a body that is known, in place of what was said of the one before.
pub fn set_length(headers: &mut HeaderMap, length: Option<u64>) {
    headers.remove(TRANSFER_ENCODING);
    match length {
        Some(length) => drop(headers.insert(CONTENT_LENGTH, HeaderValue::from(length))),
        None => drop(headers.remove(CONTENT_LENGTH)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(headers: &mut HeaderMap, change: Change, name: &str, value: &str) -> Result<()> {
        Edit::new(change, name.as_bytes(), value.as_bytes())?.apply(headers)
    }

    #[test]
    fn what_is_no_header_is_refused() {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("", "x"), ("a b", "x"), ("a:", "x"), ("a", "x\r\nb: c"), ("a", "\0"), ("ä", "x")]
        {
            assert!(change(&mut headers, Change::Set, name, value).is_err(), "{name:?} {value:?}");
        }
        assert!(headers.is_empty());
    }

    #[test]
    fn the_gateways_headers_stay() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("5"));
        change(&mut headers, Change::Set, "Content-Length", "7").unwrap();
        change(&mut headers, Change::Add, "transfer-encoding", "chunked").unwrap();
        change(&mut headers, Change::Remove, "content-length", "").unwrap();
        replace(&mut headers, vec![Edit::new(Change::Add, b"a", b"b").unwrap()]).unwrap();
        assert_eq!(headers[CONTENT_LENGTH], "5");
        assert_eq!(headers["a"], "b");
        assert_eq!(headers.len(), 2);
    }

    #[test]
    fn headers_have_a_limit() {
        let mut headers = HeaderMap::new();
        for n in 0..HEADERS_MAX {
            change(&mut headers, Change::Add, &format!("n{n}"), "x").unwrap();
        }
        assert!(change(&mut headers, Change::Add, "more", "x").is_err());
        let mut headers = HeaderMap::new();
        assert!(change(&mut headers, Change::Set, "a", &"x".repeat(HEADERS_BYTES_MAX)).is_err());
    }

    #[test]
    fn whoever_answers_has_the_last_word() {
        let mut response = HeaderMap::new();
        let mut early = HeaderMap::new();
        for (name, value) in [("server", "nginx"), ("set-cookie", "a=1")] {
            change(&mut response, Change::Add, name, value).unwrap();
        }
        for (name, value) in [("server", "filter"), ("x-one", "1"), ("x-one", "2"), ("set-cookie", "b=2")] {
            change(&mut early, Change::Add, name, value).unwrap();
        }
        merge(&mut response, early);
        let of = |name: &str| response.get_all(name).iter().map(|v| v.to_str().unwrap()).collect::<Vec<_>>();
        assert_eq!(of("server"), ["nginx"]);
        assert_eq!(of("set-cookie"), ["a=1", "b=2"]);
        assert_eq!(of("x-one"), ["1", "2"]);
    }
}
