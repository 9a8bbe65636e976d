//! Components that take messages: by `wasi:messaging/incoming-handler`, or by Spin's `inbound-redis`. Each message
//! has an instance of its own, under the limits and among the places of the component's requests.
//!
//! What becomes of a message is its broker's business: a guest that returns well has handled it, and every other
//! end asks for another try.

mod spin_redis;

use crate::serve::{Place, Ready, Unit};
use futures::future::BoxFuture;
use sampan_capabilities::messaging::host::{self, Handled, MessagingRequestReplyPre};
use sampan_capabilities::messaging::{Outcome, Received, Receiver};
use sampan_capabilities::{Host, link_component};
use spin_redis::SpinRedis;
use std::sync::Arc;
use wasmtime::component::Component;
use wasmtime::{Engine, Result};

const INTERFACE: &str = "wasi:messaging/incoming-handler@0.2.0-draft";
/// What is shown of a guest's own words.
const SAID_CHARS_MAX: usize = 1000;

/// A component's handler of messages, ready to be instantiated.
pub struct Entry(Export);

enum Export {
    Wasi(MessagingRequestReplyPre<Host>),
    Spin(SpinRedis),
}

impl Entry {
    /// Links the component and checks its handler's type; `None` where it has none.
    pub(crate) fn of(engine: &Engine, component: &Component) -> Result<Option<Self>> {
        if component.get_export_index(None, INTERFACE).is_none() {
            let spin = SpinRedis::of(engine, component)?;
            return Ok(spin.map(|spin| Entry(Export::Spin(spin))));
        }
        let pre = link_component(engine, component)?.instantiate_pre(component)?;
        Ok(Some(Entry(Export::Wasi(MessagingRequestReplyPre::new(pre)?))))
    }
}

impl Receiver for super::Served {
    fn receive(&self, message: Arc<Received>) -> BoxFuture<'_, Option<Outcome>> {
        Box::pin(async move {
            // 1. The code: loaded at the first message where the manifest says so, or after it was unused.
            let ready = match self.unit.code().await {
                Ok(ready) => ready,
                Err(failure) => {
                    self.unit.metrics.failed("load");
                    self.unit.log(&failure.message);
                    return Some(Outcome::Retry);
                }
            };
            ready.entry.messages()?;

            // 2. A place among the requests that run.
            let Ok(place) = self.unit.admit().await else { return Some(Outcome::Retry) };

            // 3. The call, which owns its instance. Dropping this future ends the guest.
            let topic = message.topic.clone();
            let call = self.unit.bounded(call(Arc::clone(&self.unit), ready, message, place));
            Some(match call.await {
                Ok(Ok(())) => Outcome::Ack,
                Ok(Err(why)) => {
                    self.unit.metrics.failed("message");
                    let why: String = why.chars().take(SAID_CHARS_MAX).collect();
                    self.unit.log(&format!("it could not handle a message of {topic:?}: {why}"));
                    Outcome::Retry
                }
                Err(ended) => {
                    self.unit.ended(&ended);
                    Outcome::Retry
                }
            })
        })
    }
}

async fn call(unit: Arc<Unit>, ready: Arc<Ready>, message: Arc<Received>, place: Place) -> Result<Handled> {
    let _place = place;
    let Some(Entry(export)) = ready.entry.messages() else {
        return Err(wasmtime::format_err!("the component's code is of another kind"));
    };
    let mut store = unit.store(&ready.engine, unit.wasi())?;
    unit.metrics.created.inc();
    match export {
        Export::Wasi(pre) => host::handle(pre, &mut store, &message).await,
        Export::Spin(spin) => spin.handle(&mut store, &message.data).await,
    }
}
