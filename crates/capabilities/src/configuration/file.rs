//! Configuration in a JSON file: an object whose members are the items. Ours; Dapr has no such store.
//!
//! ```json
//! {"colour": "green", "size": 3, "menu": {"value": "lunch", "version": "7", "metadata": {"by": "ann"}}}
//! ```
//!
//! The file is read when it is asked for. While there are watches it is looked at several times a second, which
//! works where a file system reports no changes, and where Kubernetes exchanges a whole mounted folder.

use super::watch::Signal;
use super::{ConfigurationError, ITEMS_BYTES_MAX, Item, KEYS_MAX};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// A file that was written so short a time ago may be written again without another time of modification.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

pub struct File {
    pub path: PathBuf,
    pub runtime: Handle,
}

/// What tells a changed file: device, inode, size, time of modification in seconds and nanoseconds.
type Stamp = (u64, u64, u64, i64, i64);

impl File {
    pub async fn get(&self, keys: &[String]) -> Result<BTreeMap<String, Item>, ConfigurationError> {
        let path = self.path.clone();
        let read = self.runtime.spawn_blocking(move || read(&path)).await;
        let mut items = read.map_err(|error| ConfigurationError::Unavailable(error.to_string()))??;
        if !keys.is_empty() {
            items = keys.iter().filter_map(|key| items.remove_entry(key)).collect();
        }
        items.retain(|_, item| !item.value.is_empty());
        Ok(items)
    }

    /// Marks everything when the file has changed.
    pub(super) fn listen(&self, signal: &Arc<Signal>) -> AbortHandle {
        let (path, signal) = (self.path.clone(), Arc::clone(signal));
        let listening = async move {
            let mut before = None;
            loop {
                let looked = path.clone();
                let seen = tokio::task::spawn_blocking(move || stamp(&looked)).await.unwrap_or_default();
                let fresh = seen.is_some_and(is_fresh);
                // A file that is away for a moment is being exchanged.
                if seen.is_some() && (fresh || seen != before) {
                    before = seen;
                    signal.mark_all();
                }
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        };
        self.runtime.spawn(listening).abort_handle()
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino(), metadata.size(), metadata.mtime(), metadata.mtime_nsec()))
}

fn is_fresh((_, _, _, seconds, _): Stamp) -> bool {
    let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    modified.elapsed().is_ok_and(|age| age < SETTLED_AFTER)
}

/// All items of the file.
fn read(path: &Path) -> Result<BTreeMap<String, Item>, ConfigurationError> {
    let shown = path.display();
    let unreadable = |error| ConfigurationError::Unavailable(format!("cannot read {shown}: {error}"));
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(ITEMS_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > ITEMS_BYTES_MAX {
        return Err(ConfigurationError::TooLarge { what: "the file", max: ITEMS_BYTES_MAX });
    }
    let parsed: serde_json::Map<String, Value> = serde_json::from_slice(&bytes)
        .map_err(|error| ConfigurationError::Other(format!("{shown} is no JSON object of items: {error}")))?;
    if parsed.len() > KEYS_MAX {
        return Err(ConfigurationError::TooLarge { what: "the number of items", max: KEYS_MAX });
    }
    let each = parsed.into_iter().map(|(key, value)| match item(value) {
        Some(item) => Ok((key, item)),
        None => Err(ConfigurationError::Other(format!(
            "{shown}: the item `{key}` is neither a text nor a number nor {{\"value\": …, \"version\": …}}"
        ))),
    });
    each.collect()
}

fn item(value: Value) -> Option<Item> {
    let Value::Object(mut members) = value else {
        return Some(Item { value: text(value)?, ..Item::default() });
    };
    let mut item = Item { value: text(members.remove("value")?)?, ..Item::default() };
    if let Some(version) = members.remove("version") {
        item.version = text(version)?;
    }
    if let Some(metadata) = members.remove("metadata") {
        let Value::Object(metadata) = metadata else { return None };
        let each = metadata.into_iter().map(|(name, value)| Some((name, text(value)?)));
        item.metadata = each.collect::<Option<_>>()?;
    }
    members.is_empty().then_some(item)
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
