//! A CGI program's standard streams: pipes in memory, so that whoever is slow slows the other side, and no
//! thread ever waits.

use bytes::{Buf, Bytes};
use sampan_service::{Body, BodyError};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use wasmtime_wasi::cli::{IsTerminal, StdinStream, StdoutStream};
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError};

/// Output that the client has not taken yet; beyond it the program waits.
const OUTPUT_BYTES: usize = 64 << 10;
/// What one read of the program takes at most.
const READ_BYTES_MAX: usize = 64 << 10;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The program's standard output: the same pipe however often it is cloned.
#[derive(Clone, Default)]
pub struct Output(Arc<Mutex<Piped>>);

#[derive(Default)]
struct Piped {
    written: VecDeque<Bytes>,
    bytes: usize,
    /// Waits for something to read.
    reader: Option<Waker>,
    /// Wait for room: a program may hold several streams for one pipe, and polls one at a time.
    writers: Vec<Waker>,
    /// The program has ended.
    ended: bool,
    /// Nobody reads any more, and the program may go on.
    discarding: bool,
}

impl Output {
    /// What the program wrote next; `None` after its end.
    pub fn poll_read(&self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut pipe = lock(&self.0);
        if let Some(bytes) = pipe.written.pop_front() {
            pipe.bytes -= bytes.len();
            pipe.writers.drain(..).for_each(Waker::wake);
            return Poll::Ready(Some(bytes));
        }
        if pipe.ended {
            return Poll::Ready(None);
        }
        pipe.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Nothing more will be written.
    pub fn end(&self) {
        let mut pipe = lock(&self.0);
        pipe.ended = true;
        pipe.reader.take().into_iter().for_each(Waker::wake);
    }

    /// Nobody will read any more: what is written is dropped, so that the program can come to its end.
    pub fn discard(&self) {
        let mut pipe = lock(&self.0);
        pipe.discarding = true;
        pipe.written.clear();
        pipe.bytes = 0;
        pipe.writers.drain(..).for_each(Waker::wake);
    }

    fn room(&self) -> usize {
        OUTPUT_BYTES.saturating_sub(lock(&self.0).bytes)
    }

    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut pipe = lock(&self.0);
        if pipe.bytes < OUTPUT_BYTES {
            return Poll::Ready(());
        }
        if !pipe.writers.iter().any(|waker| waker.will_wake(cx.waker())) {
            pipe.writers.push(cx.waker().clone());
        }
        Poll::Pending
    }

    fn put(&self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        let mut pipe = lock(&self.0);
        if pipe.discarding {
            return;
        }
        pipe.bytes += bytes.len();
        pipe.written.push_back(bytes);
        pipe.reader.take().into_iter().for_each(Waker::wake);
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        if bytes.len() > self.room() {
            return Err(StreamError::trap("wrote more than there was room for"));
        }
        self.put(bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        // What was written can be read at once.
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        Ok(self.room())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {
        std::future::poll_fn(|cx| self.poll_room(cx)).await;
    }
}

impl AsyncWrite for Output {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_room(cx));
        let len = bytes.len().min(self.room());
        self.put(Bytes::copy_from_slice(&bytes[..len]));
        Poll::Ready(Ok(len))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The program's standard input: a request's body, read as the program reads.
#[derive(Clone)]
pub struct Input(Arc<Mutex<Source>>);

struct Source {
    body: Body,
    /// What came of the body and was not read.
    bytes: Bytes,
    ended: bool,
    error: Option<BodyError>,
    /// Bytes of the body that may still come: more is cut off.
    left: u64,
}

impl Input {
    /// A body of which the program gets `length` bytes, as it was told; what follows is not read.
    pub fn new(body: Body, length: u64) -> Input {
        let ended = length == 0;
        Input(Arc::new(Mutex::new(Source { body, bytes: Bytes::new(), ended, error: None, left: length })))
    }

    fn poll_filled(&self, cx: &mut Context<'_>) -> Poll<()> {
        lock(&self.0).poll_filled(cx)
    }
}

impl Source {
    /// Ready when there is something to read, be it the end or an error.
    fn poll_filled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        use hyper::body::Body as _;
        while self.bytes.is_empty() && !self.ended {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    // Trailers have no place in CGI.
                    let Ok(mut data) = frame.into_data() else { continue };
                    data.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
                    self.left -= data.len() as u64;
                    self.ended = self.left == 0;
                    self.bytes = data;
                }
                Some(Err(error)) => {
                    self.ended = true;
                    self.error = Some(error);
                }
                None => self.ended = true,
            }
        }
        Poll::Ready(())
    }

    /// Bytes that are there, empty at the end.
    fn take(&mut self, size: usize) -> io::Result<Bytes> {
        if let (true, Some(error)) = (self.bytes.is_empty(), self.error.take()) {
            return Err(io::Error::other(error));
        }
        let size = size.min(self.bytes.len()).min(READ_BYTES_MAX);
        Ok(self.bytes.split_to(size))
    }
}

impl IsTerminal for Input {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdinStream for Input {
    fn p2_stream(&self) -> Box<dyn InputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        Box::new(self.clone())
    }
}

impl InputStream for Input {
    fn read(&mut self, size: usize) -> Result<Bytes, StreamError> {
        let mut source = lock(&self.0);
        let bytes = source.take(size).map_err(|error| StreamError::LastOperationFailed(error.into()))?;
        match bytes.is_empty() && size > 0 && source.ended && source.bytes.is_empty() {
            true => Err(StreamError::Closed),
            false => Ok(bytes),
        }
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Input {
    async fn ready(&mut self) {
        std::future::poll_fn(|cx| self.poll_filled(cx)).await;
    }
}

impl AsyncRead for Input {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut source = lock(&self.0);
        ready!(source.poll_filled(cx));
        let mut bytes = source.take(buffer.remaining())?;
        buffer.put_slice(&bytes);
        bytes.advance(bytes.len());
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt, StreamBody};
    use hyper::body::Frame;
    use std::pin::pin;

    fn poll<T>(future: impl Future<Output = T>) -> Poll<T> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    fn read(output: &Output) -> Poll<Option<Bytes>> {
        output.poll_read(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn output_waits_for_its_reader() {
        let pipe = Output::default();
        let mut writer = pipe.clone();
        assert_eq!(read(&pipe), Poll::Pending);
        assert_eq!(writer.check_write().unwrap(), OUTPUT_BYTES);
        writer.write(Bytes::from(vec![1; OUTPUT_BYTES])).unwrap();
        assert_eq!(writer.check_write().unwrap(), 0);
        assert!(poll(writer.ready()).is_pending());
        assert!(writer.write(Bytes::from_static(b"x")).is_err());
        assert!(matches!(read(&pipe), Poll::Ready(Some(bytes)) if bytes.len() == OUTPUT_BYTES));
        assert!(poll(writer.ready()).is_ready());
        pipe.end();
        assert_eq!(read(&pipe), Poll::Ready(None));
    }

    #[test]
    fn output_that_nobody_reads_does_not_wait() {
        let pipe = Output::default();
        let mut writer = pipe.clone();
        writer.write(Bytes::from(vec![1; OUTPUT_BYTES])).unwrap();
        pipe.discard();
        writer.write(Bytes::from(vec![1; OUTPUT_BYTES])).unwrap();
        assert!(poll(writer.ready()).is_ready());
    }

    #[test]
    fn input_is_the_body_up_to_its_length() {
        let frames = ["ab", "cdef"].map(|text| Ok(Frame::data(Bytes::from(text))));
        let body = StreamBody::new(futures::stream::iter(frames)).boxed_unsync();
        let mut input = Input::new(body, 5);
        let mut all = Vec::new();
        loop {
            assert!(poll(input.ready()).is_ready());
            match InputStream::read(&mut input, 3) {
                Ok(bytes) => all.push(bytes),
                Err(StreamError::Closed) => break,
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(all, ["ab", "cde"]);
    }

    #[test]
    fn a_body_that_breaks_is_an_error_of_reading() {
        let frames = [Ok(Frame::data(Bytes::from_static(b"ab"))), Err(BodyError::from("gone"))];
        let body = StreamBody::new(futures::stream::iter(frames)).boxed_unsync();
        let mut input = Input::new(body, 5);
        assert!(poll(input.ready()).is_ready());
        assert_eq!(InputStream::read(&mut input, 10).unwrap(), "ab");
        assert!(poll(input.ready()).is_ready());
        assert!(matches!(InputStream::read(&mut input, 10), Err(StreamError::LastOperationFailed(_))));
    }
}
