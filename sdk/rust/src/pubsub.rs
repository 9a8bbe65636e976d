//! Events, one and many.

use crate::{Error, Reply};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// An event to be published.
#[derive(Clone, Debug, Default)]
pub struct Event {
    /// Tells the entries of a bulk apart; looked at there only.
    pub id: String,
    pub content_type: String,
    pub data: Vec<u8>,
    /// Such as `ttlInSeconds`, `rawPayload`, and `cloudevent.type`.
    pub metadata: Vec<(String, String)>,
}

impl Event {
    pub fn json(id: &str, data: &impl Serialize) -> Result<Self, Error> {
        let data = serde_json::to_vec(data).map_err(Error::Json)?;
        Ok(Event {
            id: id.to_owned(),
            content_type: "application/json".to_owned(),
            data,
            metadata: Vec::new(),
        })
    }

    pub fn text(id: &str, text: &str) -> Self {
        let (id, content_type) = (id.to_owned(), "text/plain".to_owned());
        Event { id, content_type, data: text.as_bytes().to_vec(), metadata: Vec::new() }
    }

    pub fn bytes(id: &str, data: impl Into<Vec<u8>>) -> Self {
        let (id, content_type) = (id.to_owned(), "application/octet-stream".to_owned());
        Event { id, content_type, data: data.into(), metadata: Vec::new() }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    entry_id: &'a str,
    event: Box<RawValue>,
    content_type: &'a str,
    metadata: BTreeMap<&'a str, &'a str>,
}

/// The body of a bulk: JSON as it is, text as a string, the rest in base64.
pub fn bulk(events: &[Event]) -> Result<Vec<u8>, Error> {
    let mut entries = Vec::with_capacity(events.len());
    for Event { id, content_type, data, metadata } in events {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        let event = if essence == "application/json" || essence.ends_with("+json") {
            serde_json::from_slice(data)
        } else if essence.starts_with("text/") {
            serde_json::value::to_raw_value(&String::from_utf8_lossy(data))
        } else {
            serde_json::value::to_raw_value(&BASE64.encode(data))
        };
        let metadata = metadata.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        entries.push(Entry { entry_id: id, event: event.map_err(Error::Json)?, content_type, metadata });
    }
    serde_json::to_vec(&entries).map_err(Error::Json)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    failed_entries: Vec<Failed>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Failed {
    entry_id: String,
    #[serde(default)]
    error: String,
}

/// The entries that an answer says were not published; `None` where it says nothing of entries.
pub fn failed(reply: &Reply) -> Option<Vec<(String, String)>> {
    if reply.status.is_success() {
        return None;
    }
    let Answer { failed_entries } = serde_json::from_slice(&reply.body).ok()?;
    Some(failed_entries.into_iter().map(|one| (one.entry_id, one.error)).collect())
}
