//! A call on its way: asks, and tells the guest what comes back, one thing at a time.

use super::messages::Messages;
use super::{Closed, Delivery, Event};
use crate::proxy_wasm::calls::Load;
use crate::proxy_wasm::head::ResponseHead;
use crate::proxy_wasm::local::grpc_status;
use crate::proxy_wasm::slot::{Lost, Slot};
use crate::proxy_wasm::vm::Step;
use http::{HeaderMap, Request, Response, StatusCode, response};
use percent_encoding::percent_decode;
use sampan_service::{Body, Handler};
use std::sync::{Arc, Weak};
use std::time::Duration;

const UNKNOWN: u32 = 2;
const DEADLINE_EXCEEDED: u32 = 4;
const INTERNAL: u32 = 13;

pub struct Pending {
    pub id: u32,
    pub root: u32,
    pub to: Arc<dyn Handler>,
    pub request: Request<Body>,
    /// `None`: a stream, which may take as long as it likes.
    pub timeout: Option<Duration>,
    pub load: Load,
}

/// Whom to tell.
struct Guest {
    slot: Weak<Slot>,
    root: u32,
    id: u32,
}

/// It outlives the exchange for which it was made, as in Envoy: the guest waits for its end.
pub async fn run(slot: Weak<Slot>, pending: Pending) {
    let Pending { id, root, to, request, timeout, load } = pending;
    let guest = Guest { slot, root, id };
    let last = match timeout {
        None => stream(&guest, to.handle(request).await, load).await,
        Some(timeout) => {
            let answer = async { answer(to.handle(request).await, load).await };
            let late = || Event::Close(Closed::new(DEADLINE_EXCEEDED, "no answer came in time"));
            Ok(tokio::time::timeout(timeout, answer).await.unwrap_or_else(|_| late()))
        }
    };
    drop(to);
    // A VM that ended has nobody to tell.
    if let Ok(last) = last {
        let _ = guest.tell(last).await;
    }
}

impl Guest {
    async fn tell(&self, event: Event) -> Result<(), Lost> {
        let slot = self.slot.upgrade().ok_or(Lost::Gone)?;
        let step = Step::Grpc(Box::new(Delivery { root: self.root, id: self.id, event }));
        slot.call_in_background(|_| step, |_, _| ()).await
    }
}

/// Of one message.
async fn answer(response: Response<Body>, load: Load) -> Event {
    let (parts, body) = response.into_parts();
    let mut messages = Messages::of(body, load);
    let closed = match head(&parts) {
        Head::Bad(closed) => closed,
        Head::All => status(&parts.headers),
        Head::Begins => {
            let first = match messages.next().await {
                Ok(first) => first,
                Err(closed) => return Event::Close(closed),
            };
            match (first, messages.next().await) {
                (_, Ok(Some(_))) => Closed::new(INTERNAL, "the answer to a call has two messages"),
                (_, Err(closed)) => closed,
                (first, Ok(None)) => {
                    let closed = messages.trailers.as_ref().map_or_else(unsaid, status);
                    match first.filter(|_| closed.code == 0) {
                        Some(message) => return Event::Answer(message),
                        None => closed,
                    }
                }
            }
        }
    };
    Event::Close(match closed.code {
        0 => Closed::new(INTERNAL, "the answer to a call has no message"),
        _ => closed,
    })
}

/// Of as many messages as come. What it returns is the last that the guest is to be told.
async fn stream(guest: &Guest, response: Response<Body>, load: Load) -> Result<Event, Lost> {
    let (parts, body) = response.into_parts();
    let (trailers, closed) = match head(&parts) {
        // Like Envoy: there was nothing before the end.
        Head::All => {
            guest.tell(Event::Initial(None)).await?;
            let closed = status(&parts.headers);
            (Some(parts.headers), closed)
        }
        Head::Bad(closed) => {
            guest.tell(Event::Initial(Some(ResponseHead { parts: Box::new(parts) }))).await?;
            (None, closed)
        }
        Head::Begins => {
            guest.tell(Event::Initial(Some(ResponseHead { parts: Box::new(parts) }))).await?;
            let mut messages = Messages::of(body, load);
            let broken = loop {
                match messages.next().await {
                    Ok(Some(message)) => guest.tell(Event::Message(message)).await?,
                    Ok(None) => break None,
                    Err(closed) => break Some(closed),
                }
            };
            let closed = broken.unwrap_or_else(|| messages.trailers.as_ref().map_or_else(unsaid, status));
            (messages.trailers, closed)
        }
    };
    if let Some(trailers) = trailers {
        guest.tell(Event::Trailing(trailers)).await?;
    }
    Ok(Event::Close(closed))
}

/// What an answer's head says.
enum Head {
    Begins,
    /// The head is all there is ("Trailers-Only").
    All,
    Bad(Closed),
}

fn head(parts: &response::Parts) -> Head {
    if parts.status != StatusCode::OK {
        let text = format!("the answer's HTTP status is {}", parts.status.as_u16());
        return Head::Bad(Closed::new(grpc_status(parts.status), &text));
    }
    match parts.headers.contains_key("grpc-status") {
        true => Head::All,
        false => Head::Begins,
    }
}

fn status(fields: &HeaderMap) -> Closed {
    let code = fields.get("grpc-status").and_then(|code| code.to_str().ok()?.parse().ok());
    let Some(code) = code else { return unsaid() };
    let message = fields.get("grpc-message").map(|message| percent_decode(message.as_bytes()));
    // Guests take it for text.
    let message = message.map(|message| message.decode_utf8_lossy().into_owned()).unwrap_or_default();
    Closed::new(code, &message)
}

fn unsaid() -> Closed {
    Closed::new(UNKNOWN, "the answer has no status of gRPC")
}
