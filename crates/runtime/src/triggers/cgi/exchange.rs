//! One run of a CGI program: its output as it comes, first as a head, then as a response's body.

use super::head::{self, HEAD_BYTES_MAX, Head, HeadError};
use super::pipe::Output;
use crate::serve::{Bounded, Ended};
use bytes::{Bytes, BytesMut};
use http::header::CONTENT_LENGTH;
use http::{Method, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use sampan_service::{Body, BodyError, full};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::task::JoinHandle;

/// Why there is no response.
#[derive(Debug)]
pub enum Failed {
    Ended(Ended),
    Head(HeadError),
}

/// What is called when the program has ended, with how.
pub type After = Box<dyn FnOnce(&Result<(), Ended>) + Send>;

/// A program that runs. Dropping it ends the program.
pub struct Exchange {
    output: Output,
    guest: Guest,
    after: Option<After>,
}

enum Guest {
    /// Polled by whoever waits for the output.
    Here(Bounded<()>),
    /// A task of its own, so that its time passes whether or not the client reads.
    Task(JoinHandle<Result<(), Ended>>),
    Ended(Result<(), Ended>),
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Guest::Task(task) = &self.guest {
            task.abort();
        }
    }
}

impl Exchange {
    pub fn new(guest: Bounded<()>, output: Output, after: After) -> Exchange {
        Exchange { output, guest: Guest::Here(guest), after: Some(after) }
    }

    /// What the program writes next; `None` when it has ended and everything was read.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Guest::Here(guest) = &mut self.guest
            && let Poll::Ready(result) = Pin::new(guest).poll(cx)
        {
            self.output.end();
            if let Some(after) = self.after.take() {
                after(&result);
            }
            self.guest = Guest::Ended(result);
        }
        let bytes = ready!(self.output.poll_read(cx));
        if let (None, Guest::Task(task)) = (&bytes, &mut self.guest) {
            let result = ready!(Pin::new(task).poll(cx));
            let gone = || Err(Ended::Error("the server is shutting down".to_owned()));
            self.guest = Guest::Ended(result.unwrap_or_else(|_| gone()));
        }
        Poll::Ready(bytes)
    }

    async fn next(&mut self) -> Option<Bytes> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// How it ended; meaningful after [`Exchange::next`] returned `None`.
    fn result(&self) -> Result<(), Ended> {
        match &self.guest {
            Guest::Ended(result) => result.clone(),
            _ => Ok(()),
        }
    }

    /// Waits for the head of the output. Returns with it what followed it so far.
    async fn head(&mut self) -> Result<(Head, Bytes), Failed> {
        let mut output = BytesMut::new();
        let mut seen = 0;
        loop {
            if let Some(end) = head::end(&output, seen) {
                let rest = output.split_off(end).freeze();
                let head = head::parse(&output).map_err(Failed::Head)?;
                return Ok((head, rest));
            }
            if output.len() > HEAD_BYTES_MAX {
                return Err(Failed::Head(HeadError::TooLong));
            }
            seen = output.len();
            match self.next().await {
                Some(bytes) => output.extend_from_slice(&bytes),
                None => {
                    self.result().map_err(Failed::Ended)?;
                    let cut = if output.is_empty() { HeadError::Nothing } else { HeadError::Cut };
                    return Err(Failed::Head(cut));
                }
            }
        }
    }

    /// The response to a request with this method. Its body comes as the program writes it.
    pub async fn respond(mut self, method: &Method) -> Result<Response<Body>, Failed> {
        let (head, rest) = self.head().await?;
        let mut response = Response::new(());
        *response.status_mut() = head.status;
        *response.headers_mut() = head.headers;
        let length = head.length;
        if let Some(length) = length {
            response.headers_mut().insert(CONTENT_LENGTH, length.into());
        }
        if *method == Method::HEAD
            || [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&head.status)
        {
            // What it writes is nobody's, but what it does may matter: it runs to its end.
            while self.next().await.is_some() {}
            return Ok(response.map(|()| sampan_service::empty()));
        }
        Ok(response.map(|()| self.into_body(rest, length)))
    }

    fn into_body(mut self, rest: Bytes, length: Option<u64>) -> Body {
        if let (Guest::Ended(Ok(())), None) = (&self.guest, length) {
            return full(self.all_written(rest));
        }
        let output = self.output.clone();
        let after = self.after.take();
        let guest = std::mem::replace(&mut self.guest, Guest::Ended(Ok(())));
        self.guest = match guest {
            Guest::Here(guest) => Guest::Task(tokio::spawn(async move {
                let result = guest.await;
                output.end();
                if let Some(after) = after {
                    after(&result);
                }
                result
            })),
            other => other,
        };
        Written {
            exchange: self,
            rest: Some(rest).filter(|rest| !rest.is_empty()),
            left: length,
            over: false,
        }
        .boxed_unsync()
    }

    /// Everything that a program that has ended wrote.
    fn all_written(&mut self, rest: Bytes) -> Bytes {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut all = BytesMut::from(rest);
        while let Poll::Ready(Some(bytes)) = self.output.poll_read(&mut cx) {
            all.extend_from_slice(&bytes);
        }
        all.freeze()
    }
}

/// The body of a response: what the program writes after the head.
struct Written {
    exchange: Exchange,
    rest: Option<Bytes>,
    /// What may still come, where the program said how much.
    left: Option<u64>,
    over: bool,
}

impl Written {
    fn end(&self) -> Option<Result<Frame<Bytes>, BodyError>> {
        match (self.exchange.result(), self.left) {
            // An exit code tells the log, and the client nothing: a script that fails has written why.
            (Ok(()) | Err(Ended::Exit(_)), None | Some(0)) => None,
            (Ok(()) | Err(Ended::Exit(_)), Some(left)) => {
                Some(Err(format!("the program wrote {left} bytes less than its Content-Length says").into()))
            }
            (Err(ended), _) => Some(Err(ended.message().into())),
        }
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        // The client has got everything. What the program does afterwards is not the client's to cancel.
        if self.left == Some(0) && !self.over {
            self.exchange.output.discard();
            self.exchange.guest = Guest::Ended(Ok(()));
        }
    }
}

impl hyper::body::Body for Written {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            if self.over {
                return Poll::Ready(None);
            }
            let next = match self.rest.take() {
                Some(rest) => Some(rest),
                None => ready!(self.exchange.poll_next(cx)),
            };
            let Some(mut bytes) = next else {
                self.over = true;
                return Poll::Ready(self.end());
            };
            if let Some(left) = &mut self.left {
                // What goes beyond the length is dropped; the program runs on to its end.
                bytes.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= bytes.len() as u64;
            }
            if !bytes.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
