//! An exchange under way: the guest's call, and those of whoever is next, polled side by side.

use super::next::{Job, Watch};
use crate::code::Code;
use futures::stream::{FuturesUnordered, Stream};
use http::Response;
use sampan_runtime::serve::{Bounded, Ended};
use sampan_service::Handler;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use wasmtime_wasi_http::WasiBody;

/// What the guest answered: a response, or the error code that wasi:http lets it return instead.
pub type Head = Result<Response<WasiBody>, String>;

/// A guest that has given up the means to answer is asked no longer than this why.
const END_WITHIN: Duration = Duration::from_millis(100);

pub struct Running {
    code: Arc<Code>,
    next: Arc<dyn Handler>,
    /// `None`: it has returned.
    call: Option<Bounded<()>>,
    jobs: mpsc::Receiver<Job>,
    asked: FuturesUnordered<Pin<Box<dyn Future<Output = ()> + Send>>>,
    _place: OwnedSemaphorePermit,
}

impl Running {
    pub fn new(
        code: &Arc<Code>,
        next: Arc<dyn Handler>,
        call: Bounded<()>,
        jobs: mpsc::Receiver<Job>,
        place: OwnedSemaphorePermit,
    ) -> Self {
        let asked = FuturesUnordered::new();
        Running { code: Arc::clone(code), next, call: Some(call), jobs, asked, _place: place }
    }

    /// Waits until the guest has answered. It may take its time while it waits for whoever is next, and as long as
    /// the request's body comes.
    pub async fn head(
        &mut self,
        mut head: oneshot::Receiver<Head>,
        watch: &Watch,
        pause: Duration,
    ) -> Result<Head, Ended> {
        let mut timer = Box::pin(tokio::time::sleep(pause));
        let mut pieces = watch.pieces();
        let mut gave_up = false;
        poll_fn(|cx| {
            let returned = match Pin::new(&mut *self).poll(cx) {
                Poll::Ready(Err(ended)) => return Poll::Ready(Err(ended)),
                Poll::Ready(Ok(())) => true,
                Poll::Pending => false,
            };
            let answer = if gave_up { Poll::Pending } else { Pin::new(&mut head).poll(cx) };
            match answer {
                Poll::Ready(Ok(answer)) => return Poll::Ready(Ok(answer)),
                Poll::Ready(Err(_)) => {
                    // It is being dropped in another thread, which will say why.
                    gave_up = true;
                    timer.set(tokio::time::sleep(END_WITHIN));
                }
                Poll::Pending => {}
            }
            if returned {
                return Poll::Ready(Err(Ended::NoAnswer));
            }
            while timer.as_mut().poll(cx).is_ready() {
                let goes_on = !self.asked.is_empty() || watch.pieces() != pieces;
                if gave_up || !goes_on {
                    let ended = Ended::Timeout { limit: pause, backtrace: Vec::new() };
                    return Poll::Ready(Err(if gave_up { Ended::NoAnswer } else { ended }));
                }
                pieces = watch.pieces();
                timer.set(tokio::time::sleep(pause));
            }
            Poll::Pending
        })
        .await
    }

    /// Lets the guest do what it still does after its response was read.
    pub fn finish(self) {
        let (code, overflow) = (Arc::clone(&self.code), self.code.machine.overflow.clone());
        overflow.spawn(async move {
            if let Ok(Err(ended)) = tokio::time::timeout(code.spec.pause, self).await {
                code.ended(&ended);
            }
        });
    }
}

impl Future for Running {
    type Output = Result<(), Ended>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        // Each may have something for the other.
        loop {
            let Some(call) = &mut this.call else { return Poll::Ready(Ok(())) };
            if let Poll::Ready(result) = Pin::new(call).poll(cx) {
                this.call = None;
                return Poll::Ready(result);
            }
            let mut new = false;
            while let Poll::Ready(Some(Job { request, reply })) = this.jobs.poll_recv(cx) {
                let next = Arc::clone(&this.next);
                this.asked.push(Box::pin(async move {
                    // The guest may have given up waiting.
                    let _ = reply.send(next.handle(request).await);
                }));
                new = true;
            }
            let mut answered = false;
            while let Poll::Ready(Some(())) = Pin::new(&mut this.asked).poll_next(cx) {
                answered = true;
            }
            if !new && !answered {
                return Poll::Pending;
            }
        }
    }
}
