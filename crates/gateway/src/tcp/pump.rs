//! Carries a connection through filters: both directions at once, each no faster than its receiver.

use super::chain::{Chain, Released};
use super::idle::Moved;
use super::{BUFFER, End};
use bytes::{Buf, Bytes, BytesMut};
use sampan_service::{ClosedBy, Flow, Side};
use sampan_telemetry::TcpMetrics;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};

/// One direction: from where its bytes come, and what waits for the other side to take it.
struct Half<R, W> {
    from: ReadHalf<R>,
    to: WriteHalf<W>,
    read: BytesMut,
    waiting: Bytes,
    /// Nothing more comes from the side.
    ended: bool,
    /// Nothing more comes out of the filters.
    end: bool,
    /// The other side knows.
    told: bool,
}

/// What happened to a direction.
enum Event {
    Read(usize),
    Wrote(usize),
    Told,
}

impl<R: AsyncRead, W: AsyncWrite> Half<R, W> {
    fn new(from: ReadHalf<R>, to: WriteHalf<W>) -> Self {
        let (read, waiting) = (BytesMut::new(), Bytes::new());
        Half { from, to, read, waiting, ended: false, end: false, told: false }
    }

    /// The next thing that happens. May be dropped: what it read or wrote is in its result or has not happened.
    async fn next(&mut self) -> io::Result<Event> {
        if !self.waiting.is_empty() {
            return self.to.write(&self.waiting).await.map(Event::Wrote);
        }
        if self.end {
            if self.told {
                return std::future::pending().await;
            }
            return self.to.shutdown().await.map(|()| Event::Told);
        }
        if self.ended {
            // The filters keep the rest.
            return std::future::pending().await;
        }
        self.read.reserve(BUFFER);
        self.from.read_buf(&mut self.read).await.map(Event::Read)
    }

    /// What was read, and whether it is the end.
    fn happened(&mut self, event: Event) -> Option<(Bytes, bool)> {
        match event {
            Event::Wrote(count) => self.waiting.advance(count),
            Event::Told => self.told = true,
            Event::Read(count) => {
                self.ended |= count == 0;
                return Some((self.read.split().freeze(), self.ended));
            }
        }
        None
    }

    /// `false`: the connection is to end.
    fn take(&mut self, flow: Flow) -> bool {
        let Flow::Pass { data, end } = flow else { return false };
        self.end |= end;
        if self.waiting.is_empty() {
            self.waiting = data;
        } else if !data.is_empty() {
            // Only what a filter lets go on its own can come while something waits.
            let mut both = BytesMut::from(std::mem::take(&mut self.waiting));
            both.extend_from_slice(&data);
            self.waiting = both.freeze();
        }
        true
    }
}

/// What happens next to a connection.
enum Happened {
    Moved(Side, io::Result<Event>),
    Released(Released),
    /// For too long.
    Nothing,
}

/// Carries a connection until both sides have ended, or one breaks off.
pub async fn run(
    client: impl AsyncRead + AsyncWrite + Send,
    server: impl AsyncRead + AsyncWrite + Send,
    chain: &mut Chain,
    idle: Duration,
    metrics: &TcpMetrics,
) -> End {
    let (from_client, to_client) = split(client);
    let (from_server, to_server) = split(server);
    let mut up = Half::new(from_client, to_server);
    let mut down = Half::new(from_server, to_client);
    let moved = Moved::new();
    let mut rests = pin!(moved.clone().rests(idle));
    let mut turn = Side::Client;
    let (end, broke) = loop {
        if up.told && down.told {
            break (End::Done, None);
        }
        let happened = {
            let (mut up, mut down) = (pin!(up.next()), pin!(down.next()));
            let mut released = pin!(chain.next());
            poll_fn(|cx| {
                // In turn, so that none starves the other.
                for side in [turn, other(turn)] {
                    let event = match side {
                        Side::Client => up.as_mut().poll(cx),
                        Side::Server => down.as_mut().poll(cx),
                    };
                    if let Poll::Ready(event) = event {
                        return Poll::Ready(Happened::Moved(side, event));
                    }
                }
                if let Poll::Ready(released) = released.as_mut().poll(cx) {
                    return Poll::Ready(Happened::Released(released));
                }
                rests.as_mut().poll(cx).map(|()| Happened::Nothing)
            })
            .await
        };
        let (side, flow) = match happened {
            Happened::Nothing => break (End::Idle, None),
            Happened::Moved(side, Err(_)) => break (End::Broken, Some(side)),
            Happened::Moved(side, Ok(event)) => {
                moved.note();
                turn = other(side);
                count(metrics, side, &event);
                let read = match side {
                    Side::Client => up.happened(event),
                    Side::Server => down.happened(event),
                };
                let Some((data, end)) = read else { continue };
                (side, chain.data(side, data, end).await)
            }
            Happened::Released(released) => (released.side, chain.release(released).await),
        };
        let goes_on = match side {
            Side::Client => up.take(flow),
            Side::Server => down.take(flow),
        };
        if !goes_on {
            break (End::Filter, None);
        }
    };
    // Who sent an end, or broke off, closed its side; the rest is us.
    let by = |half_ended: bool, side| match half_ended || broke == Some(side) {
        true => ClosedBy::Remote,
        false => ClosedBy::Local,
    };
    chain.closed(by(up.ended, Side::Client), by(down.ended, Side::Server)).await;
    end
}

fn other(side: Side) -> Side {
    match side {
        Side::Client => Side::Server,
        Side::Server => Side::Client,
    }
}

fn count(metrics: &TcpMetrics, side: Side, event: &Event) {
    match (side, event) {
        (Side::Client, Event::Read(count)) => metrics.received(*count),
        (Side::Server, Event::Wrote(count)) => metrics.sent(*count),
        _ => {}
    }
}
