//! A consumer of a stream: one connection that waits for new entries, and a clock that renews what is held, and
//! claims what dead consumers have left.

use super::wire::{Entries, Entry, Pending, Read};
use super::{BrokerError, Settings};
use crate::messaging::pipe::{Pipe, Room};
use crate::messaging::{Answer, Delivery, Mark, Subscribe, Subscription, Token, not_ours};
use crate::redis::call::{RESPONSE_TIMEOUT, call};
use crate::redis::connect::Connection;
use crate::redis::link::Link;
use ::redis::{Cmd, FromRedisValue, cmd};
use futures::future::{Either, select};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

/// How long the server waits for new entries before it says that there are none.
const BLOCK: Duration = Duration::from_secs(5);
/// Entries in one answer.
const READ_MAX: usize = 32;

pub struct Consumer {
    link: Arc<Link>,
    topic: String,
    group: String,
    processing_timeout: Duration,
    pipe: Arc<Pipe>,
    /// Something was released: look for it now.
    released: Arc<Notify>,
}

struct Task {
    link: Arc<Link>,
    reader: Connection,
    topic: String,
    group: String,
    settings: Settings,
    pipe: Arc<Pipe>,
    released: Arc<Notify>,
}

impl Consumer {
    pub fn start(
        link: &Arc<Link>,
        reader: Connection,
        subscribe: Subscribe,
        settings: Settings,
        runtime: &Handle,
    ) -> Consumer {
        let Subscribe { topic, group, in_flight_max } = subscribe;
        let pipe = Arc::new(Pipe::new(in_flight_max));
        let released = Arc::new(Notify::new());
        let task = Task {
            link: Arc::clone(link),
            reader,
            topic: topic.clone(),
            group: group.clone(),
            settings,
            pipe: Arc::clone(&pipe),
            released: Arc::clone(&released),
        };
        runtime.spawn(task.run());
        let processing_timeout = settings.processing_timeout;
        Consumer { link: Arc::clone(link), topic, group, processing_timeout, pipe, released }
    }
}

impl Task {
    async fn run(self) {
        let reader = cmd("CLIENT").arg("ID").query_async::<i64>(&mut self.reader.redis.clone()).await;
        let mut reading = pin!(self.read());
        let keeping = pin!(self.keep());
        let working = select(reading.as_mut(), keeping);
        match select(pin!(self.pipe.closed()), working).await {
            Either::Right((Either::Left((Err(error), _)), _)) => return self.pipe.fail(error),
            Either::Right(_) => {}
            // The reader ends now, and what it got on the way is not lost for long.
            Either::Left(_) => {
                if let Ok(id) = reader {
                    let _ = run::<i64>(&self.link, cmd("CLIENT").arg("UNBLOCK").arg(id)).await;
                    let _ = timeout(RESPONSE_TIMEOUT, reading).await;
                }
            }
        }
        // What is held is for others: at once, rather than when its time is up.
        let held = texts(self.pipe.held());
        if !held.is_empty() {
            let idle = idle(&self.topic, &self.group, self.settings.processing_timeout, &held);
            let _ = run::<Vec<String>>(&self.link, &idle).await;
        }
    }

    /// Reads new entries while there is room for them.
    async fn read(&self) -> Result<(), BrokerError> {
        while let Some(room) = self.pipe.room().await {
            let room = room.min(READ_MAX);
            let mut read = cmd("XREADGROUP");
            read.arg("GROUP").arg(&self.group).arg(&self.group).arg("COUNT").arg(room);
            read.arg("BLOCK").arg(BLOCK.as_millis() as u64).arg("STREAMS").arg(&self.topic).arg(">");
            let mut connection = self.reader.redis.clone();
            let entries = timeout(BLOCK + RESPONSE_TIMEOUT, read.query_async::<Read>(&mut connection)).await;
            let entries = entries.map_err(|_| BrokerError::Unavailable(self.silent()))?;
            // Also a stream that was deleted with its group: whoever subscribes again makes both.
            let entries = entries.map_err(|error| BrokerError::Unavailable(error.to_string()))?;
            for entry in entries.0 {
                self.push(entry, 1);
            }
        }
        Ok(())
    }

    fn silent(&self) -> String {
        format!("{} does not answer", self.link.server().shown())
    }

    fn push(&self, entry: Entry, attempt: u32) {
        let token = Token(Mark::Text(entry.id.into()));
        let message = entry.message.unwrap_or_default();
        self.pipe.push(Delivery { topic: self.topic.clone(), message, attempt, token });
    }

    /// Renews what is held, and looks for what others have left.
    async fn keep(&self) {
        let Settings { processing_timeout, redeliver_interval, .. } = self.settings;
        if processing_timeout.is_zero() || redeliver_interval.is_zero() {
            // Redelivery is off, as Dapr has it.
            return std::future::pending().await;
        }
        let mut renew_at = Instant::now() + processing_timeout / 3;
        let mut claim_at = Instant::now();
        loop {
            let now = Instant::now();
            if now >= renew_at {
                // Where the link is down, the reader finds out, or this comes again.
                let _ = self.renew().await;
                renew_at = now + processing_timeout / 3;
            }
            if now >= claim_at {
                let _ = self.claim().await;
                claim_at = now + redeliver_interval;
            }
            let released = pin!(self.released.notified());
            if let Either::Left(_) = select(released, pin!(sleep_until(renew_at.min(claim_at)))).await {
                claim_at = Instant::now();
            }
        }
    }

    async fn renew(&self) -> Result<(), BrokerError> {
        let held = texts(self.pipe.held());
        if held.is_empty() {
            return Ok(());
        }
        let mut renew = cmd("XCLAIM");
        renew.arg(&self.topic).arg(&self.group).arg(&self.group).arg(0);
        for id in &held {
            renew.arg(&**id);
        }
        renew.arg("JUSTID");
        run::<Vec<String>>(&self.link, &renew).await.map(drop)
    }

    /// Takes over what has waited for too long.
    async fn claim(&self) -> Result<(), BrokerError> {
        let timeout_ms = self.settings.processing_timeout.as_millis() as u64;
        loop {
            let room = match self.pipe.look() {
                Room::Closed | Room::Messages(0) => return Ok(()),
                Room::Messages(count) => count.min(READ_MAX),
            };
            let mut pending = cmd("XPENDING");
            pending.arg(&self.topic).arg(&self.group).arg("IDLE").arg(timeout_ms);
            pending.arg("-").arg("+").arg(room);
            let pending: Vec<Pending> = run(&self.link, &pending).await?;
            // One in a handler's hands is late to be renewed, not left.
            let left: Vec<&Pending> = pending.iter().filter(|one| !self.holds(&one.id)).collect();
            if left.is_empty() {
                return Ok(());
            }
            let ids: Vec<&str> = left.iter().map(|one| one.id.as_str()).collect();
            let mut claim = cmd("XCLAIM");
            claim.arg(&self.topic).arg(&self.group).arg(&self.group).arg(timeout_ms).arg(&ids);
            let claimed: Entries = run(&self.link, &claim).await?;
            for id in ids.iter().filter(|id| !claimed.0.iter().any(|entry| entry.id == **id)) {
                self.forget_deleted(id).await?;
            }
            for entry in claimed.0 {
                let before = left.iter().find(|one| one.id == entry.id).map_or(1, |one| one.deliveries);
                self.push(entry, before.saturating_add(1));
            }
            if pending.len() < room {
                return Ok(());
            }
        }
    }

    fn holds(&self, id: &str) -> bool {
        self.pipe.holds(&Mark::Text(id.into()))
    }

    /// Ends the delivery of an entry that was trimmed, which nobody could ever claim (before Redis 7). If it is
    /// there, somebody else has claimed it a moment ago.
    async fn forget_deleted(&self, id: &str) -> Result<(), BrokerError> {
        let mut find = cmd("XRANGE");
        find.arg(&self.topic).arg(id).arg(id);
        if run::<Entries>(&self.link, &find).await?.0.is_empty() {
            let mut ack = cmd("XACK");
            ack.arg(&self.topic).arg(&self.group).arg(id);
            run::<u64>(&self.link, &ack).await?;
        }
        Ok(())
    }
}

/// Makes entries look as if their consumer had been silent for too long, so that the next look finds them.
fn idle(topic: &str, group: &str, time: Duration, ids: &[Box<str>]) -> Cmd {
    let mut claim = cmd("XCLAIM");
    claim.arg(topic).arg(group).arg(group).arg(0);
    for id in ids {
        claim.arg(&**id);
    }
    claim.arg("IDLE").arg(time.as_millis() as u64 + 1).arg("JUSTID");
    claim
}

fn texts(marks: Vec<Mark>) -> Vec<Box<str>> {
    let text = |mark| match mark {
        Mark::Text(text) => Some(text),
        Mark::Number { .. } => None,
    };
    marks.into_iter().filter_map(text).collect()
}

async fn run<T: FromRedisValue>(link: &Link, command: &Cmd) -> Result<T, BrokerError> {
    let work = async |connection: &Connection| command.query_async(&mut connection.redis.clone()).await;
    call(link, work).await.map_err(BrokerError::from)
}

impl Subscription for Consumer {
    fn next(&self) -> Answer<'_, Delivery> {
        self.pipe.next()
    }

    fn ack(&self, token: Token) -> Answer<'_, ()> {
        Box::pin(async move {
            let Mark::Text(id) = &token.0 else { return Err(not_ours()) };
            let mut ack = cmd("XACK");
            ack.arg(&self.topic).arg(&self.group).arg(&**id);
            run::<u64>(&self.link, &ack).await?;
            self.pipe.settled(&token);
            Ok(())
        })
    }

    fn release(&self, token: Token) -> Answer<'_, ()> {
        Box::pin(async move {
            let Mark::Text(id) = &token.0 else { return Err(not_ours()) };
            let ids = std::slice::from_ref(id);
            let idle = idle(&self.topic, &self.group, self.processing_timeout, ids);
            run::<Vec<String>>(&self.link, &idle).await?;
            self.pipe.settled(&token);
            self.released.notify_one();
            Ok(())
        })
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.pipe.close();
    }
}
