//! A consumer of JetStream: a task that asks for as much as there is room for, and says that it still works on what
//! is held.

use super::METADATA;
use crate::messaging::pipe::{Pipe, READY_BYTES_MAX, Room};
use crate::messaging::{
    Answer, BrokerError, Delivery, Mark, Message, Subscribe, Subscription, Token, not_ours,
};
use async_nats::Client;
use async_nats::jetstream::consumer::PullConsumer;
use futures::StreamExt;
use futures::future::{Either, select};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

/// How long the server keeps a question for messages. A server that was started again has forgotten it.
const EXPIRES: Duration = Duration::from_secs(2);
/// Messages in one answer.
const BATCH_MAX: usize = 256;

pub struct Consumer {
    client: Client,
    pipe: Arc<Pipe>,
}

struct Task {
    client: Client,
    consumer: PullConsumer,
    topic: String,
    ack_wait: Duration,
    pipe: Arc<Pipe>,
}

impl Consumer {
    pub fn start(
        client: Client,
        consumer: PullConsumer,
        subscribe: Subscribe,
        ack_wait: Duration,
        runtime: &Handle,
    ) -> Consumer {
        let pipe = Arc::new(Pipe::new(subscribe.in_flight_max));
        let task = Task {
            client: client.clone(),
            consumer,
            topic: subscribe.topic,
            ack_wait,
            pipe: Arc::clone(&pipe),
        };
        runtime.spawn(task.run());
        Consumer { client, pipe }
    }
}

impl Task {
    async fn run(self) {
        let mut fetching = pin!(self.fetch());
        let renewing = pin!(self.renew());
        let working = select(fetching.as_mut(), renewing);
        let failed = match select(pin!(self.pipe.closed()), working).await {
            Either::Right((Either::Left((ended, _)), _)) => Some(ended),
            Either::Right((Either::Right(_), _)) | Either::Left(_) => None,
        };
        match failed {
            Some(Err(error)) => self.pipe.fail(error),
            Some(Ok(())) => self.say(b"-NAK").await,
            None => {
                // What is held is for others: at once, rather than when its time is up. So is what the server
                // still sends, which would otherwise be lost on the way.
                self.say(b"-NAK").await;
                let _ = timeout(2 * EXPIRES, fetching).await;
            }
        }
    }

    async fn fetch(&self) -> Result<(), BrokerError> {
        while let Some(room) = self.pipe.room().await {
            let room = room.min(BATCH_MAX);
            // A larger message than this comes alone, if the server has such.
            let batch = self.consumer.batch().max_messages(room).max_bytes(READY_BYTES_MAX).expires(EXPIRES);
            let mut batch = batch.messages().await.map_err(|error| gone(&error))?;
            while let Some(message) = batch.next().await {
                let message = message.map_err(|error| gone(&error))?;
                if self.pipe.look() == Room::Closed {
                    self.answer(message.reply.as_deref().unwrap_or_default(), b"-NAK").await;
                } else {
                    self.push(message);
                }
            }
        }
        Ok(())
    }

    fn push(&self, message: async_nats::jetstream::Message) {
        let attempt = message.info().map_or(1, |info| u32::try_from(info.delivered).unwrap_or(u32::MAX));
        // A message without a place to answer to is none of JetStream's.
        let Some(reply) = &message.reply else { return };
        let token = Token(Mark::Text(reply.as_str().into()));
        let metadata = message.headers.as_ref().and_then(|headers| headers.get(METADATA));
        let metadata = metadata.and_then(|text| serde_json::from_str(text.as_str()).ok()).unwrap_or_default();
        let message = Message { data: message.payload.clone(), metadata };
        self.pipe.push(Delivery { topic: self.topic.clone(), message, attempt, token });
    }

    /// Tells the server that what is held is still in work.
    async fn renew(&self) {
        loop {
            sleep(self.ack_wait / 3).await;
            self.say(b"+WPI").await;
        }
    }

    async fn say(&self, what: &'static [u8]) {
        for mark in self.pipe.held() {
            if let Mark::Text(reply) = mark {
                self.answer(&reply, what).await;
            }
        }
    }

    async fn answer(&self, reply: &str, what: &'static [u8]) {
        // Where this fails, the server delivers again.
        let _ = self.client.publish(reply.to_owned(), what.into()).await;
    }
}

fn gone(error: &dyn std::fmt::Display) -> BrokerError {
    BrokerError::Unavailable(format!("NATS gives no messages: {error}"))
}

impl Subscription for Consumer {
    fn next(&self) -> Answer<'_, Delivery> {
        self.pipe.next()
    }

    fn ack(&self, token: Token) -> Answer<'_, ()> {
        Box::pin(async move {
            let Mark::Text(reply) = &token.0 else { return Err(not_ours()) };
            // The server says when it has noted it.
            let noted = self.client.request(reply.to_string(), b"+ACK"[..].into()).await;
            noted.map_err(|error| {
                BrokerError::Unavailable(format!("NATS takes no acknowledgement: {error}"))
            })?;
            self.pipe.settled(&token);
            Ok(())
        })
    }

    fn release(&self, token: Token) -> Answer<'_, ()> {
        Box::pin(async move {
            let Mark::Text(reply) = &token.0 else { return Err(not_ours()) };
            let sent = self.client.publish(reply.to_string(), b"-NAK"[..].into()).await;
            sent.map_err(|error| BrokerError::Unavailable(format!("NATS takes no messages: {error}")))?;
            self.pipe.settled(&token);
            Ok(())
        })
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.pipe.close();
    }
}
