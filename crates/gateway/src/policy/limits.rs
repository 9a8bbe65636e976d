//! Limits on one exchange: how long its answer may take, how much may be sent.

use crate::respond;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame, SizeHint};
use sampan_service::{Answer, Body, BodyError, Handler, Overdue, Unanswered};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// Ends an exchange whose response has not begun in time.
pub struct Timeout {
    pub timeout: Duration,
    pub next: Arc<dyn Handler>,
}

impl Handler for Timeout {
    fn handle(&self, mut request: Request<Body>) -> Answer<'_> {
        let overdue = Overdue::default();
        request.extensions_mut().insert(overdue.clone());
        let mut answer = self.next.handle(request);
        Box::pin(async move {
            let answered = tokio::time::timeout(self.timeout, &mut answer).await;
            answered.unwrap_or_else(|_| {
                overdue.set();
                let why = "the answer did not begin in time\n";
                let mut response = respond::text(StatusCode::GATEWAY_TIMEOUT, why);
                response.extensions_mut().insert(Unanswered);
                response
            })
        })
    }
}

/// Refuses bodies that are too large: at once if the request says so, else when it turns out.
pub struct BodyLimit {
    pub bytes: u64,
    pub next: Arc<dyn Handler>,
}

impl Handler for BodyLimit {
    fn handle(&self, request: Request<Body>) -> Answer<'_> {
        let size = request.body().size_hint();
        if size.lower() > self.bytes {
            return Box::pin(std::future::ready(too_large()));
        }
        if size.upper().is_some_and(|upper| upper <= self.bytes) {
            return self.next.handle(request);
        }
        let exceeded = Arc::new(AtomicBool::new(false));
        let left = self.bytes;
        let request = request.map(|body| Limited { body, left, exceeded: exceeded.clone() }.boxed_unsync());
        Box::pin(async move {
            let response = self.next.handle(request).await;
            // Whatever was made of a body that broke off: this is why it did.
            if exceeded.load(Relaxed) { too_large() } else { response }
        })
    }
}

fn too_large() -> http::Response<Body> {
    respond::text(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large\n")
}

/// A body whose length nobody has announced.
struct Limited {
    body: Body,
    left: u64,
    exceeded: Arc<AtomicBool>,
}

impl hyper::body::Body for Limited {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
            match self.left.checked_sub(bytes) {
                Some(left) => self.left = left,
                None => {
                    self.exceeded.store(true, Relaxed);
                    return Poll::Ready(Some(Err("the body is larger than the route allows".into())));
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
