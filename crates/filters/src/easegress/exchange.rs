//! One exchange as an Easegress guest sees it: the request, and a response that is sent if the guest ends it.

use crate::common::headers::{self, Change, Edit};
use crate::common::is_bodyless;
use crate::common::outgoing::Outgoing;
use crate::common::source::Source;
use http::header::{COOKIE, HOST, HeaderMap, HeaderValue, SET_COOKIE};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderName, Method, Request, Response, StatusCode, Uri, Version};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sampan_service::{Body, Peer};
use wasmtime::{Result, bail, format_err};

/// What stands in a path as it is (Go's net/url, which Easegress writes paths with).
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b',')
    .remove(b'/')
    .remove(b':')
    .remove(b';')
    .remove(b'=')
    .remove(b'@');

pub struct Exchange {
    pub request: Parts,
    pub source: Source,
    /// The request's body, as far as the guest has read or written it.
    pub body: Option<Vec<u8>>,
    body_written: bool,
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub response_body: Vec<u8>,
    buffer_bytes: u64,
}

impl Exchange {
    pub fn new(request: Parts, source: Source, buffer_bytes: u64) -> Box<Self> {
        Box::new(Exchange {
            request,
            source,
            body: None,
            body_written: false,
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            response_body: Vec::new(),
            buffer_bytes,
        })
    }

    /// The request for whoever is next, and the headers that its response gets.
    pub fn hand_on(mut self) -> (Request<Body>, HeaderMap) {
        let (outgoing, whole) = match self.body.filter(|_| self.body_written) {
            Some(written) => (Outgoing::written(written), false),
            None => self.source.hand_on(),
        };
        if !whole {
            headers::set_length(&mut self.request.headers, outgoing.length());
        }
        (Request::from_parts(self.request, outgoing.into_body()), self.headers)
    }

    /// The response that the guest made.
    pub fn local(self) -> Response<Body> {
        let body = if is_bodyless(self.status) { Vec::new() } else { self.response_body };
        let mut response = Response::new(sampan_service::full(body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }

    pub fn real_ip(&self) -> String {
        self.request.extensions.get::<Peer>().map(|peer| peer.address.ip().to_string()).unwrap_or_default()
    }

    pub fn scheme(&self) -> &'static str {
        let tls = self.request.extensions.get::<Peer>().is_some_and(|peer| peer.tls);
        if tls { "https" } else { "http" }
    }

    pub fn protocol(&self) -> &'static str {
        match self.request.version {
            Version::HTTP_10 => "HTTP/1.0",
            Version::HTTP_2 => "HTTP/2.0",
            _ => "HTTP/1.1",
        }
    }

    pub fn path(&self) -> Vec<u8> {
        percent_decode_str(self.request.uri.path()).collect()
    }

    pub fn set_method(&mut self, name: &[u8]) -> Result<()> {
        let method = Method::from_bytes(name).ok().filter(|method| *method != Method::CONNECT);
        self.request.method =
            method.ok_or_else(|| format_err!("`{}` is no method of a request", name.escape_ascii()))?;
        Ok(())
    }

    pub fn set_host(&mut self, host: &[u8]) -> Result<()> {
        if !host.iter().all(|byte| byte.is_ascii_graphic() && !b"/?#@\\".contains(byte)) {
            bail!("`{}` is no host", host.escape_ascii());
        }
        Edit::new(Change::Set, HOST.as_str().as_bytes(), host)?.apply(&mut self.request.headers)
    }

    pub fn set_path(&mut self, path: &[u8]) -> Result<()> {
        let text = std::str::from_utf8(path).ok().filter(|path| path.starts_with('/'));
        let Some(text) = text else {
            bail!("`{}` is no path: it must begin with `/`", path.escape_ascii());
        };
        let path = utf8_percent_encode(text, PATH).to_string();
        self.set_target(&path, self.request.uri.query().map(str::to_owned).as_deref())
    }

    pub fn set_query(&mut self, query: &[u8]) -> Result<()> {
        let Ok(query) = std::str::from_utf8(query) else { bail!("it sets a query that is not UTF-8") };
        let path = self.request.uri.path().to_owned();
        self.set_target(&path, Some(query).filter(|query| !query.is_empty()))
    }

    fn set_target(&mut self, path: &str, query: Option<&str>) -> Result<()> {
        let target = match query {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        let target = PathAndQuery::try_from(target.as_str())
            .map_err(|_| format_err!("`{}` is no path with a query", target.escape_default()))?;
        self.request.uri = Uri::from(target);
        Ok(())
    }

    pub fn cookies(&self) -> Vec<String> {
        let values = self.request.headers.get_all(COOKIE).iter();
        values.filter_map(|value| value.to_str().ok()).flat_map(pairs).collect()
    }

    /// `name=value`, or nothing.
    pub fn cookie(&self, name: &str) -> String {
        let wanted = |cookie: &String| cookie.split_once('=').is_some_and(|(one, _)| one == name);
        self.cookies().into_iter().find(wanted).unwrap_or_default()
    }

    pub fn add_cookie(&mut self, text: &str) -> Result<()> {
        let mut cookies = self.cookies();
        cookies.extend(pairs(text));
        let all = cookies.join("; ");
        Edit::new(Change::Set, COOKIE.as_str().as_bytes(), all.as_bytes())?.apply(&mut self.request.headers)
    }

    pub fn set_cookie(&mut self, text: &[u8]) -> Result<()> {
        // One without a name is nothing, as in Go.
        if !matches!(text.iter().position(|byte| *byte == b'='), None | Some(0)) {
            Edit::new(Change::Add, SET_COOKIE.as_str().as_bytes(), text)?.apply(&mut self.headers)?;
        }
        Ok(())
    }

    pub fn set_status(&mut self, code: i32) -> Result<()> {
        let status = u16::try_from(code).ok().filter(|code| (200..=599).contains(code));
        let status = status.and_then(|code| StatusCode::from_u16(code).ok());
        self.status = status.ok_or_else(|| format_err!("{code} is no status of a response"))?;
        Ok(())
    }

    pub fn set_body(&mut self, body: &[u8]) -> Result<()> {
        self.body = Some(self.checked(body)?);
        self.body_written = true;
        Ok(())
    }

    pub fn set_response_body(&mut self, body: &[u8]) -> Result<()> {
        self.response_body = self.checked(body)?;
        Ok(())
    }

    fn checked(&self, body: &[u8]) -> Result<Vec<u8>> {
        let limit = self.buffer_bytes;
        if body.len() as u64 > limit {
            bail!("it writes a body of more than the {limit} bytes that it may buffer (limits.buffer)");
        }
        Ok(body.to_vec())
    }
}

/// The cookies of a header `Cookie`; what is none is left out.
fn pairs(text: &str) -> impl Iterator<Item = String> {
    let pairs = text.split(';').filter_map(|pair| pair.trim().split_once('='));
    pairs
        .filter(|(name, _)| !name.is_empty())
        .map(|(name, value)| format!("{name}={}", value.trim_matches('"')))
}

/// The value of a header, or nothing.
pub fn header(headers: &HeaderMap, name: &[u8]) -> Vec<u8> {
    let name = HeaderName::from_bytes(name).ok();
    let value = name.and_then(|name| headers.get(name));
    value.map(|value| value.as_bytes().to_vec()).unwrap_or_default()
}

/// Headers in lines, sorted and written as Go does. The host is none of them.
pub fn lines(headers: &HeaderMap) -> Vec<u8> {
    let mut names: Vec<&HeaderName> = headers.keys().filter(|name| **name != HOST).collect();
    names.sort_unstable_by_key(|name| name.as_str());
    let mut text = Vec::new();
    for name in names {
        for value in headers.get_all(name) {
            text.extend(canonical(name).bytes());
            text.extend(b": ");
            text.extend(value.as_bytes());
            text.extend(b"\r\n");
        }
    }
    text
}

/// `content-type` as `Content-Type`.
fn canonical(name: &HeaderName) -> String {
    let parts = name.as_str().split('-').map(|part| match part.split_at_checked(1) {
        Some((first, rest)) => first.to_ascii_uppercase() + rest,
        None => String::new(),
    });
    parts.collect::<Vec<_>>().join("-")
}

/// Puts the headers of lines in the place of all others.
pub fn set_lines(headers: &mut HeaderMap, text: &[u8]) -> Result<()> {
    let mut edits = Vec::new();
    for line in text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            bail!("`{}` is no header", line.escape_ascii());
        };
        edits.push(Edit::new(Change::Add, &line[..colon], line[colon + 1..].trim_ascii())?);
    }
    let host: Option<HeaderValue> = headers.get(HOST).cloned();
    headers::replace(headers, edits)?;
    if let Some(host) = host {
        headers.insert(HOST, host);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_as_lines() {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("shop"));
        set_lines(&mut headers, b"x-b:2\r\nContent-Type:  text/plain\r\nx-b: 3\r\n").unwrap();
        assert_eq!(headers[HOST], "shop");
        assert_eq!(lines(&headers), b"Content-Type: text/plain\r\nX-B: 2\r\nX-B: 3\r\n");
        assert!(set_lines(&mut headers, b"no header\r\n").is_err());
        assert!(set_lines(&mut headers, b"a b: c\r\n").is_err());
    }

    #[test]
    fn cookies() {
        assert_eq!(pairs("a=1; b=\"2\"; c; =3").collect::<Vec<_>>(), ["a=1", "b=2"]);
    }
}
