//! `Expect: 100-continue` (RFC 9110 §10.1.1): the client's body is not asked for before the server wants it, so
//! that a server can refuse it unseen. Asking for it is what makes the listener say "100 Continue" to the client.

use super::exchange::Protocol;
use super::timer::Timer;
use bytes::Bytes;
use futures::task::AtomicWaker;
use http::header::EXPECT;
use http::{HeaderValue, Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use sampan_service::{Body, BodyError};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Instant;

/// Servers that know nothing of it say nothing. RFC 9110 wants a client not to wait for ever.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether the body may go on.
#[derive(Default)]
pub struct Continue {
    wanted: AtomicBool,
    waker: AtomicWaker,
}

impl Continue {
    fn want(&self) {
        self.wanted.store(true, SeqCst);
        self.waker.wake();
    }

    /// The body, which waits for a word.
    pub fn hold(self: &Arc<Self>, body: Body) -> Body {
        Held { body, expects: self.clone(), begun: None, timer: Timer::default() }.boxed_unsync()
    }

    /// Asks the server for that word, where the protocol lets us hear it.
    pub fn arm(self: &Arc<Self>, request: &mut Request<Body>, protocol: Protocol) {
        if protocol != Protocol::Http1 {
            self.want();
            return;
        }
        request.headers_mut().insert(EXPECT, HeaderValue::from_static("100-continue"));
        let expects = self.clone();
        hyper::ext::on_informational(request, move |response| {
            if response.status() == StatusCode::CONTINUE {
                expects.want();
            }
        });
    }
}

struct Held {
    body: Body,
    expects: Arc<Continue>,
    begun: Option<Instant>,
    timer: Timer,
}

impl hyper::body::Body for Held {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if !this.expects.wanted.load(SeqCst) {
            this.expects.waker.register(cx.waker());
            let begun = *this.begun.get_or_insert_with(Instant::now);
            if !this.expects.wanted.load(SeqCst) {
                ready!(this.timer.poll(cx, begun + PATIENCE));
                this.expects.wanted.store(true, SeqCst);
            }
        }
        Pin::new(&mut this.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
