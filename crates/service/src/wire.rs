//! A client's socket as hyper sees it. It adds what hyper does not do: deadlines without a timer for each
//! request, strict framing, and telling a client that has shut down its side from one that is gone.

use crate::framing::Framing;
use crate::line::{Line, phase};
use crate::traffic::CountedTcp;
use crate::worker::Slot;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_rustls::server::TlsStream;

/// Every response to an HTTP/1 request begins so. It is sent early to a client that has shut down its side
/// while it waits: the kernel of one that is gone answers with a reset, and one that is there cannot tell.
const ALWAYS_FIRST: &[u8] = b"HTTP/1.";

/// How often to look for that reset: soon at first, then seldom.
const LOOK_FIRST: Duration = Duration::from_millis(5);
const LOOK_LAST: Duration = Duration::from_secs(1);

/// After the last response a client may go on to send for so long and so much. Closing earlier would make its
/// kernel throw the response away.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 16 << 20;

/// No request is like this, so hyper answers it with 400 and closes, after the responses before it.
const MALFORMED: &[u8] = b"\0\r\n\r\n";

/// A connection in the clear or within TLS.
pub(crate) enum Stream {
    Plain(CountedTcp),
    Tls(Box<TlsStream<CountedTcp>>),
}

pub(crate) struct Wire {
    stream: Stream,
    line: Arc<Line>,
    /// HTTP/1; in HTTP/2 the deadlines and the end of streams are elsewhere.
    strict: Option<Framing>,
    /// To be read before the stream: the first bytes, or [`MALFORMED`].
    before: Vec<u8>,
    before_at: usize,
    /// Nothing more is read: the client has ended its side or broken the rules.
    ended: bool,
    /// It has ended its side.
    end_of_stream: bool,
    /// Our side is closed; until when to throw away what comes, and how much came.
    lingering: Option<(Instant, usize)>,
    /// When the client ended its side during a request: the next look whether it is gone, and how long after
    /// the one before.
    look: Option<(Instant, Duration)>,
    /// Bytes of [`ALWAYS_FIRST`] that were sent and that hyper is going to send.
    owed: usize,
    /// Since when hyper has waited for a request, and for which.
    waiting: Option<(Instant, bool, u32)>,
    /// Since when the client has not taken what we sent.
    stalled: Option<Instant>,
    written: Option<Instant>,
    read_timer: Timer,
    write_timer: Timer,
    _slot: Slot,
}

impl Wire {
    pub fn new(stream: Stream, first: Vec<u8>, line: Arc<Line>, slot: Slot, http1: bool) -> Self {
        Wire {
            stream,
            line,
            strict: http1.then(Framing::default),
            before: first,
            before_at: 0,
            ended: false,
            end_of_stream: false,
            lingering: None,
            look: None,
            owed: 0,
            waiting: None,
            stalled: None,
            written: None,
            read_timer: Timer(None),
            write_timer: Timer(None),
            _slot: slot,
        }
    }

    /// Checks what was read since `start`; refuses by putting [`MALFORMED`] in the place of the offence.
    fn check(&mut self, buf: &mut ReadBuf<'_>, start: usize) {
        let Some(strict) = &mut self.strict else { return };
        if self.line.phase() == phase::UPGRADED {
            return;
        }
        if let Err(at) = strict.take(&buf.filled()[start..]) {
            buf.set_filled(start + at);
            self.ended = true;
            self.before = MALFORMED.to_vec();
            self.before_at = 0;
        }
    }

    fn read_before(&mut self, buf: &mut ReadBuf<'_>) {
        let rest = &self.before[self.before_at..];
        let count = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..count]);
        self.before_at += count;
        if self.before_at == self.before.len() {
            self.before = Vec::new();
            self.before_at = 0;
        }
    }

    /// The client has ended its side. Between requests this is the end; during one it may wait for the answer.
    fn at_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let phase = self.line.phase();
        let complete = self.strict.as_ref().is_some_and(Framing::between_messages);
        if !complete || !matches!(phase, phase::WAITING | phase::ANSWERING) {
            return Poll::Ready(Ok(()));
        }
        loop {
            let (next, pause) = *self.look.get_or_insert_with(|| (Instant::now() + LOOK_FIRST, LOOK_FIRST));
            if self.read_timer.poll(cx, next).is_pending() {
                return Poll::Pending;
            }
            let pause = (pause * 2).min(LOOK_LAST);
            self.look = Some((Instant::now() + pause, pause));
            self.look_for_client(cx, phase)?;
        }
    }

    /// An error when the client is gone.
    fn look_for_client(&mut self, cx: &mut Context<'_>, phase: u8) -> io::Result<()> {
        if let Some(error) = self.stream.tcp().take_error()? {
            return Err(error);
        }
        if phase == phase::ANSWERING {
            // Writing tells, where there is something to write.
            let quiet = self.written.get_or_insert_with(Instant::now).elapsed();
            let gone = quiet >= self.line.shared.limits.half_closed;
            return if gone { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) };
        }
        if self.stalled.is_none() && self.owed == 0 {
            if let Poll::Ready(count) = self.stream.poll_write(cx, ALWAYS_FIRST) {
                self.owed = count?;
            }
            let _ = self.stream.poll_flush(cx);
        }
        Ok(())
    }

    /// Nothing to read: is the client too slow?
    fn nothing(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(strict) = &self.strict else { return Poll::Pending };
        if self.line.phase() != phase::IDLE {
            // The handler's time, or the body's, which has its own limit.
            self.waiting = None;
            return Poll::Pending;
        }
        let limits = &self.line.shared.limits;
        let within = !strict.between_messages();
        let requests = self.line.requests();
        let since = match self.waiting {
            Some((since, same, of)) if same == within && of == requests => since,
            _ => Instant::now(),
        };
        self.waiting = Some((since, within, requests));
        let limit = if within || requests == 0 { limits.header_timeout } else { limits.keep_alive };
        let Some(deadline) = since.checked_add(limit) else { return Poll::Pending };
        ready!(self.read_timer.poll(cx, deadline));
        // Enough waiting: no lingering either.
        self.end_of_stream = true;
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Notes how far writing came; a client that takes nothing for too long is an error.
    fn wrote(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if result.is_ready() {
            self.stalled = None;
            if self.ended {
                self.written = Some(Instant::now());
            }
            return result;
        }
        let since = *self.stalled.get_or_insert_with(Instant::now);
        let Some(deadline) = since.checked_add(self.line.shared.limits.write_stall) else { return result };
        self.write_timer.poll(cx, deadline).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Throws away what a client still sends of a request that was answered before its end.
    fn linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let incomplete = self.strict.as_ref().is_some_and(|strict| self.ended || !strict.between_messages());
        if self.end_of_stream || !incomplete || self.line.phase() == phase::UPGRADED {
            return Poll::Ready(());
        }
        let Some((until, mut count)) = self.lingering else { return Poll::Ready(()) };
        let mut heap = [MaybeUninit::uninit(); 16 << 10];
        while count < LINGER_BYTES {
            let mut buf = ReadBuf::uninit(&mut heap);
            match self.stream.poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => count += buf.filled().len(),
                Poll::Ready(_) => break,
                Poll::Pending => {
                    self.lingering = Some((until, count));
                    return self.read_timer.poll(cx, until);
                }
            }
        }
        Poll::Ready(())
    }

    /// Leaves out what was sent early.
    fn write_owed(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let owed = self.owed;
        if !buf.starts_with(&ALWAYS_FIRST[..owed]) {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        let rest = &buf[owed..];
        let wrote = if rest.is_empty() { Poll::Ready(Ok(0)) } else { self.stream.poll_write(cx, rest) };
        if let Poll::Ready(Ok(_)) = wrote {
            self.owed = 0;
        }
        self.wrote(cx, wrote.map_ok(|count| count + owed))
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let start = buf.filled().len();
        if !this.before.is_empty() {
            this.read_before(buf);
            if !this.ended {
                this.check(buf, start);
            }
        } else if this.ended {
            return this.at_end(cx);
        } else {
            match this.stream.poll_read(cx, buf) {
                Poll::Ready(Ok(())) if buf.filled().len() == start => {
                    this.ended = true;
                    this.end_of_stream = true;
                    return this.at_end(cx);
                }
                Poll::Ready(Ok(())) => this.check(buf, start),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return this.nothing(cx),
            }
        }
        if buf.filled().len() == start {
            // The first byte of all was the offence.
            this.read_before(buf);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.owed > 0 {
            return this.write_owed(cx, buf);
        }
        let wrote = this.stream.poll_write(cx, buf);
        this.wrote(cx, wrote)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.owed > 0 {
            let first = bufs.iter().find(|buf| !buf.is_empty());
            return this.write_owed(cx, first.map_or(&[], |buf| &**buf));
        }
        let wrote = this.stream.poll_write_vectored(cx, bufs);
        this.wrote(cx, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.line.phase() == phase::IDLE {
            if this.ended {
                // The answer that held off the end is out; hyper is to read again and find it.
                cx.waker().wake_by_ref();
            } else if this.waiting.is_none() {
                // hyper has begun to wait for the next request before this one counted as ended. Whether the
                // time is over is seen when it reads.
                let _ = this.nothing(cx);
            }
        }
        this.stream.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.lingering.is_none() {
            let done = this.stream.poll_shutdown(cx);
            // A TLS client that does not read may hold up the farewell.
            ready!(this.wrote(cx, done.map_ok(|()| 0)))?;
            this.lingering = Some((Instant::now() + LINGER, 0));
        }
        this.linger(cx).map(Ok)
    }
}

impl Stream {
    fn tcp(&self) -> &TcpStream {
        match self {
            Stream::Plain(stream) => stream.get_ref(),
            Stream::Tls(stream) => stream.get_ref().0.get_ref(),
        }
    }

    pub fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_read(cx, buf),
        }
    }

    pub fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_write(cx, buf),
        }
    }

    pub fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_write_vectored(cx, bufs),
        }
    }

    pub fn is_write_vectored(&self) -> bool {
        match self {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
        }
    }

    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(&mut **stream).poll_flush(cx),
        }
    }
}

/// A deadline that may move: the timer is touched only when it fires or when it would fire too late.
struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    fn poll(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}
