//! Configuration in Redis, as Dapr's `configuration.redis` (dapr/components-contrib, configuration/redis): each
//! item is a string `VALUE||VERSION`, and changes are heard of by keyspace notifications (Redis' documentation,
//! "Redis keyspace notifications"), which are switched on where they are not.

use super::watch::Signal;
use super::{ConfigurationError, ITEMS_BYTES_MAX, Item, KEYS_MAX};
use crate::redis::call::{CallError, call};
use crate::redis::connect::{Connection, subscriber};
use crate::redis::link::Link;
use ::redis::{RedisError, Script, cmd};
use futures::StreamExt;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

/// Keys in one command: a script takes no more arguments than fit Lua's stack.
const BATCH_KEYS: usize = 1000;
/// Between value and version.
const SEPARATOR: &str = "||";
/// After a lost connection there is a new one so much later, then twice that, …
const AGAIN_MIN: Duration = Duration::from_millis(50);
/// … up to this.
const AGAIN_MAX: Duration = Duration::from_secs(2);
/// How often a connection on which nothing comes is asked whether it lives.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// A server that takes longer to answer is gone.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// How often everything is read where the server does not let us switch notifications on.
const RELOAD_INTERVAL: Duration = Duration::from_secs(30);
/// What must be told: keyspace events of strings, of all commands for keys, expired and evicted ones.
const EVENTS: [char; 5] = ['K', 'g', '$', 'x', 'e'];

/// All strings of the keys, unless they are too large together. What is no string is nothing here.
static GET: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local bytes = 0
        for _, key in ipairs(KEYS) do
            local size = redis.pcall('STRLEN', key)
            if type(size) == 'number' then bytes = bytes + size end
        end
        if bytes > tonumber(ARGV[1]) then return false end
        return redis.call('MGET', unpack(KEYS))",
    )
});

pub struct Redis {
    link: Arc<Link>,
    runtime: Handle,
}

impl Redis {
    pub fn new(link: Link, runtime: Handle) -> Self {
        Redis { link: Arc::new(link), runtime }
    }

    pub async fn check(&self) -> Result<(), ConfigurationError> {
        let ping =
            async |connection: &Connection| cmd("PING").query_async(&mut connection.redis.clone()).await;
        Ok(call(&self.link, ping).await?)
    }

    pub async fn get(&self, keys: &[String]) -> Result<BTreeMap<String, Item>, ConfigurationError> {
        let all;
        let keys = match keys {
            [] => {
                all = self.keys().await?;
                &all
            }
            keys => keys,
        };
        let (mut items, mut left) = (BTreeMap::new(), ITEMS_BYTES_MAX);
        for batch in keys.chunks(BATCH_KEYS) {
            let work = async |connection: &Connection| {
                let mut script = GET.prepare_invoke();
                for key in batch {
                    script.key(key);
                }
                script.arg(left).invoke_async(&mut connection.redis.clone()).await
            };
            let found: Option<Vec<Option<Vec<u8>>>> = call(&self.link, work).await?;
            let too_large = ConfigurationError::TooLarge { what: "the answer", max: ITEMS_BYTES_MAX };
            for (key, value) in batch.iter().zip(found.ok_or(too_large)?) {
                let Some(value) = value else { continue };
                left = left.saturating_sub(value.len());
                let item = item(&String::from_utf8_lossy(&value));
                if !item.value.is_empty() {
                    items.insert(key.clone(), item);
                }
            }
        }
        Ok(items)
    }

    async fn keys(&self) -> Result<Vec<String>, ConfigurationError> {
        // A scan may name a key twice.
        let (mut keys, mut cursor) = (BTreeSet::new(), 0_u64);
        loop {
            let mut scan = cmd("SCAN");
            scan.arg(cursor).arg("COUNT").arg(BATCH_KEYS).arg("TYPE").arg("string");
            let work = async |connection: &Connection| scan.query_async(&mut connection.redis.clone()).await;
            let found: Vec<Vec<u8>>;
            (cursor, found) = call(&self.link, work).await?;
            // A key that is no text cannot be asked for.
            keys.extend(found.into_iter().filter_map(|key| String::from_utf8(key).ok()));
            if keys.len() > KEYS_MAX {
                return Err(ConfigurationError::TooLarge { what: "the number of items", max: KEYS_MAX });
            }
            if cursor == 0 {
                return Ok(keys.into_iter().collect());
            }
        }
    }

    /// Marks what the server says has changed; everything when the connection is new, because nobody knows what
    /// happened before.
    pub(super) fn listen(&self, keys: &[String], signal: &Arc<Signal>) -> AbortHandle {
        let (link, keys, signal) = (Arc::clone(&self.link), keys.to_vec(), Arc::clone(signal));
        let listening = async move {
            let mut again = AGAIN_MIN;
            loop {
                let started = Instant::now();
                // Whoever watches reads by another connection, and learns from it what is wrong.
                let _ = follow(&link, &keys, &signal).await;
                again = if started.elapsed() > AGAIN_MAX { AGAIN_MIN } else { (again * 2).min(AGAIN_MAX) };
                tokio::time::sleep(again).await;
            }
        };
        self.runtime.spawn(listening).abort_handle()
    }
}

/// Until the connection is lost.
async fn follow(link: &Link, keys: &[String], signal: &Signal) -> Result<(), CallError> {
    let told = enable_notifications(link).await?;
    let opened = subscriber(link.server()).await;
    let (mut sink, mut messages) = opened.map_err(|error| CallError::Unavailable(error.to_string()))?.split();
    let prefix = format!("__keyspace@{}__:", link.server().database());
    if keys.is_empty() {
        in_time(sink.psubscribe(format!("{prefix}*"))).await?;
    }
    for batch in keys.chunks(BATCH_KEYS) {
        let channels: Vec<String> = batch.iter().map(|key| format!("{prefix}{key}")).collect();
        in_time(sink.subscribe(channels)).await?;
    }
    signal.mark_all();
    let mut reload_at = Instant::now() + RELOAD_INTERVAL;
    loop {
        match timeout(PING_INTERVAL, messages.next()).await {
            Ok(None) => return Ok(()),
            Ok(Some(message)) => {
                if let Some(key) = message.get_channel_name().strip_prefix(&prefix) {
                    signal.mark(key.to_owned());
                }
            }
            // Nothing came for a while: does the server live?
            Err(_) => drop(in_time(sink.ping_message::<::redis::Value>("")).await?),
        }
        if !told && Instant::now() > reload_at {
            reload_at = Instant::now() + RELOAD_INTERVAL;
            signal.mark_all();
        }
    }
}

async fn in_time<T>(answer: impl Future<Output = Result<T, RedisError>>) -> Result<T, CallError> {
    match timeout(ANSWER_TIMEOUT, answer).await {
        Ok(answer) => answer.map_err(|error| CallError::Unavailable(error.to_string())),
        Err(_) => Err(CallError::Unavailable("the server does not answer".to_owned())),
    }
}

/// Adds the events that a watch needs to those that the server tells already. `false`: it does not let us, as
/// servers that others run; then its operator may have switched them on, or not.
async fn enable_notifications(link: &Link) -> Result<bool, CallError> {
    let read = async |connection: &Connection| {
        let mut command = cmd("CONFIG");
        command.arg("GET").arg("notify-keyspace-events");
        command.query_async::<BTreeMap<String, String>>(&mut connection.redis.clone()).await
    };
    let events = match call(link, read).await {
        Ok(settings) => settings.into_values().next().unwrap_or_default(),
        Err(CallError::Refused(_)) => return Ok(false),
        Err(error) => return Err(error),
    };
    let Some(wanted) = with_events(&events) else { return Ok(true) };
    let write = async |connection: &Connection| {
        let mut command = cmd("CONFIG");
        command.arg("SET").arg("notify-keyspace-events").arg(&wanted);
        command.query_async::<()>(&mut connection.redis.clone()).await
    };
    match call(link, write).await {
        Ok(()) => Ok(true),
        Err(CallError::Refused(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The events with ours; `None` if they are there. `A` stands for all kinds that we need.
fn with_events(events: &str) -> Option<String> {
    let covered = |event: &char| events.contains(*event) || (*event != 'K' && events.contains('A'));
    let missing: String = EVENTS.iter().filter(|event| !covered(event)).collect();
    (!missing.is_empty()).then(|| format!("{events}{missing}"))
}

/// What comes after a second separator is nothing, as Dapr reads it.
fn item(text: &str) -> Item {
    let mut parts = text.split(SEPARATOR).map(str::to_owned);
    let value = parts.next().unwrap_or_default();
    Item { value, version: parts.next().unwrap_or_default(), metadata: BTreeMap::new() }
}

impl From<CallError> for ConfigurationError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Unavailable(why) => ConfigurationError::Unavailable(why),
            CallError::Refused(why) => ConfigurationError::Other(why),
        }
    }
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    #[test]
    fn notifications_of_others_stay() {
        let table = [("", Some("Kg$xe")), ("AKE", None), ("Ex", Some("ExKg$e")), ("AE", Some("AEK"))];
        for (events, expected) in table {
            assert_eq!(with_events(events).as_deref(), expected, "{events}");
        }
    }

    #[test]
    fn an_item_is_a_value_and_a_version() {
        let table = [("v||1", ("v", "1")), ("v", ("v", "")), ("v||1||x", ("v", "1")), ("||1", ("", "1"))];
        for (text, (value, version)) in table {
            let item = item(text);
            assert_eq!((item.value.as_str(), item.version.as_str()), (value, version), "{text}");
        }
    }
}
