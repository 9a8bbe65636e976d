//! A plain channel of Redis (Redis' documentation, "Redis Pub/sub"): what is published while nobody listens is
//! lost, and the server does not learn what became of a message.
//!
//! The server must be read all the time: what waits in the client has no bound, and a subscriber that is behind is
//! thrown out by the server. So messages wait here, up to a limit, and those beyond it are dropped and said.

use super::consume::until;
use super::settle::Waits;
use super::{MESSAGE_BYTES_MAX, NAME_BYTES_MAX, Received};
use crate::redis::connect::{ConnectError, Server, subscriber};
use ::redis::aio::{PubSubSink, PubSubStream};
use ::redis::{Msg, RedisError};
use bytes::Bytes;
use futures::future::FutureExt;
use futures::stream::{FuturesUnordered, StreamExt};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Messages of one channel that are handled at once.
const CONCURRENCY: usize = 10;
/// Messages that wait for that.
const WAITING_MAX: usize = 1000;
/// Their bytes.
const WAITING_BYTES_MAX: usize = 64 << 20;
/// How often a connection on which nothing comes is asked whether it lives.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// A server that takes longer to answer is gone.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// Lines of one channel in the log: the first ones, then one of a hundred.
const LINES_MAX: u64 = 10;

/// Where messages come from.
#[derive(Clone)]
pub struct Channel {
    server: Server,
    name: String,
}

impl Channel {
    /// # Errors
    ///
    /// What is wrong with the address or the name, without the address, which may have a password.
    pub fn new(url: &str, name: &str) -> Result<Channel, String> {
        let server = Server::parse(url).ok_or_else(|| {
            format!("channel `{name}`: its address is none of Redis: write redis://HOST:PORT")
        })?;
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(format!(
                "the name of a channel has 1 to {NAME_BYTES_MAX} bytes, and this one {}",
                name.len()
            ));
        }
        Ok(Channel { server, name: name.to_owned() })
    }
}

/// Hands what is published to the handler until `stop` is ready; what has come by then is handled to its end. A
/// server that goes away is subscribed to again, with back-off.
pub async fn listen<H, F>(channel: &Channel, handler: H, stop: impl Future<Output = ()> + Send)
where
    H: Fn(Received) -> F + Sync,
    F: Future<Output = ()> + Send,
{
    let stop = stop.shared();
    let mut log = Log { channel, lines: 0 };
    let mut waiting = Waiting::default();
    let mut running = FuturesUnordered::new();
    let mut waits = Waits::reconnecting();
    'subscribe: loop {
        let mut subscription = match until(&stop, &mut running, Subscription::open(channel)).await {
            None => break,
            Some(Ok(subscription)) => subscription,
            Some(Err(error)) => {
                log.say(&format!("cannot subscribe, and tries again: {error}"));
                if until(&stop, &mut running, sleep(waits.next_wait())).await.is_none() {
                    break;
                }
                continue;
            }
        };
        waits = Waits::reconnecting();
        loop {
            while running.len() < CONCURRENCY
                && let Some(data) = waiting.take()
            {
                running.push(handler(Received { topic: channel.name.clone(), data, ..Received::default() }));
            }
            tokio::select! {
                () = stop.clone() => break 'subscribe,
                Some(()) = running.next() => {}
                next = subscription.next() => match next {
                    Ok(data) => {
                        if data.is_some_and(|data| !waiting.add(data)) {
                            log.say("dropped a message: its handler is too slow, or the message too large");
                        }
                    }
                    Err(error) => {
                        log.say(&format!("lost its server, and subscribes again: {error}"));
                        break;
                    }
                },
            }
        }
        if until(&stop, &mut running, sleep(waits.next_wait())).await.is_none() {
            break;
        }
    }
    loop {
        while running.len() < CONCURRENCY
            && let Some(data) = waiting.take()
        {
            running.push(handler(Received { topic: channel.name.clone(), data, ..Received::default() }));
        }
        if running.next().await.is_none() {
            return;
        }
    }
}

/// A connection that receives what is published.
struct Subscription {
    sink: PubSubSink,
    messages: PubSubStream,
}

impl Subscription {
    async fn open(channel: &Channel) -> Result<Self, ConnectError> {
        let (mut sink, messages) = subscriber(&channel.server).await?.split();
        let subscribed = in_time(sink.subscribe(&channel.name)).await;
        subscribed.map_err(ConnectError::Unreachable)?;
        Ok(Subscription { sink, messages })
    }

    /// `None`: nothing came for a while, and the server lives.
    async fn next(&mut self) -> Result<Option<Bytes>, String> {
        match timeout(PING_INTERVAL, self.messages.next()).await {
            Ok(None) => Err("the connection ended".to_owned()),
            Ok(Some(message)) => Ok(Some(data(&message))),
            Err(_) => in_time(self.sink.ping_message::<::redis::Value>("")).await.map(|_| None),
        }
    }
}

fn data(message: &Msg) -> Bytes {
    Bytes::copy_from_slice(message.get_payload_bytes())
}

async fn in_time<T>(answer: impl Future<Output = Result<T, RedisError>>) -> Result<T, String> {
    match timeout(ANSWER_TIMEOUT, answer).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err("the server does not answer".to_owned()),
    }
}

/// Messages that have come and are not handled yet.
#[derive(Default)]
struct Waiting {
    messages: VecDeque<Bytes>,
    bytes: usize,
}

impl Waiting {
    /// `false`: there is no room for it.
    fn add(&mut self, data: Bytes) -> bool {
        let bytes = self.bytes + data.len();
        let fits = data.len() <= MESSAGE_BYTES_MAX && bytes <= WAITING_BYTES_MAX;
        if !fits || self.messages.len() >= WAITING_MAX {
            return false;
        }
        self.bytes = bytes;
        self.messages.push_back(data);
        true
    }

    fn take(&mut self) -> Option<Bytes> {
        let data = self.messages.pop_front()?;
        self.bytes -= data.len();
        Some(data)
    }
}

/// What is said of a channel, unless there was much.
struct Log<'a> {
    channel: &'a Channel,
    lines: u64,
}

impl Log<'_> {
    fn say(&mut self, what: &str) {
        if self.lines < LINES_MAX || self.lines.is_multiple_of(100) {
            let Channel { server, name } = self.channel;
            eprintln!("sampan: channel {name:?} of {}: {what}", server.shown());
        }
        self.lines += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_bounded() {
        let mut waiting = Waiting::default();
        assert!(!waiting.add(vec![0; MESSAGE_BYTES_MAX + 1].into()));
        let most = WAITING_BYTES_MAX / MESSAGE_BYTES_MAX;
        let large = Bytes::from(vec![0; MESSAGE_BYTES_MAX]);
        assert!((0..most).all(|_| waiting.add(large.clone())));
        assert!(!waiting.add(Bytes::from_static(b"x")));
        assert!(waiting.take().is_some() && waiting.add(Bytes::from_static(b"x")));
        while waiting.take().is_some() {}
        assert_eq!(waiting.bytes, 0);
        assert!((0..WAITING_MAX).all(|_| waiting.add(Bytes::new())));
        assert!(!waiting.add(Bytes::new()));
    }

    #[test]
    fn a_wrong_address_is_not_shown() {
        let error = Channel::new("http://user:secret@host", "c").err().unwrap_or_default();
        assert!(error.contains("`c`") && !error.contains("secret"), "{error}");
        assert!(Channel::new("redis://host", "").is_err());
        assert!(Channel::new("redis://host", &"n".repeat(NAME_BYTES_MAX + 1)).is_err());
    }
}
