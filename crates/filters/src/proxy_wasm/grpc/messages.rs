//! Messages as bytes of a body: a flag, the length in four bytes, big-endian, and the message (gRPC over HTTP/2,
//! "Length-Prefixed-Message").

use super::Closed;
use crate::proxy_wasm::calls::Load;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures::Stream;
use futures::channel::mpsc;
use http::HeaderMap;
use http_body_util::BodyExt;
use hyper::body::Frame;
use sampan_service::{Body, BodyError};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

/// The flag and the length.
pub const HEAD: usize = 5;
/// Longer messages of a server end their call.
const MESSAGE_MAX: usize = 8 << 20;

const RESOURCE_EXHAUSTED: u32 = 8;
const INTERNAL: u32 = 13;
const UNAVAILABLE: u32 = 14;

/// `None` where the message is too long for its length.
pub fn frame(message: &[u8]) -> Option<Bytes> {
    let len = u32::try_from(message.len()).ok()?;
    let mut frame = BytesMut::with_capacity(HEAD + message.len());
    frame.put_u8(0);
    frame.put_u32(len);
    frame.put_slice(message);
    Some(frame.freeze())
}

/// A body to which messages are sent while it is read; beside it, how many bytes wait.
pub fn queue() -> (mpsc::UnboundedSender<Bytes>, Body, Arc<AtomicUsize>) {
    let (sender, messages) = mpsc::unbounded();
    let queued = Arc::new(AtomicUsize::new(0));
    (sender, Queue { messages, queued: Arc::clone(&queued) }.boxed_unsync(), queued)
}

struct Queue {
    messages: mpsc::UnboundedReceiver<Bytes>,
    queued: Arc<AtomicUsize>,
}

impl hyper::body::Body for Queue {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let message = ready!(Pin::new(&mut self.messages).poll_next(cx));
        Poll::Ready(message.map(|message| {
            self.queued.fetch_sub(message.len(), Relaxed);
            Ok(Frame::data(message))
        }))
    }
}

/// The messages of an answer.
pub struct Messages {
    body: Body,
    read: BytesMut,
    /// What is read, and the message that the guest is being told.
    load: Load,
    ended: bool,
    pub trailers: Option<HeaderMap>,
}

impl Messages {
    pub fn of(body: Body, load: Load) -> Self {
        Messages { body, read: BytesMut::new(), load, ended: false, trailers: None }
    }

    /// The next message; `None` after the last one.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Closed> {
        self.load.shrink_to(self.read.len());
        loop {
            if let Some(message) = self.whole()? {
                return Ok(Some(message));
            }
            if self.ended {
                let cut = Closed::new(INTERNAL, "the answer ended within a message");
                return if self.read.is_empty() { Ok(None) } else { Err(cut) };
            }
            let frame = match self.body.frame().await {
                None => {
                    self.ended = true;
                    continue;
                }
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Err(Closed::new(UNAVAILABLE, &error.to_string())),
            };
            match frame.into_data() {
                Ok(data) if !self.load.grow(data.len()) => {
                    return Err(Closed::new(RESOURCE_EXHAUSTED, "the filter's calls carry too much"));
                }
                Ok(data) => self.read.extend_from_slice(&data),
                Err(frame) => {
                    self.ended = true;
                    self.trailers = frame.into_trailers().ok();
                }
            }
        }
    }

    fn whole(&mut self) -> Result<Option<Bytes>, Closed> {
        let mut head = &self.read[..];
        if head.len() < HEAD {
            return Ok(None);
        }
        let (compressed, len) = (head.get_u8() != 0, head.get_u32() as usize);
        if compressed {
            return Err(Closed::new(INTERNAL, "the answer is compressed, which was not asked for"));
        }
        if len > MESSAGE_MAX {
            return Err(Closed::new(RESOURCE_EXHAUSTED, "a message of the answer is too long"));
        }
        if head.len() < len {
            return Ok(None);
        }
        self.read.advance(HEAD);
        Ok(Some(self.read.split_to(len).freeze()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy_wasm::calls::Carried;
    use http_body_util::StreamBody;

    fn body(pieces: &[&[u8]]) -> Body {
        let frames: Vec<Result<Frame<Bytes>, BodyError>> =
            pieces.iter().map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece)))).collect();
        StreamBody::new(futures::stream::iter(frames)).boxed_unsync()
    }

    fn run<T>(test: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(test)
    }

    async fn all(pieces: &[&[u8]]) -> Result<Vec<Bytes>, u32> {
        let load = Carried::default().take(0).unwrap();
        let mut messages = Messages::of(body(pieces), load);
        let mut all = Vec::new();
        while let Some(message) = messages.next().await.map_err(|closed| closed.code)? {
            all.push(message);
        }
        Ok(all)
    }

    #[test]
    fn messages_are_found_wherever_they_are_cut() {
        let bytes = [frame(b"one").unwrap(), frame(b"").unwrap(), frame(b"three").unwrap()].concat();
        for cut in 0..bytes.len() {
            let (first, second) = bytes.split_at(cut);
            let found = run(all(&[first, second])).unwrap();
            assert_eq!(found, [&b"one"[..], b"", b"three"], "{cut}");
        }
    }

    #[test]
    fn what_is_no_message_ends_the_call() {
        for (bytes, code) in [
            (&b"\x00\x00"[..], INTERNAL),
            (b"\x00\x00\x00\x00\x03ab", INTERNAL),
            (b"\x01\x00\x00\x00\x01a", INTERNAL),
            (b"\x00\xff\xff\xff\xff", RESOURCE_EXHAUSTED),
        ] {
            assert_eq!(run(all(&[bytes])), Err(code), "{bytes:x?}");
        }
        assert_eq!(run(all(&[])), Ok(vec![]));
    }

    #[test]
    fn a_queue_says_how_much_waits() {
        let (sender, mut body, queued) = queue();
        queued.fetch_add(3, Relaxed);
        sender.unbounded_send(Bytes::from_static(b"abc")).unwrap();
        drop(sender);
        let frame = run(body.frame()).unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "abc");
        assert_eq!(queued.load(Relaxed), 0);
        assert!(run(body.frame()).is_none());
    }
}
