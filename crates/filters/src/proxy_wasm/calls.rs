//! `proxy_http_call`: requests of filters to upstreams and components of the app.

use super::head::Fields;
use super::head::ResponseHead;
use super::map;
use super::slot::Slot;
use super::state::{After, State};
use super::values::{BAD_ARGUMENT, INTERNAL, Status};
use super::vm::Step;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body_util::BodyExt;
use sampan_service::{Body, Depth, Handler, full};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// So many calls of one VM may be under way.
pub const CALLS_MAX: usize = 1024;
/// Longer answers are failures.
const ANSWER_MAX: usize = 8 << 20;

/// What the calls of one VM may carry at once, in both directions.
pub const CARRIED_BYTES_MAX: usize = 64 << 20;

/// What the calls of one VM carry.
#[derive(Clone, Default)]
pub struct Carried(Arc<AtomicUsize>);

/// A call's part of it.
pub struct Load {
    carried: Carried,
    bytes: usize,
}

impl Carried {
    pub fn take(&self, bytes: usize) -> Option<Load> {
        let mut load = Load { carried: self.clone(), bytes: 0 };
        load.grow(bytes).then_some(load)
    }
}

impl Load {
    /// Whether there is room for more.
    pub fn grow(&mut self, more: usize) -> bool {
        if self.carried.0.fetch_add(more, Relaxed).saturating_add(more) > CARRIED_BYTES_MAX {
            self.carried.0.fetch_sub(more, Relaxed);
            return false;
        }
        self.bytes += more;
        true
    }

    /// So much is left of it.
    pub fn shrink_to(&mut self, bytes: usize) {
        let less = self.bytes.saturating_sub(bytes);
        self.carried.0.fetch_sub(less, Relaxed);
        self.bytes -= less;
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

/// A call that the guest asked for; it starts when the guest has returned.
pub struct Pending {
    pub id: u32,
    root: u32,
    to: Arc<dyn Handler>,
    request: Request<Body>,
    timeout: Duration,
    load: Load,
}

/// An answer as the guest sees it.
pub struct Reply {
    pub headers: ResponseHead,
    pub body: Bytes,
    pub trailers: HeaderMap,
}

/// What `proxy_http_call` was given.
pub struct Asked<'a> {
    pub upstream: &'a [u8],
    pub headers: &'a [u8],
    pub body: &'a [u8],
    pub trailers: &'a [u8],
    pub timeout_ms: u32,
}

impl State {
    /// Notes a call; its number.
    pub fn http_call(&mut self, asked: &Asked<'_>) -> Result<u32, Status> {
        let calling = Arc::clone(self.calling());
        let name = str::from_utf8(asked.upstream).map_err(|_| BAD_ARGUMENT)?;
        let Some(to) = calling.code.destinations.find(name) else {
            calling.code.log(&format!("proxy_http_call: the app has no upstream or component `{name}`"));
            return Err(BAD_ARGUMENT);
        };
        let bytes = asked.headers.len() + asked.body.len() + asked.trailers.len();
        let load = self.carried.take(bytes).ok_or(INTERNAL)?;
        let mut request = request(asked).ok_or(BAD_ARGUMENT)?;
        let depth = self.stream().map(|stream| stream.about.depth).unwrap_or_default();
        request.extensions_mut().insert(Depth(depth.0.saturating_add(1)));
        if self.calls.len() + self.after.calls.len() >= CALLS_MAX {
            return Err(INTERNAL);
        }
        let (id, root) = (self.new_call(), self.effective_root());
        // 0 has no meaning in the specification; the longest pause bounds it all the same.
        let longest = calling.code.spec.pause;
        let timeout = match asked.timeout_ms {
            0 => longest,
            given => longest.min(Duration::from_millis(given.into())),
        };
        self.after.calls.push(Pending { id, root, to, request, timeout, load });
        Ok(id)
    }
}

fn request(asked: &Asked<'_>) -> Option<Request<Body>> {
    let pairs = map::decode(asked.headers)?;
    let pseudo = |name: &[u8]| pairs.iter().find(|(one, _)| *one == name).map(|(_, value)| *value);
    let (method, path) = (pseudo(b":method")?, pseudo(b":path")?);
    let authority = str::from_utf8(pseudo(b":authority")?).ok()?;
    let mut headers = HeaderMap::new();
    for (name, value) in pairs.iter().filter(|(name, _)| !name.starts_with(b":")) {
        headers.add(name, value).ok()?;
    }
    headers.set(b"host", authority.as_bytes()).ok()?;
    let trailers = map::decode(asked.trailers)?;
    let mut sent = HeaderMap::new();
    for (name, value) in trailers {
        sent.add(name, value).ok()?;
    }
    let body = full(Bytes::copy_from_slice(asked.body));
    let body = if sent.is_empty() {
        body
    } else {
        body.with_trailers(std::future::ready(Some(Ok(sent)))).boxed_unsync()
    };
    let mut request = Request::new(body);
    *request.method_mut() = Method::from_bytes(method).ok()?;
    *request.uri_mut() = Uri::try_from(path).ok().filter(|_| path.starts_with(b"/"))?;
    *request.headers_mut() = headers;
    Some(request)
}

/// Starts what the guest asked for.
pub fn start(slot: &Arc<Slot>, state: &mut State, after: &mut After) {
    for pending in after.calls.drain(..) {
        let id = pending.id;
        let task = slot.runtime.spawn(run(Arc::downgrade(slot), pending));
        state.calls.insert(id, task.abort_handle());
    }
}

/// A call outlives the exchange for which it was made, as in Envoy: the guest waits for its end.
async fn run(slot: Weak<Slot>, pending: Pending) {
    let Pending { id, root, to, request, timeout, mut load } = pending;
    let answer = async { collect(to.handle(request).await, &mut load).await };
    let reply = tokio::time::timeout(timeout, answer).await.ok().flatten();
    drop(to);
    let Some(slot) = slot.upgrade() else { return };
    let step = |state: &mut State| {
        state.calls.remove(&id);
        let (headers, body, trailers) = reply.as_ref().map_or((0, 0, 0), |reply| {
            (reply.headers.count(), reply.body.len() as u32, reply.trailers.len() as u32)
        });
        // Without headers it failed.
        state.status = (u32::from(reply.is_none()), Vec::new());
        state.reply = reply;
        Step::CallResponse { root, call: id, headers, body, trailers }
    };
    // A VM that ended has nobody to tell.
    let _ = slot.call_in_background(step, |state, _| state.reply = None).await;
    drop(load);
}

async fn collect(response: Response<Body>, load: &mut Load) -> Option<Reply> {
    let (parts, mut body) = response.into_parts();
    let (mut bytes, mut trailers) = (BytesMut::new(), HeaderMap::new());
    while let Some(frame) = body.frame().await {
        match frame.ok()?.into_data() {
            Ok(piece) if bytes.len() + piece.len() > ANSWER_MAX || !load.grow(piece.len()) => return None,
            Ok(piece) => bytes.extend_from_slice(&piece),
            Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
        }
    }
    Some(Reply { headers: ResponseHead { parts: Box::new(parts) }, body: bytes.freeze(), trailers })
}
