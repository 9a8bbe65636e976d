//! Handlers of this process, in front of the network: components call each other, and their own app, without a
//! socket. Whether a guest may is the policy's business as everywhere; the depth of such calls is bounded.

use super::policy::Target;
use super::{Body, Error};
use crate::messaging::Receiver;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame, SizeHint};
use sampan_service::{BodyError, Depth, Handler};
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

/// Components are reached under this domain, as Spin calls it.
const DOMAIN: &str = ".spin.internal";
/// The app's own routes.
const SELF: &str = "self";

/// The handlers of one app, by the names under which its components reach them. Filled by whoever composes the
/// app, when the handlers exist; holds none of them alive.
#[derive(Default)]
pub struct Local {
    components: RwLock<HashMap<String, Weak<dyn Handler>>>,
    /// The same components, for messages.
    receivers: RwLock<HashMap<String, Weak<dyn Receiver>>>,
    own: RwLock<Option<Weak<dyn Handler>>>,
    dapr: RwLock<Option<Dapr>>,
}

/// Dapr's API for this app, and the ports at which its clients look for it.
struct Dapr {
    ports: Box<[u16]>,
    handler: Weak<dyn Handler>,
}

impl Local {
    /// Makes a component reachable at `http://NAME.spin.internal`.
    pub fn set_component(&self, name: &str, handler: &Arc<dyn Handler>) {
        let mut components = self.components.write().unwrap_or_else(PoisonError::into_inner);
        components.insert(name.to_ascii_lowercase(), Arc::downgrade(handler));
    }

    /// Makes a component reachable for messages.
    pub fn set_receiver(&self, name: &str, receiver: &Arc<dyn Receiver>) {
        let mut receivers = self.receivers.write().unwrap_or_else(PoisonError::into_inner);
        receivers.insert(name.to_ascii_lowercase(), Arc::downgrade(receiver));
    }

    /// Makes the app's routes reachable at `http://self`.
    pub fn set_own(&self, handler: &Arc<dyn Handler>) {
        *self.own.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::downgrade(handler));
    }

    /// Makes Dapr's API reachable at these ports of this machine, without a socket.
    pub fn set_dapr(&self, ports: &[u16], handler: &Arc<dyn Handler>) {
        let dapr = Dapr { ports: ports.into(), handler: Arc::downgrade(handler) };
        *self.dapr.write().unwrap_or_else(PoisonError::into_inner) = Some(dapr);
    }

    /// Dapr's API, if that is what the target is.
    pub(super) fn dapr(&self, target: &Target) -> Option<Arc<dyn Handler>> {
        if !target.is_this_machine() {
            return None;
        }
        let dapr = self.dapr.read().unwrap_or_else(PoisonError::into_inner);
        let dapr = dapr.as_ref().filter(|dapr| dapr.ports.contains(&target.port))?;
        dapr.handler.upgrade()
    }

    /// The app's routes.
    pub fn own(&self) -> Option<Arc<dyn Handler>> {
        self.own.read().unwrap_or_else(PoisonError::into_inner).as_ref()?.upgrade()
    }

    /// A component by its name.
    pub fn component(&self, name: &str) -> Option<Arc<dyn Handler>> {
        let components = self.components.read().unwrap_or_else(PoisonError::into_inner);
        components.get(&name.to_ascii_lowercase())?.upgrade()
    }

    /// A component by its name, for messages.
    pub fn receiver(&self, name: &str) -> Option<Arc<dyn Receiver>> {
        let receivers = self.receivers.read().unwrap_or_else(PoisonError::into_inner);
        receivers.get(&name.to_ascii_lowercase())?.upgrade()
    }

    /// Who answers for this target; `None`: somebody in the network, or nobody.
    pub(super) fn find(&self, target: &Target) -> Option<Arc<dyn Handler>> {
        if target.tls || target.port != 80 {
            return None;
        }
        if target.host == SELF {
            return self.own();
        }
        self.component(target.host.strip_suffix(DOMAIN)?)
    }
}

/// Whether a target is never looked for in the network.
pub(super) fn is_internal(target: &Target) -> bool {
    target.host == SELF || target.host.ends_with(DOMAIN)
}

/// Hands the request to a handler. It carries how deep it is in [`Depth`], if whoever sends it said so.
pub(super) async fn send(
    handler: Arc<dyn Handler>,
    mut request: Request<Body>,
    first_byte: Duration,
    between_bytes: Duration,
    place: OwnedSemaphorePermit,
) -> Result<Response<Body>, Error> {
    let depth = request.extensions().get::<Depth>().copied().unwrap_or_default();
    request.extensions_mut().insert(Depth(depth.0.saturating_add(1)));
    let place = Arc::new(place);
    let request = request.map(|body| {
        if body.is_end_stream() {
            return body.map_err(Into::into).boxed_unsync();
        }
        Whole { body: Some(body), place: Some(Arc::clone(&place)) }.boxed_unsync()
    });
    let response = timeout(first_byte, handler.handle(request)).await.map_err(|_| Error::ReadTimeout)?;
    Ok(response.map(|body| Answer { body, between_bytes, timer: None, _place: place }.boxed_unsync()))
}

/// The request's body. What the handler leaves unread is read for it, as a network's buffers would take it: a guest
/// that writes all before it looks at the answer would take a closed stream for a failed request.
struct Whole {
    /// `None` after its end.
    body: Option<Body>,
    /// The caller's place among its requests under way, which bounds how many are read for nobody.
    place: Option<Arc<OwnedSemaphorePermit>>,
}

/// Of a body that nobody wants, so much is read.
const UNREAD_BYTES_MAX: usize = 1 << 20;
/// And for so long.
const UNREAD_TIME_MAX: Duration = Duration::from_secs(10);

/// Reads the body of a request that goes nowhere.
pub(super) fn leave_unread(body: Body, place: OwnedSemaphorePermit) {
    if !body.is_end_stream() {
        drop(Whole { body: Some(body), place: Some(Arc::new(place)) });
    }
}

impl hyper::body::Body for Whole {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            self.body = None;
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        if let (Some(body), Ok(runtime)) = (self.body.take(), Handle::try_current()) {
            let place = self.place.take();
            runtime.spawn(async move {
                // Too late is as good as the end.
                let _ = timeout(UNREAD_TIME_MAX, read_away(body)).await;
                drop(place);
            });
        }
    }
}

async fn read_away(mut body: Body) {
    let mut left = UNREAD_BYTES_MAX;
    while let Some(Ok(frame)) = body.frame().await {
        left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        if left == 0 {
            return;
        }
    }
}

/// The other component's body. Holds the caller's place among its requests under way.
struct Answer {
    body: sampan_service::Body,
    between_bytes: Duration,
    /// Runs while the other side keeps us waiting.
    timer: Option<Pin<Box<tokio::time::Sleep>>>,
    _place: Arc<OwnedSemaphorePermit>,
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(frame) => {
                self.timer = None;
                Poll::Ready(frame.map(|frame| frame.map_err(|_| Error::ResponseIncomplete)))
            }
            Poll::Pending => {
                let between_bytes = self.between_bytes;
                let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(between_bytes)));
                timer.as_mut().poll(cx).map(|()| Some(Err(Error::ReadTimeout)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
