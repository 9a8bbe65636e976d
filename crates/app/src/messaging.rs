//! Brokers of messages, as a manifest or a component file describes them.

use crate::Secret;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessagingStore {
    pub backend: MessagingBackend,
    /// Do not connect before the first use, so that the broker may be down at start.
    pub lazy: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessagingBackend {
    /// Messages are gone with the process.
    Memory,
    Sqlite {
        path: PathBuf,
        /// Messages older than this are removed, read or not.
        retention: Duration,
        /// Messages that one topic keeps. Those that every group has read give way; where none has, publishing
        /// fails.
        messages_max: u64,
    },
    /// Redis streams.
    Redis {
        url: Secret,
        /// A delivery that nobody has acknowledged or renewed for so long is another consumer's. Zero:
        /// nothing is ever delivered again.
        processing_timeout: Duration,
        /// How often such deliveries are looked for.
        redeliver_interval: Duration,
        /// About so many messages are kept in a stream; `None`: all.
        messages_max: Option<u64>,
        /// Messages older than about this are removed; `None`: none.
        retention: Option<Duration>,
    },
    /// NATS JetStream.
    Nats {
        /// One or more addresses, with commas between them.
        url: Secret,
        token: Option<Secret>,
        /// The stream of all topics; `None`: the one that has the subject, else one for each topic's first word.
        stream: Option<String>,
        /// The consumer's name; `None`: one for each group and topic.
        durable: Option<String>,
        /// A delivery that nobody has acknowledged or renewed for so long is made again.
        ack_wait: Duration,
        /// Deliveries of one message; `None`: without end.
        deliveries_max: Option<u32>,
        /// Waits before the second, third… delivery; the last one repeats.
        back_off: Vec<Duration>,
        /// Where a new group begins.
        start: NatsStart,
        domain: Option<String>,
    },
}

impl MessagingBackend {
    /// How long the embedded broker keeps a message.
    pub const RETENTION: Duration = Duration::from_secs(7 * 24 * 3600);
    /// Messages that a topic of the embedded broker keeps.
    pub const MESSAGES_MAX: u64 = 1_000_000;

    /// What a broker's name means without a declaration: the embedded one, in the app's folder for state.
    pub fn embedded(name: &str, state: &Path) -> Self {
        MessagingBackend::Sqlite {
            path: state.join("messaging").join(format!("{name}.db")),
            retention: Self::RETENTION,
            messages_max: Self::MESSAGES_MAX,
        }
    }
}

/// With which message of a stream a new group begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NatsStart {
    #[default]
    All,
    Last,
    New,
    Sequence(u64),
}
