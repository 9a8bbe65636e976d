//! One HTTP/1.1 connection to a server. No task drives it: whoever waits for its response or body polls it, in
//! the task of the client's connection, so that a request costs no switch between tasks.

use super::connect::{OpenOne, Stream};
use super::failure::Failure;
use super::timer::Timer;
use super::wait::Wait;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use sampan_service::{Body, ViaConnection};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tokio::time::Instant;

/// The head of a response has room for this.
const HEAD_BYTES_MAX: usize = 64 << 10;

pub struct Link {
    sender: http1::SendRequest<Body>,
    /// hyper's side of the connection, which has to be polled. Its type has no name. `None` once it has ended: a
    /// request that it has not taken comes back when it is dropped.
    driver: Option<Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>>,
    timer: Timer,
    /// Requests that were sent on it.
    pub requests: u32,
    /// Unused since.
    pub since: Instant,
    pub about: Arc<ViaConnection>,
    _open: OpenOne,
}

/// Why there is no response, and the request, if the server certainly has seen nothing of it.
pub struct Unanswered {
    pub request: Option<Box<Request<Body>>>,
    pub failure: Failure,
}

impl Link {
    pub async fn start(stream: Stream, about: Arc<ViaConnection>, open: OpenOne) -> Result<Link, Failure> {
        let started = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .handshake::<_, Body>(TokioIo::new(stream))
            .await;
        let (sender, connection) = started.map_err(Failure::Reset)?;
        Ok(Link {
            sender,
            driver: Some(Box::pin(connection.with_upgrades())),
            timer: Timer::default(),
            requests: 0,
            since: Instant::now(),
            about,
            _open: open,
        })
    }

    /// Lets the connection go on.
    pub fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(driver) = &mut self.driver
            && driver.as_mut().poll(cx).is_ready()
        {
            // Whoever waits for a response or a body gets the error.
            self.driver = None;
        }
    }

    /// Until the connection has ended, as after an upgrade.
    pub async fn until_ended(&mut self) {
        poll_fn(|cx| {
            self.drive(cx);
            if self.driver.is_none() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Whether the last request and its response have come to their ends, and nothing has come since.
    pub fn settled(&mut self) -> bool {
        if !self.sender.is_ready() {
            self.drive(&mut Context::from_waker(Waker::noop()));
        }
        self.driver.is_some() && self.sender.is_ready()
    }

    /// Whether an unused one is still open. It keeps nobody's task in memory after that.
    pub fn alive(&mut self) -> bool {
        self.drive(&mut Context::from_waker(Waker::noop()));
        self.driver.is_some()
    }

    pub fn timer(&mut self) -> &mut Timer {
        &mut self.timer
    }

    /// Sends a request in origin form and waits for the head of its response.
    pub async fn send(
        &mut self,
        request: Box<Request<Body>>,
        mut wait: Wait<'_>,
    ) -> Result<Response<Incoming>, Unanswered> {
        self.requests = self.requests.saturating_add(1);
        let mut response = pin!(self.sender.try_send_request(*request));
        poll_fn(|cx| {
            self.drive(cx);
            if let Poll::Ready(result) = response.as_mut().poll(cx) {
                return Poll::Ready(result.map_err(|error| wait.unanswered(error)));
            }
            let over = wait.poll(cx, &mut self.timer);
            over.map(|failure| Err(Unanswered { request: None, failure }))
        })
        .await
    }
}
