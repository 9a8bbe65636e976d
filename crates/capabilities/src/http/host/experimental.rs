//! `wasi_experimental_http` 0.10.0 for core modules: five functions that let a guest send one request after
//! the other. All parameters are `i32`; the result is a code of [`Code`]; pointers are into the exported
//! memory `memory`.
//!
//! Where the original differs on purpose: scheme and port of a grant count, redirects are checked again,
//! handles belong to one instance, bodies are streamed, and no input ends in a panic.

use super::experimental_wire::{self as wire, Malformed};
use crate::Host;
use crate::http::redirect::{self, Resendable};
use crate::http::{Body, Error, Timeouts};
use crate::link::Definer;
use bytes::Bytes;
use futures::FutureExt;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response};
use http_body_util::BodyExt;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;
use wasmtime::{Caller, Extern, Func, FuncType, Memory};

/// The module that guests import.
pub const MODULE: &str = "wasi_experimental_http";

/// Responses that a guest may hold open.
const MAX_SESSIONS: usize = 256;
/// Request bodies that are held on the host at once. They are copied because the guest may go on, and write
/// to its memory, while a server that answered early still receives the rest.
const MAX_HELD_BYTES: usize = 64 * 1024 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Code {
    InvalidHandle = 1,
    MemoryNotFound = 2,
    MemoryAccess = 3,
    BufferTooSmall = 4,
    HeaderNotFound = 5,
    Utf8 = 6,
    DestinationNotAllowed = 7,
    InvalidMethod = 8,
    InvalidEncoding = 9,
    InvalidUrl = 10,
    Request = 11,
    Runtime = 12,
    TooManySessions = 13,
}

impl From<Malformed> for Code {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::Utf8 => Code::Utf8,
            Malformed::HeaderLine => Code::InvalidEncoding,
        }
    }
}

impl From<Error> for Code {
    fn from(error: Error) -> Self {
        match error {
            Error::Denied | Error::AddressProhibited => Code::DestinationNotAllowed,
            Error::BadUri => Code::InvalidUrl,
            Error::BadMethod => Code::InvalidMethod,
            Error::LimitReached => Code::TooManySessions,
            Error::Configuration(_) => Code::Runtime,
            _ => Code::Request,
        }
    }
}

/// The responses that one guest holds open, by handle.
pub(crate) struct Sessions {
    open: HashMap<u32, Session>,
    next: u32,
    held_bytes: Arc<Semaphore>,
}

struct Session {
    headers: HeaderMap,
    /// `None` after the end or an error.
    body: Option<Body>,
    /// What came of the body and did not fit into the guest's buffer.
    rest: Bytes,
    /// For the next read.
    failed: Option<Code>,
}

impl Default for Sessions {
    fn default() -> Self {
        // 0 is what forgotten variables hold; it is never a handle.
        Sessions { open: HashMap::new(), next: 1, held_bytes: Arc::new(Semaphore::new(MAX_HELD_BYTES)) }
    }
}

/// A copied request body and its share of what may be held.
struct Held {
    body: Vec<u8>,
    _share: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

impl Sessions {
    fn hold(&self, body: &[u8]) -> Result<Bytes, Code> {
        let size_bytes = u32::try_from(body.len()).map_err(|_| Code::Request)?;
        if body.len() > MAX_HELD_BYTES {
            return Err(Code::Request);
        }
        let share = Arc::clone(&self.held_bytes).try_acquire_many_owned(size_bytes);
        let share = share.map_err(|_| Code::TooManySessions)?;
        Ok(Bytes::from_owner(Held { body: body.to_vec(), _share: share }))
    }

    fn insert(&mut self, response: Response<Body>) -> Result<u32, Code> {
        if self.open.len() >= MAX_SESSIONS {
            return Err(Code::TooManySessions);
        }
        while self.next == 0 || self.open.contains_key(&self.next) {
            self.next = self.next.wrapping_add(1);
        }
        let handle = self.next;
        self.next = self.next.wrapping_add(1);
        let (head, body) = response.into_parts();
        let session = Session { headers: head.headers, body: Some(body), rest: Bytes::new(), failed: None };
        self.open.insert(handle, session);
        Ok(handle)
    }

    fn get(&mut self, handle: u32) -> Result<&mut Session, Code> {
        self.open.get_mut(&handle).ok_or(Code::InvalidHandle)
    }
}

impl Session {
    /// At most `max` bytes of the body as soon as there are some; none at its end.
    async fn read(&mut self, max: usize) -> Result<Bytes, Code> {
        if let Some(code) = self.failed.take() {
            return Err(code);
        }
        while self.rest.is_empty() {
            let Some(body) = &mut self.body else { return Ok(Bytes::new()) };
            match body.frame().await {
                // Trailers have no place in this interface.
                Some(Ok(frame)) => self.rest = frame.into_data().unwrap_or_default(),
                Some(Err(error)) => {
                    self.body = None;
                    return Err(error.into());
                }
                None => self.body = None,
            }
        }
        Ok(self.rest.split_to(max.min(self.rest.len())))
    }

    /// What could be read without waiting; an error is kept for the next call.
    fn read_ready(&mut self, max: usize) -> Bytes {
        match self.read(max).now_or_never() {
            Some(Ok(piece)) => piece,
            Some(Err(code)) => {
                self.failed = Some(code);
                Bytes::new()
            }
            None => Bytes::new(),
        }
    }
}

/// The host function for an import of [`MODULE`], or `None` where it has none of this name and type.
pub(crate) fn function(to: &mut Definer<'_>, name: &str, ty: &FuncType) -> Option<Func> {
    let function = match name {
        "req" => wrap_req(to),
        "close" => to.wrap(|mut caller: Caller<'_, Host>, handle: u32| {
            answer(
                caller
                    .data_mut()
                    .http
                    .guest
                    .sessions
                    .open
                    .remove(&handle)
                    .map(drop)
                    .ok_or(Code::InvalidHandle),
            )
        }),
        "header_get" => to.wrap(
            |caller: Caller<'_, Host>,
             handle: u32,
             name: u32,
             name_len: u32,
             buf: u32,
             len: u32,
             written: u32| {
                answer(header_get(caller, handle, (name, name_len), (buf, len), written))
            },
        ),
        "headers_get_all" => {
            to.wrap(|caller: Caller<'_, Host>, handle: u32, buf: u32, len: u32, written: u32| {
                answer(headers_get_all(caller, handle, (buf, len), written))
            })
        }
        "body_read" => {
            to.wrap_async(|caller: Caller<'_, Host>, (handle, buf, len, written): (u32, u32, u32, u32)| {
                Box::new(async move { answer(body_read(caller, handle, (buf, len), written).await) })
            })
        }
        _ => return None,
    };
    FuncType::eq(&function.ty(&*to.store), ty).then_some(function)
}

/// Offsets and lengths of `req`: URL, method, headers, body; then where the status and the handle go.
type ReqArguments = (u32, u32, u32, u32, u32, u32, u32, u32, u32, u32);

fn wrap_req(to: &mut Definer<'_>) -> Func {
    to.wrap_async(|caller: Caller<'_, Host>, arguments: ReqArguments| {
        Box::new(async move { answer(req(caller, arguments).await) })
    })
}

fn answer(result: Result<(), Code>) -> u32 {
    result.map_or_else(|code| code as u32, |()| 0)
}

/// Offset and length in the guest's memory.
type Slice = (u32, u32);

fn memory(caller: &mut Caller<'_, Host>) -> Result<Memory, Code> {
    caller.get_export("memory").and_then(Extern::into_memory).ok_or(Code::MemoryNotFound)
}

fn range((offset, len): Slice) -> Range<usize> {
    // Two u32 cannot overflow a usize of 64 bits.
    offset as usize..offset as usize + len as usize
}

fn bytes(memory: &[u8], slice: Slice) -> Result<&[u8], Code> {
    memory.get(range(slice)).ok_or(Code::MemoryAccess)
}

fn write(memory: &mut [u8], offset: u32, bytes: &[u8]) -> Result<(), Code> {
    let len = u32::try_from(bytes.len()).map_err(|_| Code::MemoryAccess)?;
    memory.get_mut(range((offset, len))).ok_or(Code::MemoryAccess)?.copy_from_slice(bytes);
    Ok(())
}

async fn req(mut caller: Caller<'_, Host>, arguments: ReqArguments) -> Result<(), Code> {
    let memory = memory(&mut caller)?;
    let (status_at, handle_at) = (arguments.8, arguments.9);
    let (data, host) = memory.data_and_store_mut(&mut caller);
    let request = request(data, arguments, &host.http.guest.sessions)?;
    // Asked before anything is sent: a request whose answer cannot be told must not happen.
    bytes(data, (status_at, 2))?;
    bytes(data, (handle_at, 4))?;
    if host.http.guest.sessions.open.len() >= MAX_SESSIONS {
        return Err(Code::TooManySessions);
    }
    let door = Arc::clone(&host.http.door);
    let response = redirect::send(&door, request, Timeouts::default()).await?;
    let status = response.status().as_u16();
    let handle = caller.data_mut().http.guest.sessions.insert(response)?;
    let data = memory.data_mut(&mut caller);
    write(data, status_at, &status.to_le_bytes())?;
    write(data, handle_at, &handle.to_le_bytes())
}

/// Reads a request from the guest's memory.
fn request(data: &[u8], arguments: ReqArguments, sessions: &Sessions) -> Result<Resendable, Code> {
    let (url, url_len, method, method_len, headers, headers_len, body, body_len, ..) = arguments;
    let url = Url::parse(wire::text(bytes(data, (url, url_len))?)?).map_err(|_| Code::InvalidUrl)?;
    let method = wire::method(wire::text(bytes(data, (method, method_len))?)?);
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| Code::InvalidMethod)?;
    let mut map = HeaderMap::new();
    for (name, value) in wire::request_headers(wire::text(bytes(data, (headers, headers_len))?)?)? {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Code::InvalidEncoding)?;
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| Code::InvalidEncoding)?;
        map.try_insert(name, value).map_err(|_| Code::InvalidEncoding)?;
    }
    let body = sessions.hold(bytes(data, (body, body_len))?)?;
    Ok(Resendable { url, method, headers: map, body })
}

fn header_get(
    mut caller: Caller<'_, Host>,
    handle: u32,
    name: Slice,
    (buf, len): Slice,
    written: u32,
) -> Result<(), Code> {
    let memory = memory(&mut caller)?;
    let (data, host) = memory.data_and_store_mut(&mut caller);
    let session = host.http.guest.sessions.get(handle)?;
    let name = wire::text(bytes(data, name)?)?;
    let value = session.headers.get(name).ok_or(Code::HeaderNotFound)?;
    let value = wire::text(value.as_bytes())?;
    if value.len() > len as usize {
        return Err(Code::BufferTooSmall);
    }
    write(data, buf, value.as_bytes())?;
    write(data, written, &(value.len() as u32).to_le_bytes())
}

fn headers_get_all(
    mut caller: Caller<'_, Host>,
    handle: u32,
    (buf, len): Slice,
    written: u32,
) -> Result<(), Code> {
    let memory = memory(&mut caller)?;
    let (data, host) = memory.data_and_store_mut(&mut caller);
    let session = host.http.guest.sessions.get(handle)?;
    let headers = session.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let block = wire::response_headers(headers, len as usize)?.ok_or(Code::BufferTooSmall)?;
    write(data, buf, block.as_bytes())?;
    write(data, written, &(block.len() as u32).to_le_bytes())
}

/// Waits for the first bytes, then takes what more is there; 0 bytes are the end.
async fn body_read(
    mut caller: Caller<'_, Host>,
    handle: u32,
    (buf, len): Slice,
    written: u32,
) -> Result<(), Code> {
    let memory = memory(&mut caller)?;
    caller.data_mut().http.guest.sessions.get(handle)?;
    bytes(memory.data(&caller), (buf, len))?;
    bytes(memory.data(&caller), (written, 4))?;
    let mut filled = 0;
    while filled < len {
        let session = caller.data_mut().http.guest.sessions.get(handle)?;
        let space = (len - filled) as usize;
        let piece = if filled == 0 { session.read(space).await? } else { session.read_ready(space) };
        if piece.is_empty() {
            break;
        }
        write(memory.data_mut(&mut caller), buf + filled, &piece)?;
        filled += piece.len() as u32;
    }
    write(memory.data_mut(&mut caller), written, &filled.to_le_bytes())
}
