//! `/v1.0/state`: JSON in, stored bytes out. A value keeps the exact text that the client wrote.

use super::answer::{self, Call};
use crate::error::Problem;
use crate::runtime::Dapr;
use crate::state::{self, BulkItem, Concurrency, Item};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::{HeaderMap, Response};
use sampan_capabilities::keyvalue::Entry;
use sampan_service::Body;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct SaveItem {
    #[serde(default)]
    key: String,
    value: Option<Box<RawValue>>,
    etag: Option<String>,
    metadata: Option<BTreeMap<String, String>>,
    options: Option<Options>,
}

#[derive(Default, Deserialize)]
struct Options {
    #[serde(default)]
    concurrency: String,
}

#[derive(Deserialize)]
struct BulkGet {
    keys: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Transaction {
    operations: Option<Vec<Operation>>,
    metadata: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Operation {
    #[serde(default)]
    operation: String,
    request: Box<RawValue>,
}

fn concurrency(text: &str) -> Concurrency {
    match text {
        "first-write" => Concurrency::FirstWrite,
        "last-write" => Concurrency::LastWrite,
        _ => Concurrency::Unsaid,
    }
}

/// Reads JSON as Dapr's clients expect it to be refused.
pub(super) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Problem> {
    serde_json::from_slice(body)
        .map_err(|error| Problem::malformed(format!("failed deserializing HTTP body: {error}")))
}

impl SaveItem {
    /// What the query says of metadata goes before what the item says.
    fn into_item(self, over: &BTreeMap<String, String>) -> Item {
        let mut metadata = self.metadata.unwrap_or_default();
        metadata.extend(over.iter().map(|(name, value)| (name.clone(), value.clone())));
        let value = self.value.map_or_else(|| Bytes::from_static(b"null"), exact);
        let options = self.options.unwrap_or_default();
        Item {
            key: self.key,
            value: Some(value),
            etag: self.etag,
            concurrency: concurrency(&options.concurrency),
            metadata,
        }
    }
}

fn exact(value: Box<RawValue>) -> Bytes {
    Bytes::from(Box::<str>::from(value).into_string())
}

pub async fn save(dapr: &Dapr, mut call: Call<'_>, name: &str) -> Result<Response<Body>, Problem> {
    let store = state::store(dapr, call.caller, name).await?;
    let body = call.body().await?;
    let items: Vec<SaveItem> = parse(&body)?;
    let over = call.metadata();
    let items = items.into_iter().map(|item| item.into_item(&over)).collect();
    let target = dapr.outbound(name);
    target.run(|| state::save(&store, name, Vec::clone(&items))).await?;
    Ok(answer::no_content())
}

pub async fn get(dapr: &Dapr, call: Call<'_>, name: &str, key: &str) -> Result<Response<Body>, Problem> {
    let store = state::store(dapr, call.caller, name).await?;
    let found = dapr.outbound(name).run(|| state::get(&store, name, key)).await?;
    let Some(entry) = found else { return Ok(answer::no_content()) };
    let mut response = answer::bytes("application/json", entry.value);
    if let Some(version) = entry.version {
        answer::put(response.headers_mut(), "etag", &version);
    }
    if let Some(expires) = entry.expires {
        answer::put(response.headers_mut(), "metadata.ttlexpiretime", &state::rfc3339(expires));
    }
    Ok(response)
}

pub async fn delete(dapr: &Dapr, call: Call<'_>, name: &str, key: &str) -> Result<Response<Body>, Problem> {
    let store = state::store(dapr, call.caller, name).await?;
    let item = Item {
        key: key.to_owned(),
        value: None,
        etag: if_match(call.headers()),
        concurrency: concurrency(call.query("concurrency").unwrap_or_default()),
        metadata: call.metadata(),
    };
    dapr.outbound(name).run(|| state::delete(&store, name, item.clone())).await?;
    Ok(answer::no_content())
}

fn if_match(headers: &HeaderMap) -> Option<String> {
    let tag = headers.get(http::header::IF_MATCH)?.to_str().ok()?;
    Some(tag.to_owned())
}

pub async fn bulk(dapr: &Dapr, mut call: Call<'_>, name: &str) -> Result<Response<Body>, Problem> {
    let store = state::store(dapr, call.caller, name).await?;
    let body = call.body().await?;
    let keys = parse::<BulkGet>(&body)?.keys.unwrap_or_default();
    let found = dapr.outbound(name).run(|| state::get_bulk(&store, name, keys.clone())).await?;
    let items: Vec<Shown> = found.into_iter().map(Shown::bulk).collect();
    Ok(answer::json(&items))
}

#[derive(Serialize)]
struct Results {
    results: Vec<Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

/// One value inside of JSON. It keeps its exact text where it is JSON.
#[derive(Serialize)]
struct Shown {
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Shown {
    fn entry(key: String, entry: Entry) -> Self {
        let metadata = entry.expires.map(|expires| json!({ "ttlExpireTime": state::rfc3339(expires) }));
        Shown { key, data: Some(data(&entry.value)), etag: entry.version, metadata, error: None }
    }

    fn bulk(item: BulkItem) -> Self {
        let nothing = |key, error| Shown { key, data: None, etag: None, metadata: None, error };
        match item.found {
            Ok(Some(entry)) => Shown::entry(item.key, entry),
            Ok(None) => nothing(item.key, None),
            Err(problem) => nothing(item.key, Some(problem.message)),
        }
    }
}

/// A stored value inside of JSON: as it is where it is JSON, else as text or base64.
fn data(value: &[u8]) -> Box<RawValue> {
    if let Ok(exact) = serde_json::from_slice::<&RawValue>(value) {
        return exact.to_owned();
    }
    let text = std::str::from_utf8(value).map_or_else(|_| BASE64.encode(value), str::to_owned);
    serde_json::value::to_raw_value(&text).unwrap_or_default()
}

pub async fn transaction(dapr: &Dapr, mut call: Call<'_>, name: &str) -> Result<Response<Body>, Problem> {
    let store = state::store(dapr, call.caller, name).await?;
    let body = call.body().await?;
    let Transaction { operations, metadata } = parse(&body)?;
    let mut over = metadata.unwrap_or_default();
    over.extend(call.metadata());
    let mut items = Vec::new();
    for Operation { operation, request } in operations.unwrap_or_default() {
        let item = parse::<SaveItem>(request.get().as_bytes())?.into_item(&over);
        items.push(match operation.as_str() {
            "upsert" => item,
            "delete" => Item { value: None, ..item },
            other => return Err(Problem::unknown_operation(other)),
        });
    }
    if !items.is_empty() {
        dapr.outbound(name).run(|| state::transact(&store, name, items.clone())).await?;
    }
    Ok(answer::no_content())
}

pub async fn query(dapr: &Dapr, mut call: Call<'_>, name: &str) -> Result<Response<Body>, Problem> {
    let store = state::store(dapr, call.caller, name).await?;
    let body = call.body().await?;
    let found = dapr.outbound(name).run(|| state::query(&store, name, &body)).await?;
    if found.items.is_empty() {
        return Ok(answer::no_content());
    }
    let results: Vec<Shown> = found.items.into_iter().map(|(key, entry)| Shown::entry(key, entry)).collect();
    Ok(answer::json(&Results { results, token: found.token }))
}
