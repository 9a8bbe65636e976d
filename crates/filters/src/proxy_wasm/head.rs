//! Heads of requests and responses as guests see them: one list of fields, pseudo-fields with a colon among them
//! whatever the version of HTTP, as in Envoy.

use super::map::{BYTES_MAX, PAIRS_MAX};
use http::header::HOST;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, request, response};
use sampan_service::Peer;

/// A name or a value that HTTP does not allow, a pseudo-field that does not exist, or one field too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid;

pub struct RequestHead {
    /// Heads are moved often on their way.
    pub parts: Box<request::Parts>,
    /// What `:scheme` says.
    scheme: HeaderValue,
}

pub struct ResponseHead {
    pub parts: Box<response::Parts>,
}

/// Fields that a guest reads and writes.
pub trait Fields {
    /// The first value of a name.
    fn value(&self, name: &[u8]) -> Option<Vec<u8>>;
    fn each(&self, see: &mut dyn FnMut(&[u8], &[u8]));
    /// In the place of all values of the name.
    fn set(&mut self, name: &[u8], value: &[u8]) -> Result<(), Invalid>;
    fn add(&mut self, name: &[u8], value: &[u8]) -> Result<(), Invalid>;
    fn delete(&mut self, name: &[u8]);
    /// In the place of all fields. Pseudo-fields that are not among them stay. Nothing is done where one is invalid.
    fn replace(&mut self, pairs: &[(&[u8], &[u8])]) -> Result<(), Invalid>;

    fn pairs(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut pairs = Vec::new();
        self.each(&mut |name, value| pairs.push((name.to_vec(), value.to_vec())));
        pairs
    }

    fn count(&self) -> u32 {
        let mut count = 0;
        self.each(&mut |_, _| count += 1);
        count
    }

    /// Names and values without anything between them.
    fn bytes(&self) -> u32 {
        let mut bytes = 0;
        self.each(&mut |name, value| bytes += (name.len() + value.len()) as u32);
        bytes
    }
}

impl RequestHead {
    pub fn new(parts: Box<request::Parts>) -> Self {
        let tls = parts.extensions.get::<Peer>().is_some_and(|peer| peer.tls);
        let scheme = match parts.uri.scheme_str() {
            Some("https") => HeaderValue::from_static("https"),
            None if tls => HeaderValue::from_static("https"),
            _ => HeaderValue::from_static("http"),
        };
        RequestHead { parts, scheme }
    }

    /// What later callbacks may still read, without what belongs to the request that goes on.
    pub fn copy(&self) -> Self {
        let (mut parts, ()) = http::Request::new(()).into_parts();
        parts.method = self.parts.method.clone();
        parts.uri = self.parts.uri.clone();
        parts.version = self.parts.version;
        parts.headers = self.parts.headers.clone();
        RequestHead { parts: Box::new(parts), scheme: self.scheme.clone() }
    }

    pub fn path(&self) -> &str {
        self.parts.uri.path_and_query().map_or("/", PathAndQuery::as_str)
    }

    pub fn authority(&self) -> &[u8] {
        match self.parts.uri.authority() {
            Some(authority) => authority.as_str().as_bytes(),
            None => self.parts.headers.get(HOST).map_or(b"", HeaderValue::as_bytes),
        }
    }

    pub fn scheme(&self) -> &[u8] {
        self.scheme.as_bytes()
    }

    fn set_path(&mut self, value: &[u8]) -> Result<(), Invalid> {
        let path = PathAndQuery::try_from(value).map_err(|_| Invalid)?;
        if !value.starts_with(b"/") && value != b"*" {
            return Err(Invalid);
        }
        self.rebuild(|uri| uri.path_and_query = Some(path))
    }

    fn set_authority(&mut self, value: &[u8]) -> Result<(), Invalid> {
        let authority = Authority::try_from(value).map_err(|_| Invalid)?;
        let host = HeaderValue::from_bytes(value).map_err(|_| Invalid)?;
        if self.parts.uri.authority().is_some() {
            self.rebuild(|uri| uri.authority = Some(authority))?;
        }
        // HTTP/2 carries it in the URI alone; whoever added the field beside it wants it to be the same.
        if self.parts.uri.authority().is_none() || self.parts.headers.contains_key(HOST) {
            self.parts.headers.insert(HOST, host);
        }
        Ok(())
    }

    fn set_scheme(&mut self, value: &[u8]) -> Result<(), Invalid> {
        let scheme = Scheme::try_from(value).map_err(|_| Invalid)?;
        self.scheme = HeaderValue::from_bytes(value).map_err(|_| Invalid)?;
        if self.parts.uri.scheme().is_some() {
            self.rebuild(|uri| uri.scheme = Some(scheme))?;
        }
        Ok(())
    }

    fn rebuild(&mut self, change: impl FnOnce(&mut http::uri::Parts)) -> Result<(), Invalid> {
        let mut uri = self.parts.uri.clone().into_parts();
        change(&mut uri);
        self.parts.uri = Uri::from_parts(uri).map_err(|_| Invalid)?;
        Ok(())
    }

    /// Whether a name is a pseudo-field, and whether it could be set.
    fn set_pseudo(&mut self, name: &[u8], value: &[u8]) -> Option<Result<(), Invalid>> {
        Some(match name {
            b":path" => self.set_path(value),
            b":method" => {
                Method::from_bytes(value).map(|method| self.parts.method = method).map_err(|_| Invalid)
            }
            b":scheme" => self.set_scheme(value),
            _ if is_authority(name) => self.set_authority(value),
            [b':', ..] => Err(Invalid),
            _ => return None,
        })
    }
}

/// Envoy has one entry for both names.
fn is_authority(name: &[u8]) -> bool {
    name == b":authority" || name.eq_ignore_ascii_case(b"host")
}

impl Fields for RequestHead {
    fn value(&self, name: &[u8]) -> Option<Vec<u8>> {
        Some(match name {
            b":path" => self.path().as_bytes().to_vec(),
            b":method" => self.parts.method.as_str().as_bytes().to_vec(),
            b":scheme" => self.scheme.as_bytes().to_vec(),
            _ if is_authority(name) => self.authority().to_vec(),
            _ => return self.parts.headers.value(name),
        })
    }

    fn each(&self, see: &mut dyn FnMut(&[u8], &[u8])) {
        see(b":authority", self.authority());
        see(b":path", self.path().as_bytes());
        see(b":method", self.parts.method.as_str().as_bytes());
        see(b":scheme", self.scheme.as_bytes());
        for (name, value) in self.parts.headers.iter().filter(|(name, _)| *name != HOST) {
            see(name.as_str().as_bytes(), value.as_bytes());
        }
    }

    fn set(&mut self, name: &[u8], value: &[u8]) -> Result<(), Invalid> {
        self.set_pseudo(name, value).unwrap_or_else(|| self.parts.headers.set(name, value))
    }

    fn add(&mut self, name: &[u8], value: &[u8]) -> Result<(), Invalid> {
        // There is one of each pseudo-field.
        self.set_pseudo(name, value).unwrap_or_else(|| self.parts.headers.add(name, value))
    }

    fn delete(&mut self, name: &[u8]) {
        if !is_authority(name) {
            self.parts.headers.delete(name);
        }
    }

    fn replace(&mut self, pairs: &[(&[u8], &[u8])]) -> Result<(), Invalid> {
        let mut new = self.copy();
        let host = new.parts.headers.get(HOST).cloned();
        new.parts.headers.clear();
        new.parts.headers.extend(host.map(|host| (HOST, host)));
        for (name, value) in pairs {
            new.add(name, value)?;
        }
        self.parts.method = new.parts.method;
        self.parts.uri = new.parts.uri;
        self.parts.headers = new.parts.headers;
        self.scheme = new.scheme;
        Ok(())
    }
}

impl ResponseHead {
    pub fn copy(&self) -> Self {
        let (mut parts, ()) = http::Response::new(()).into_parts();
        parts.status = self.parts.status;
        parts.version = self.parts.version;
        parts.headers = self.parts.headers.clone();
        ResponseHead { parts: Box::new(parts) }
    }

    fn set_pseudo(&mut self, name: &[u8], value: &[u8]) -> Option<Result<(), Invalid>> {
        Some(match name {
            b":status" => StatusCode::from_bytes(value)
                .ok()
                .filter(|status| !status.is_informational() || *status == StatusCode::SWITCHING_PROTOCOLS)
                .map(|status| self.parts.status = status)
                .ok_or(Invalid),
            [b':', ..] => Err(Invalid),
            _ => return None,
        })
    }
}

impl Fields for ResponseHead {
    fn value(&self, name: &[u8]) -> Option<Vec<u8>> {
        match name {
            b":status" => Some(self.parts.status.as_str().as_bytes().to_vec()),
            _ => self.parts.headers.value(name),
        }
    }

    fn each(&self, see: &mut dyn FnMut(&[u8], &[u8])) {
        see(b":status", self.parts.status.as_str().as_bytes());
        self.parts.headers.each(see);
    }

    fn set(&mut self, name: &[u8], value: &[u8]) -> Result<(), Invalid> {
        self.set_pseudo(name, value).unwrap_or_else(|| self.parts.headers.set(name, value))
    }

    fn add(&mut self, name: &[u8], value: &[u8]) -> Result<(), Invalid> {
        self.set_pseudo(name, value).unwrap_or_else(|| self.parts.headers.add(name, value))
    }

    fn delete(&mut self, name: &[u8]) {
        self.parts.headers.delete(name);
    }

    fn replace(&mut self, pairs: &[(&[u8], &[u8])]) -> Result<(), Invalid> {
        let mut new = self.copy();
        new.parts.headers.clear();
        for (name, value) in pairs {
            new.add(name, value)?;
        }
        self.parts.status = new.parts.status;
        self.parts.headers = new.parts.headers;
        Ok(())
    }
}

/// Trailers, and heads without pseudo-fields.
impl Fields for HeaderMap {
    fn value(&self, name: &[u8]) -> Option<Vec<u8>> {
        let name = HeaderName::from_bytes(name).ok()?;
        self.get(name).map(|value| value.as_bytes().to_vec())
    }

    fn each(&self, see: &mut dyn FnMut(&[u8], &[u8])) {
        for (name, value) in self {
            see(name.as_str().as_bytes(), value.as_bytes());
        }
    }

    fn set(&mut self, name: &[u8], value: &[u8]) -> Result<(), Invalid> {
        let (name, value) = field(name, value)?;
        room(self, name.as_str().len() + value.len())?;
        self.try_insert(name, value).map(drop).map_err(|_| Invalid)
    }

    fn add(&mut self, name: &[u8], value: &[u8]) -> Result<(), Invalid> {
        let (name, value) = field(name, value)?;
        room(self, name.as_str().len() + value.len())?;
        self.try_append(name, value).map(drop).map_err(|_| Invalid)
    }

    fn delete(&mut self, name: &[u8]) {
        if let Ok(name) = HeaderName::from_bytes(name) {
            self.remove(name);
        }
    }

    fn replace(&mut self, pairs: &[(&[u8], &[u8])]) -> Result<(), Invalid> {
        let mut new = HeaderMap::with_capacity(pairs.len());
        for (name, value) in pairs {
            new.add(name, value)?;
        }
        *self = new;
        Ok(())
    }
}

/// Whether a field of so many bytes may come to those that are there: there may be as many as a guest may hand over at
/// once. Of few small ones nobody counts the bytes.
fn room(fields: &HeaderMap, more: usize) -> Result<(), Invalid> {
    const FEW: usize = 64;
    const SMALL: usize = 4096;
    if fields.len() < FEW && more <= SMALL {
        return Ok(());
    }
    let full = fields.len() >= PAIRS_MAX || fields.bytes() as usize + more > BYTES_MAX;
    if full { Err(Invalid) } else { Ok(()) }
}

fn field(name: &[u8], value: &[u8]) -> Result<(HeaderName, HeaderValue), Invalid> {
    let name = HeaderName::from_bytes(name).map_err(|_| Invalid)?;
    Ok((name, HeaderValue::from_bytes(value).map_err(|_| Invalid)?))
}
