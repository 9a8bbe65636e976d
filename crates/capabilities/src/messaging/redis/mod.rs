//! Redis streams, in the layout of Dapr's pubsub.redis (dapr/components-contrib, pubsub/redis/redis.go): an entry has
//! the field `data`, and `metadata` as JSON where there is some; group and consumer have one name.
//!
//! What Redis has acknowledged is as safe as its own configuration makes it (`appendonly`, `appendfsync`).

mod consumer;
mod wire;

use super::{Answer, Broker, BrokerError, Features, Message, Subscribe, Subscription};
use crate::redis::call::{CallError, call};
use crate::redis::connect::{Connection, Server};
use crate::redis::link::Link;
use ::redis::{Cmd, RedisError, cmd, pipe};
use consumer::Consumer;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::runtime::Handle;

/// How streams are kept and delivered.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub processing_timeout: Duration,
    pub redeliver_interval: Duration,
    pub messages_max: Option<u64>,
    pub retention: Option<Duration>,
}

pub struct Redis {
    link: Arc<Link>,
    settings: Settings,
    runtime: Handle,
}

impl Redis {
    /// Connects at the first use.
    pub fn new(server: Server, settings: Settings, runtime: Handle) -> Self {
        Redis { link: Arc::new(Link::new(server, runtime.clone())), settings, runtime }
    }

    /// Whether the server answers, and whether it lets us in.
    pub async fn check(&self) -> Result<(), BrokerError> {
        let ping =
            async |connection: &Connection| cmd("PING").query_async(&mut connection.redis.clone()).await;
        call(&self.link, ping).await.map_err(BrokerError::from)
    }

    fn add(&self, topic: &str, message: &Message) -> Cmd {
        let mut add = cmd("XADD");
        add.arg(topic);
        // The server takes one of the two; Dapr prefers the number too.
        if let Some(messages_max) = self.settings.messages_max {
            add.arg("MAXLEN").arg("~").arg(messages_max);
        } else if let Some(retention) = self.settings.retention {
            let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            add.arg("MINID").arg("~").arg(since.saturating_sub(retention).as_millis().to_string());
        }
        add.arg("*").arg("data").arg(&message.data[..]);
        if !message.metadata.is_empty() {
            let metadata = serde_json::to_string(&message.metadata).expect("text is JSON");
            add.arg("metadata").arg(metadata);
        }
        add
    }
}

impl Broker for Redis {
    fn publish(&self, topic: String, messages: Vec<Message>) -> Answer<'_, Vec<Result<(), BrokerError>>> {
        Box::pin(async move {
            let mut pipeline = pipe();
            for message in &messages {
                pipeline.add_command(self.add(&topic, message));
            }
            pipeline.ignore_errors();
            let add =
                async |connection: &Connection| pipeline.query_async(&mut connection.redis.clone()).await;
            let added: Vec<Result<String, RedisError>> = call(&self.link, add).await?;
            Ok(added.into_iter().map(|one| one.map(drop).map_err(|error| refused(&error))).collect())
        })
    }

    fn subscribe(&self, subscribe: Subscribe) -> Answer<'_, Box<dyn Subscription>> {
        Box::pin(async move {
            let Subscribe { topic, group, .. } = &subscribe;
            let create = async |connection: &Connection| {
                let mut create = cmd("XGROUP");
                create.arg("CREATE").arg(topic).arg(group).arg("0").arg("MKSTREAM");
                create.query_async::<()>(&mut connection.redis.clone()).await
            };
            match call(&self.link, create).await {
                Err(CallError::Refused(why)) if !why.contains("BUSYGROUP") => {
                    return Err(BrokerError::Other(why));
                }
                // The group is there already.
                Err(CallError::Refused(_)) | Ok(()) => {}
                Err(error) => return Err(error.into()),
            }
            let server = self.link.server().clone();
            let reader = Connection::open(server, &self.runtime, <[_]>::to_vec).await;
            let reader = reader.map_err(|error| BrokerError::Unavailable(error.to_string()))?;
            let consumer = Consumer::start(&self.link, reader, subscribe, self.settings, &self.runtime);
            let consumer: Box<dyn Subscription> = Box::new(consumer);
            Ok(consumer)
        })
    }

    fn features(&self) -> Features {
        Features { ttl: false, durable: true }
    }
}

impl From<CallError> for BrokerError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Unavailable(why) => BrokerError::Unavailable(why),
            CallError::Refused(why) => BrokerError::Other(why),
        }
    }
}

/// What the server says about one message of several.
fn refused(error: &RedisError) -> BrokerError {
    match error.code() {
        // Out of memory, loading, a replica without its master: it may be better later.
        Some("OOM" | "LOADING" | "MASTERDOWN" | "READONLY" | "MISCONF" | "CLUSTERDOWN") => {
            BrokerError::Unavailable(error.to_string())
        }
        _ => BrokerError::Other(error.to_string()),
    }
}
