//! One request and its response: what is refused before a handler sees it, and what is added to both.

use crate::body::{self, ResponseBody};
use crate::check;
use crate::handler::{Body, Handler, Notes, RequestId, Via, empty, is_reset};
use crate::id::{self, X_REQUEST_ID};
use crate::line::Line;
use crate::notice::Notice;
use crate::server::Work;
use futures::FutureExt;
use http::header::{CONNECTION, HOST};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use sampan_telemetry::{AccessLog, Proxied, Record};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime};

/// What a handler may put into a response's extensions for the access log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// The route as written in the manifest.
    pub route: Arc<str>,
    /// What answered: a component, an upstream, a folder.
    pub to: Arc<str>,
}

/// A handler gives no answer. hyper resets the stream for it, or closes the connection.
#[derive(Debug, thiserror::Error)]
#[error("the request is not answered")]
pub(crate) struct NotAnswered;

/// Answers a request. From the call on it is in flight: hyper may find the end of the client's side before it
/// polls for the answer.
pub(crate) fn answer(
    line: Arc<Line>,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<ResponseBody>, NotAnswered>> {
    let flight = Flight::new(line);
    exchange(flight, request)
}

/// The order matters: what a client did wrong never reaches the handler. If the client leaves, this is dropped.
async fn exchange(
    mut flight: Flight,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, NotAnswered> {
    // 1. Its name.
    let (mut head, incoming) = request.into_parts();
    let id = id::of(&head.headers);
    flight.note(&head, &id);
    let http1 = head.version != Version::HTTP_2;
    let upgrade = head.extensions.get::<OnUpgrade>().is_some();
    // 2. What no handler should have to think of.
    let limits = &flight.line.shared.limits;
    let mut response = match check::request(&mut head, limits) {
        Err(status) => refusal(status, http1),
        Ok(()) => {
            // 3. The handler.
            head.extensions.insert(flight.line.peer);
            head.extensions.insert(RequestId(id.clone()));
            if let Some(handshake) = flight.line.handshake.get() {
                head.extensions.insert(handshake.clone());
            }
            if let Some(entry) = &flight.entry {
                head.extensions.insert(entry.notes.clone());
            }
            let body = body::request(incoming, limits.body_idle);
            let response = match &flight.line.shared.work {
                Work::Http(http) => guarded(&*http.handler, Request::from_parts(head, body), &flight).await,
                // Its connections have no requests.
                Work::Tcp(_) => None,
            };
            response.unwrap_or_else(|| failure(StatusCode::INTERNAL_SERVER_ERROR))
        }
    };
    // 4. Nothing is sent where the handler wants it so.
    if is_reset(&response) {
        flight.cut(&mut response);
        return Err(NotAnswered);
    }
    // 5. hyper sends no other interim responses, and switches only where the client asked for it.
    let status = response.status();
    let switched = status == StatusCode::SWITCHING_PROTOCOLS;
    if status.is_informational() && !(switched && upgrade && http1) {
        response = failure(StatusCode::INTERNAL_SERVER_ERROR);
    }
    // 6. The response goes out, and the record is written when its body ends.
    response.headers_mut().insert(X_REQUEST_ID, id);
    flight.answered(&mut response, switched);
    Ok(response.map(|body| ResponseBody::new(body, flight)))
}

/// Nothing of a handler that panicked is used again but the handler, which says by its trait that it can be.
/// Calling it outside of a future of ours spares moving the request twice.
async fn guarded(handler: &dyn Handler, request: Request<Body>, flight: &Flight) -> Option<Response<Body>> {
    let called = match catch_unwind(AssertUnwindSafe(|| handler.handle(request))) {
        Ok(answer) => AssertUnwindSafe(answer).catch_unwind().await,
        Err(panic) => Err(panic),
    };
    called.map_err(|panic| flight.panicked(&*panic)).ok()
}

fn failure(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(empty());
    *response.status_mut() = status;
    response
}

/// After a refusal the connection is not used again: the client and we may not agree on where its next
/// request begins.
fn refusal(status: StatusCode, http1: bool) -> Response<Body> {
    let mut response = failure(status);
    if http1 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// A request in flight. Dropping it ends it, whatever the reason.
pub(crate) struct Flight {
    line: Arc<Line>,
    /// Only with an access log.
    entry: Option<Box<Entry>>,
}

/// What the access log will say.
struct Entry {
    log: AccessLog,
    time: SystemTime,
    began: Instant,
    id: HeaderValue,
    method: Method,
    target: Uri,
    version: Version,
    host: Option<HeaderValue>,
    /// 0 until there is a response.
    status: u16,
    served: Option<Served>,
    via: Option<Via>,
    notes: Notes,
    bytes: u64,
    broken: bool,
}

impl Flight {
    fn new(line: Arc<Line>) -> Self {
        line.begin();
        Flight { line, entry: None }
    }

    fn note(&mut self, head: &http::request::Parts, id: &HeaderValue) {
        let Some(log) = &self.line.shared.log else { return };
        self.entry = Some(Box::new(Entry {
            log: log.clone(),
            time: SystemTime::now(),
            began: Instant::now(),
            id: id.clone(),
            method: head.method.clone(),
            target: head.uri.clone(),
            version: head.version,
            host: head.headers.get(HOST).cloned(),
            status: 0,
            served: None,
            via: None,
            notes: Notes::default(),
            bytes: 0,
            broken: false,
        }));
    }

    fn answered(&mut self, response: &mut Response<Body>, switched: bool) {
        self.line.answered(switched);
        if let Some(entry) = &mut self.entry {
            entry.status = response.status().as_u16();
        }
        self.take_notes(response);
    }

    /// The client gets nothing.
    fn cut(&mut self, response: &mut Response<Body>) {
        self.broken();
        self.take_notes(response);
    }

    fn take_notes(&mut self, response: &mut Response<Body>) {
        if let Some(entry) = &mut self.entry {
            entry.served = response.extensions_mut().remove();
            entry.via = response.extensions_mut().remove();
        }
    }

    pub fn sent(&mut self, bytes: usize) {
        if let Some(entry) = &mut self.entry {
            entry.bytes += bytes as u64;
        }
    }

    /// In HTTP/1 the socket shows it.
    pub fn stall(&self) -> Option<u32> {
        self.line.http2.load(Ordering::Relaxed).then(|| self.line.stall())
    }

    pub fn go_on(&self, look: u32) {
        self.line.go_on(look);
    }

    pub fn broken(&mut self) {
        if let Some(entry) = &mut self.entry {
            entry.broken = true;
        }
    }

    pub fn panicked(&self, panic: &(dyn Any + Send)) {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        let message = text.unwrap_or("a panic without a message").to_owned();
        self.line.shared.notices.tell(&Notice::Panicked { message });
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.line.end();
        let Some(entry) = self.entry.take() else { return };
        let host = entry.target.authority().map(|authority| authority.as_str());
        let host = host.or_else(|| entry.host.as_ref().and_then(|host| host.to_str().ok()));
        entry.log.write(&Record {
            time: entry.time,
            duration: entry.began.elapsed(),
            id: entry.id.to_str().unwrap_or_default(),
            peer: self.line.peer.address,
            tls: self.line.peer.tls,
            version: match entry.version {
                Version::HTTP_10 => "1.0",
                Version::HTTP_2 => "2",
                _ => "1.1",
            },
            method: entry.method.as_str(),
            host: host.unwrap_or_default(),
            path: entry.target.path(),
            query: entry.target.query(),
            status: entry.status,
            bytes: entry.bytes,
            broken: entry.broken,
            route: entry.served.as_ref().map(|served| &*served.route),
            to: entry.served.as_ref().map(|served| &*served.to),
            proxied: entry.via.as_ref().or_else(|| entry.notes.via()).map(|via| Proxied {
                server: via.server,
                attempts: via.attempts,
                waited: via.waited,
                failure: via.failure,
                tried: &via.tried,
            }),
        });
    }
}
