//! From a broker's description to an open one: at start, or at its first use where it is `lazy`.

use super::redis::Settings as RedisSettings;
use super::{BrokerError, Client, Memory, Redis, Sqlite};
use crate::GrantError;
use crate::redis::connect::Server;
use sampan_app::{MessagingBackend, MessagingStore};
use tokio::runtime::Handle;
use tokio::sync::OnceCell;

/// What to do about a broker that is down at start.
const DOWN: &str = "start the broker, correct the url, or write `lazy = true` to start without it";

/// A broker of an app, open or to be opened.
pub struct Slot {
    name: String,
    backend: MessagingBackend,
    runtime: Handle,
    client: OnceCell<Client>,
}

impl Slot {
    /// Opens a broker unless it is lazy. Must be called inside the runtime in which its driver shall run.
    pub async fn open(name: &str, description: &MessagingStore) -> Result<Slot, GrantError> {
        let backend = description.backend.clone();
        let slot =
            Slot { name: name.to_owned(), backend, runtime: Handle::current(), client: OnceCell::new() };
        if !description.lazy {
            let client = slot.connect(true).await?;
            // Nobody else has seen the slot.
            let _ = slot.client.set(client);
        }
        Ok(slot)
    }

    /// Whether it is already what the description says.
    pub fn is(&self, description: &MessagingStore) -> bool {
        self.backend == description.backend
    }

    /// The broker; an error that may be gone the next time.
    pub async fn client(&self) -> Result<Client, BrokerError> {
        let opened = self.client.get_or_try_init(|| self.connect(false)).await;
        opened.cloned().map_err(|error| BrokerError::Unavailable(error.what))
    }

    async fn connect(&self, check: bool) -> Result<Client, GrantError> {
        match &self.backend {
            MessagingBackend::Memory => Ok(Client::new(Memory::default())),
            MessagingBackend::Sqlite { path, retention, messages_max } => {
                let (path, retention, messages_max) = (path.clone(), *retention, *messages_max);
                let runtime = self.runtime.clone();
                let open = move || Sqlite::open(&path, retention, messages_max, runtime);
                let opened = self.runtime.spawn_blocking(open).await;
                let opened = opened.map_err(|error| self.error(&error.to_string(), "start sampan again"))?;
                opened.map(Client::new)
            }
            MessagingBackend::Redis {
                url,
                processing_timeout,
                redeliver_interval,
                messages_max,
                retention,
            } => {
                let settings = RedisSettings {
                    processing_timeout: *processing_timeout,
                    redeliver_interval: *redeliver_interval,
                    messages_max: *messages_max,
                    retention: *retention,
                };
                let help = "write redis://HOST:PORT, rediss:// for TLS, or unix://PATH";
                let server = Server::parse_any(url.reveal())
                    .ok_or_else(|| self.error("its url is not one of Redis", help))?;
                let redis = Redis::new(server, settings, self.runtime.clone());
                if check {
                    redis.check().await.map_err(|error| self.error(&error.to_string(), DOWN))?;
                }
                Ok(Client::new(redis))
            }
            #[cfg(feature = "nats")]
            MessagingBackend::Nats {
                url,
                token,
                stream,
                durable,
                ack_wait,
                deliveries_max,
                back_off,
                start,
                domain,
            } => {
                let settings = super::nats::Settings {
                    token: token.as_ref().map(|token| token.reveal().to_owned()),
                    stream: stream.clone(),
                    durable: durable.clone(),
                    ack_wait: *ack_wait,
                    deliveries_max: *deliveries_max,
                    back_off: back_off.clone(),
                    start: *start,
                    domain: domain.clone(),
                };
                let addresses = super::nats::parse(url.reveal()).ok_or_else(|| {
                    self.error("its url is not one of NATS", "write nats://HOST:PORT, or tls:// for TLS")
                })?;
                let nats = super::Nats::new(addresses, settings, self.runtime.clone());
                if check {
                    nats.check().await.map_err(|error| self.error(&error.to_string(), DOWN))?;
                }
                Ok(Client::new(nats))
            }
            #[cfg(not(feature = "nats"))]
            MessagingBackend::Nats { .. } => {
                Err(self.error("this sampan was built without NATS", "build it with the feature `nats`"))
            }
        }
    }

    fn error(&self, why: &str, help: &str) -> GrantError {
        let what = format!("the broker `{}` cannot be opened: {why}", self.name);
        GrantError { what, help: Some(help.to_owned()) }
    }
}
