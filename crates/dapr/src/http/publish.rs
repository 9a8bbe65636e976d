//! `/v1.0/publish`: the body is the event, whatever it is.

use super::answer::{self, Call};
use crate::error::Problem;
use crate::pubsub::{self, Entry, Event, Target, Trace};
use crate::runtime::Dapr;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Response, StatusCode};
use sampan_service::Body;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

pub async fn one(
    dapr: &Dapr,
    mut call: Call<'_>,
    name: &str,
    topic: &str,
) -> Result<Response<Body>, Problem> {
    pubsub::find(dapr, call.caller, name, topic)?;
    let (caller, metadata, trace) = (call.caller, call.metadata(), trace(call.headers()));
    let content_type = text(call.headers(), CONTENT_TYPE.as_str());
    let data = call.body().await?;
    let event = Event { data, content_type, metadata };
    pubsub::publish(dapr, caller, name, topic, event, &trace).await?;
    Ok(answer::no_content())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BulkEntry {
    // Go's decoder does not look at the case, and Dapr's client for JavaScript counts on it.
    #[serde(default, alias = "entryID")]
    entry_id: String,
    event: Option<Box<RawValue>>,
    #[serde(default)]
    content_type: String,
    metadata: Option<BTreeMap<String, String>>,
}

pub async fn bulk(
    dapr: &Dapr,
    mut call: Call<'_>,
    name: &str,
    topic: &str,
) -> Result<Response<Body>, Problem> {
    let found = pubsub::find(dapr, call.caller, name, topic)?;
    let target = Target { dapr, pubsub: found, name, topic };
    let (caller, metadata, trace) = (call.caller, call.metadata(), trace(call.headers()));
    let body = call.body().await?;
    let entries: Vec<BulkEntry> =
        serde_json::from_slice(&body).map_err(|error| target.unreadable(&error.to_string()))?;
    let entries: Result<Vec<Entry>, String> =
        entries.into_iter().map(|entry| entry.into_entry(&metadata)).collect();
    let entries = entries.map_err(|why| target.unreadable(&why))?;
    let failed = pubsub::publish_bulk(dapr, caller, name, topic, entries, &trace).await?;
    if failed.is_empty() {
        return Ok(answer::no_content());
    }
    let failed: Vec<_> =
        failed.into_iter().map(|(id, error)| json!({ "entryId": id, "error": error })).collect();
    let body = json!({ "failedEntries": failed, "errorCode": "ERR_PUBSUB_PUBLISH_MESSAGE" });
    let mut response = answer::json(&body);
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    Ok(response)
}

impl BulkEntry {
    /// The bytes of the event: JSON as it is written, text without its quotes, the rest from base64.
    fn into_entry(self, over: &BTreeMap<String, String>) -> Result<Entry, String> {
        let BulkEntry { entry_id: id, event, content_type, metadata } = self;
        let written = event.as_deref().map_or("null", RawValue::get);
        let text = || {
            serde_json::from_str::<String>(written).map_err(|_| {
                format!("the event of {id:?} is no text, as its content type {content_type:?} wants")
            })
        };
        let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let data = if essence.is_empty() || is_json(&essence) {
            Bytes::from(written.to_owned())
        } else if is_binary(&essence) {
            let decoded = BASE64.decode(text()?);
            decoded.map_err(|error| format!("the event of {id:?} is no base64: {error}"))?.into()
        } else {
            text()?.into()
        };
        let mut all = over.clone();
        all.extend(metadata.unwrap_or_default());
        let content_type = (!content_type.is_empty()).then_some(content_type);
        Ok(Entry { id, event: Event { data, content_type, metadata: all } })
    }
}

fn is_json(essence: &str) -> bool {
    essence == "application/json" || essence.ends_with("+json")
}

fn is_binary(essence: &str) -> bool {
    essence == "application/octet-stream"
}

pub(super) fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

pub(super) fn trace(headers: &HeaderMap) -> Trace {
    Trace { parent: text(headers, "traceparent"), state: text(headers, "tracestate") }
}
