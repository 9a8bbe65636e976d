//! `/v1.0/secrets`, `/v1.0/configuration`, `/v1.0-alpha1/lock` and `/v1.0/bindings`.

use super::answer::{self, Call};
use super::state::parse;
use crate::blocks::{self, Claim, Metadata};
use crate::error::Problem;
use crate::runtime::Dapr;
use http::{Response, StatusCode};
use sampan_capabilities::configuration::Item;
use sampan_service::Body;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

pub async fn secret(dapr: &Dapr, call: Call<'_>, store: &str, key: &str) -> Result<Response<Body>, Problem> {
    let found = blocks::secret(dapr, call.caller, store, key, &call.metadata()).await?;
    Ok(found.map_or_else(answer::no_content, |found| answer::json(&found)))
}

pub async fn secrets(dapr: &Dapr, call: Call<'_>, store: &str) -> Result<Response<Body>, Problem> {
    Ok(answer::json(&blocks::secrets(dapr, call.caller, store).await?))
}

pub async fn configuration(dapr: &Dapr, call: Call<'_>, store: &str) -> Result<Response<Body>, Problem> {
    let found = blocks::configuration(dapr, call.caller, store, &call.all("key")).await?;
    Ok(if found.is_empty() { answer::no_content() } else { answer::json(&shown_items(&found)) })
}

/// Items as Dapr's clients read them.
pub fn shown_items(items: &BTreeMap<String, Item>) -> Value {
    let one = |(key, item): (&String, &Item)| {
        let mut shown = json!({ "value": item.value });
        if !item.version.is_empty() {
            shown["version"] = item.version.as_str().into();
        }
        shown["metadata"] = json!(item.metadata);
        (key.clone(), shown)
    };
    Value::Object(items.iter().map(one).collect())
}

/// Changes are sent to the app from now on.
pub async fn watch(dapr: &Arc<Dapr>, call: Call<'_>, store: &str) -> Result<Response<Body>, Problem> {
    blocks::configuration_store(dapr, call.caller, store)?;
    if !dapr.app.is_there() {
        return Err(Problem::internal("ERR_APP_CHANNEL_NIL", "app channel is not initialized"));
    }
    let id = crate::watches::to_app(dapr, call.caller, store, call.all("key")).await?;
    Ok(answer::json(&json!({ "id": id })))
}

pub fn unwatch(dapr: &Dapr, call: Call<'_>, store: &str, id: &str) -> Result<Response<Body>, Problem> {
    blocks::configuration_store(dapr, call.caller, store)?;
    if dapr.watches.end(id) {
        return Ok(answer::json(&json!({ "ok": true })));
    }
    let why = format!("there is no subscription {id}");
    let mut response = answer::json(&json!({ "ok": false, "message": why }));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    Ok(response)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LockRequest {
    #[serde(default)]
    resource_id: String,
    #[serde(default)]
    lock_owner: String,
    #[serde(default)]
    expiry_in_seconds: i64,
}

pub async fn lock(dapr: &Dapr, mut call: Call<'_>, store: &str) -> Result<Response<Body>, Problem> {
    let caller = call.caller;
    let body = call.body().await?;
    let LockRequest { resource_id, lock_owner, expiry_in_seconds } = parse(&body)?;
    let claim = Claim { resource: &resource_id, owner: &lock_owner };
    let success = blocks::try_lock(dapr, caller, store, claim, expiry_in_seconds).await?;
    Ok(answer::json(&json!({ "success": success })))
}

pub async fn unlock(dapr: &Dapr, mut call: Call<'_>, store: &str) -> Result<Response<Body>, Problem> {
    let caller = call.caller;
    let body = call.body().await?;
    let LockRequest { resource_id, lock_owner, .. } = parse(&body)?;
    let claim = Claim { resource: &resource_id, owner: &lock_owner };
    let done = blocks::unlock(dapr, caller, store, claim).await?;
    Ok(answer::json(&json!({ "status": blocks::unlock_status(done) })))
}

#[derive(Deserialize)]
struct BindingRequest {
    #[serde(default)]
    operation: String,
    data: Option<Box<RawValue>>,
    metadata: Option<Metadata>,
}

pub async fn binding(dapr: &Dapr, mut call: Call<'_>, name: &str) -> Result<Response<Body>, Problem> {
    let caller = call.caller;
    let over = call.metadata();
    let body = call.body().await?;
    let BindingRequest { operation, data, metadata } = parse(&body)?;
    let mut all = metadata.unwrap_or_default();
    all.extend(over);
    let data = data.map_or_else(Vec::new, |data| data.get().as_bytes().to_vec());
    let invoked = blocks::invoke_binding(dapr, caller, name, &operation, &data, &all).await?;
    let mut response = match invoked.data {
        Some(data) => answer::bytes("application/json", data),
        None => answer::no_content(),
    };
    for (key, value) in &invoked.metadata {
        answer::put(response.headers_mut(), &format!("metadata.{key}"), value);
    }
    Ok(response)
}
