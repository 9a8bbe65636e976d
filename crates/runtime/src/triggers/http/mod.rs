//! Components that export an HTTP handler: `wasi:http` 0.2 and 0.3, or Spin 1's.
//!
//! [`handle`] is the life of a request. The guest's call is a [`Bounded`] future that is polled in the task of
//! the connection: until the guest has answered, then while its body is read.

mod body;
mod idle;
mod request;
mod response;
mod room;
mod shared;
mod spin_inbound;
mod wasi02;
mod wasi03;

pub(crate) use super::http_entry;
use crate::serve::{Bounded, Ended, Place, Ready, Unit, failure_response};
use ::http::{Method, Request, Response, StatusCode};
use body::{Leaving, Streamed};
use idle::Idle;
use sampan_capabilities::{Host, link_component};
use sampan_service::Body;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Sleep;
use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime_wasi_http::{WasiBody, p2, p3};

/// A guest whose manifest names no time limit has so long to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// A guest that has given up the means to answer is asked no longer than this why.
const END_WITHIN: Duration = Duration::from_millis(100);

/// A component's handler, ready to be instantiated, and the instances that wait for another request.
pub struct Entry {
    pub(super) export: Export,
    pub(super) idle_02: Idle<p2::bindings::Proxy>,
    pub(super) idle_03: Idle<p3::bindings::Service>,
    pub(super) shared: shared::Shared,
}

use Entry as Instances;

/// Which handler the component exports.
pub enum Export {
    Wasi02(p2::bindings::ProxyPre<Host>),
    Wasi03(p3::bindings::ServicePre<Host>),
    Spin(spin_inbound::Inbound),
}

/// What the guest answered: a response, or the error code that wasi:http lets it return instead.
pub(super) type Head = Result<Response<WasiBody>, String>;

impl Entry {
    /// Links the component and checks its handler's type; `None` where it has none.
    pub(crate) fn of(engine: &Engine, component: &Component) -> wasmtime::Result<Option<Self>> {
        let world = component.component_type();
        let exports = |interface: &str| {
            world.exports(engine).any(|(name, _)| {
                name.strip_prefix(interface).is_some_and(|patch| patch.parse::<u64>().is_ok())
            })
        };
        let pre = || link_component(engine, component)?.instantiate_pre(component);
        let export = if exports("wasi:http/handler@0.3.") {
            Export::Wasi03(p3::bindings::ServicePre::new(pre()?)?)
        } else if exports("wasi:http/incoming-handler@0.2.") {
            Export::Wasi02(p2::bindings::ProxyPre::new(pre()?)?)
        } else if let Some(inbound) = spin_inbound::Inbound::of(engine, component)? {
            Export::Spin(inbound)
        } else {
            return Ok(None);
        };
        Ok(Some(Entry {
            export,
            idle_02: Idle::default(),
            idle_03: Idle::default(),
            shared: shared::Shared::default(),
        }))
    }

    pub(crate) fn drop_idle_instances(&self, idle: Duration) {
        self.idle_02.drop_older(idle);
        self.idle_03.drop_older(idle);
        self.shared.drop_older(idle);
    }

    /// Whether an instance can serve several requests at once.
    pub(crate) fn is_concurrent(&self) -> bool {
        matches!(self.export, Export::Wasi03(_))
    }
}

/// Answers one request.
pub(crate) async fn handle(
    unit: Arc<Unit>,
    ready: Arc<Ready>,
    request: Request<Body>,
    place: Place,
) -> Response<Body> {
    // 1. The request as the guest sees it.
    let method = request.method().clone();
    let request = match request::prepare(&unit, request) {
        Ok(request) => request,
        Err(status) => return failure_response(status),
    };

    // 2. An instance, and the call: one future, which owns both.
    let (sender, head) = oneshot::channel();
    let (unit2, ready2) = (Arc::clone(&unit), Arc::clone(&ready));
    let call = match &http_entry(&ready).export {
        Export::Wasi02(_) => unit.bounded(wasi02::call(unit2, ready2, request, sender, place)),
        Export::Wasi03(_) if unit.component.serving.concurrency > 1 => {
            unit.bounded(shared::call(unit2, ready2, request, sender, place))
        }
        Export::Wasi03(_) => unit.bounded(wasi03::call(unit2, ready2, request, sender, place)),
        Export::Spin(_) => unit.bounded(spin_inbound::call(unit2, ready2, request, sender, place)),
    };

    // 3. Run it until it has answered. Dropping this future drops the call, which ends the guest.
    let answered = answer(&unit, call, head).await;
    let (answer, rest, failed) = match answered {
        Ok(answered) => answered,
        Err(ended) => {
            unit.ended(&ended);
            return failure_response(ended.status());
        }
    };

    // 4. Check what it answered, and send it while the guest goes on.
    send(&unit, &method, answer, rest, failed).await
}

type Answered = (Head, Option<Bounded<()>>, Option<String>);

/// The answer; the call, if it has not returned; why the call failed after it had answered.
async fn answer(
    unit: &Arc<Unit>,
    mut call: Bounded<()>,
    mut head: oneshot::Receiver<Head>,
) -> Result<Answered, Ended> {
    // Without a limit of its own, a guest may not keep its client waiting for ever.
    let mut patience = unit.component.limits.timeout.is_none().then_some((ANSWER_WITHIN, false));
    let mut timer: Option<Pin<Box<Sleep>>> = None;
    poll_fn(|cx| {
        let returned = match Pin::new(&mut call).poll(cx) {
            Poll::Ready(returned) => Some(returned),
            Poll::Pending => None,
        };
        let gave_up = patience.is_some_and(|(_, gave_up)| gave_up);
        let answer = if gave_up { Poll::Pending } else { Pin::new(&mut head).poll(cx) };
        match (answer, returned) {
            (Poll::Ready(Ok(answer)), None) => return Poll::Ready(Ok((answer, false, None))),
            (Poll::Ready(Ok(answer)), Some(Ok(()))) => return Poll::Ready(Ok((answer, true, None))),
            (Poll::Ready(Ok(answer)), Some(Err(ended))) => {
                unit.ended(&ended);
                return Poll::Ready(Ok((answer, true, Some(ended.message()))));
            }
            (_, Some(Err(ended))) => return Poll::Ready(Err(ended)),
            (_, Some(Ok(()))) => {
                // Polling says "not yet" also where a task has had its turn; what was sent is there all the same.
                let answer = head.try_recv().map(|answer| (answer, true, None));
                return Poll::Ready(answer.map_err(|_| Ended::NoAnswer));
            }
            // It gave up the means to answer, or it is being dropped in another thread, which will say why.
            (Poll::Ready(Err(_)), None) => {
                patience = Some((END_WITHIN, true));
                timer = None;
            }
            (Poll::Pending, None) => {}
        }
        let Some((limit, gave_up)) = patience else { return Poll::Pending };
        let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        timer.as_mut().poll(cx).map(|()| {
            Err(if gave_up { Ended::NoAnswer } else { Ended::Timeout { limit, backtrace: Vec::new() } })
        })
    })
    .await
    .map(|(answer, returned, failed)| (answer, (!returned).then_some(call), failed))
}

async fn send(
    unit: &Arc<Unit>,
    method: &Method,
    answer: Head,
    rest: Option<Bounded<()>>,
    failed: Option<String>,
) -> Response<Body> {
    let mut response = match answer {
        Ok(response) => response,
        Err(code) => {
            unit.metrics.failed("error_code");
            unit.log(&format!("it answered with the error {code}"));
            return failure_response(StatusCode::BAD_GATEWAY);
        }
    };
    if let Err(what) = response::check(method, &mut response) {
        unit.metrics.failed("invalid_response");
        unit.log(&what);
        return failure_response(StatusCode::BAD_GATEWAY);
    }
    let leaving = response.extensions_mut().remove::<Leaving>();
    let (parts, body) = response.into_parts();
    let streamed = Streamed::new(unit, &parts.headers, body, leaving, rest, failed);
    if response::is_bodyless(method, parts.status) {
        streamed.drain();
        return Response::from_parts(parts, sampan_service::empty());
    }
    let mut streamed = Some(streamed);
    let body = poll_fn(|cx| {
        let streamed = streamed.take().expect("a future that is ready is polled no more");
        Poll::Ready(streamed.into_body(cx))
    });
    Response::from_parts(parts, body.await)
}
