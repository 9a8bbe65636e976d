//! A look-up of a name that is under way, as wasi:sockets 0.2 polls it.

use crate::sockets::{LookupError, Sockets};
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::vec::IntoIter;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::Pollable;
use wasmtime_wasi::runtime::{AbortOnDropJoinHandle, poll_noop, spawn, with_ambient_tokio_runtime};

type Answer = Result<IntoIter<IpAddr>, LookupError>;

/// Dropping it ends the look-up.
pub struct Lookup(State);

enum State {
    Running(AbortOnDropJoinHandle<Answer>),
    Done(Answer),
}

impl Lookup {
    /// Starts a look-up of the addresses that are `wanted`. One that is refused, invalid or needs nobody else is
    /// done at once.
    pub fn start(sockets: Sockets, name: String, wanted: fn(&IpAddr) -> bool) -> Result<Self, LookupError> {
        let mut answer = Box::pin(async move {
            let mut addresses = sockets.resolve(&name).await?;
            addresses.retain(wanted);
            Ok(addresses.into_iter())
        });
        match with_ambient_tokio_runtime(|| poll_noop(answer.as_mut())) {
            Some(answer) => Ok(Lookup(State::Done(Ok(answer?)))),
            None => Ok(Lookup(State::Running(spawn(answer)))),
        }
    }

    /// The next address; `None` while the look-up is under way.
    pub fn next(&mut self) -> Option<Result<Option<IpAddr>, LookupError>> {
        match self.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => None,
            Poll::Ready(Ok(addresses)) => Some(Ok(addresses.next())),
            Poll::Ready(Err(error)) => Some(Err(error.clone())),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<&mut Answer> {
        if let State::Running(task) = &mut self.0 {
            match Pin::new(task).poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(answer) => self.0 = State::Done(answer),
            }
        }
        match &mut self.0 {
            State::Running(_) => Poll::Pending,
            State::Done(answer) => Poll::Ready(answer),
        }
    }
}

#[async_trait]
impl Pollable for Lookup {
    async fn ready(&mut self) {
        std::future::poll_fn(|cx| self.poll(cx).map(|_| ())).await;
    }
}
