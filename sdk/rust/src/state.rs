//! State: values by keys. Typed calls read and write JSON; the others leave the bytes as they are.

use crate::{Dapr, Error, JSON, Reply, path};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use wstd::http::{Method, StatusCode};

/// A state store.
#[derive(Clone, Copy, Debug)]
pub struct State<'a> {
    pub(crate) dapr: &'a Dapr,
    pub(crate) store: &'a str,
}

/// A stored value, with what names its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<T> {
    pub value: T,
    /// Changes with every write.
    pub etag: Option<String>,
    /// When the value goes, as RFC 3339 writes times, where the store tells it.
    pub expires: Option<String>,
}

/// A write: of a value, or, without one, of its absence.
#[derive(Clone, Debug, Serialize)]
pub struct Operation {
    pub key: String,
    /// JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    options: Option<Options>,
}

#[derive(Clone, Debug, Serialize)]
struct Options {
    concurrency: &'static str,
}

impl Operation {
    /// Writes a value as JSON.
    pub fn save(key: &str, value: &(impl Serialize + ?Sized)) -> Result<Self, Error> {
        let value = serde_json::value::to_raw_value(value).map_err(Error::Json)?;
        Ok(Operation { value: Some(value), ..Operation::delete(key) })
    }

    pub fn delete(key: &str) -> Self {
        Operation { key: key.to_owned(), value: None, etag: None, metadata: BTreeMap::new(), options: None }
    }

    /// Only over the version with this etag.
    pub fn over(self, etag: &str) -> Self {
        Operation { etag: Some(etag.to_owned()), ..self.first_write() }
    }

    /// The first of two writers wins: only where nobody wrote the key, or over the version of [`Operation::over`].
    pub fn first_write(self) -> Self {
        Operation { options: Some(Options { concurrency: "first-write" }), ..self }
    }

    /// The value goes after so many seconds.
    pub fn expiring(mut self, seconds: u32) -> Self {
        self.metadata.insert("ttlInSeconds".to_owned(), seconds.to_string());
        self
    }
}

#[derive(Deserialize)]
struct Found {
    key: String,
    data: Option<Box<RawValue>>,
    etag: Option<String>,
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
    #[serde(default)]
    error: Option<String>,
}

const EXPIRES: &str = "metadata.ttlexpiretime";

impl State<'_> {
    /// A value; `None` where the key has none.
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        Ok(self.entry(key).await?.map(|entry| entry.value))
    }

    /// A value with its etag.
    pub async fn entry<T: DeserializeOwned>(&self, key: &str) -> Result<Option<Entry<T>>, Error> {
        let Some(reply) = self.found(key).await? else { return Ok(None) };
        let value = serde_json::from_slice(&reply.body).map_err(Error::Json)?;
        Ok(Some(entry(&reply, value)))
    }

    /// The bytes of a value as they are stored, with its etag.
    pub async fn bytes(&self, key: &str) -> Result<Option<Entry<Vec<u8>>>, Error> {
        let Some(mut reply) = self.found(key).await? else { return Ok(None) };
        let value = std::mem::take(&mut reply.body);
        Ok(Some(entry(&reply, value)))
    }

    async fn found(&self, key: &str) -> Result<Option<Reply>, Error> {
        let reply = self.dapr.accepted(Method::GET, &self.target(key), None, Vec::new()).await?;
        Ok((reply.status != StatusCode::NO_CONTENT).then_some(reply))
    }

    /// Writes a value, whatever is there.
    pub async fn save(&self, key: &str, value: &(impl Serialize + ?Sized)) -> Result<(), Error> {
        self.save_all(&[Operation::save(key, value)?]).await
    }

    /// Writes several values in one call, each by itself.
    pub async fn save_all(&self, items: &[Operation]) -> Result<(), Error> {
        let target = format!("/v1.0/state/{}", path::segment(self.store));
        let body = serde_json::to_vec(items).map_err(Error::Json)?;
        self.dapr.accepted(Method::POST, &target, JSON, body).await.map(drop)
    }

    /// Deletes a key, whether it is there or not.
    pub async fn delete(&self, key: &str) -> Result<(), Error> {
        self.dapr.accepted(Method::DELETE, &self.target(key), None, Vec::new()).await.map(drop)
    }

    /// Deletes a key if its etag is this one.
    pub async fn delete_over(&self, key: &str, etag: &str) -> Result<(), Error> {
        let target = format!("{}?concurrency=first-write", self.target(key));
        let headers = [("if-match", Some(etag))];
        self.dapr.send_with(Method::DELETE, &target, &headers, Vec::new()).await?.accepted().map(drop)
    }

    /// The values of several keys, in no order; keys without a value are left out.
    pub async fn bulk<T: DeserializeOwned>(
        &self,
        keys: &[&str],
    ) -> Result<BTreeMap<String, Entry<T>>, Error> {
        let target = format!("/v1.0/state/{}/bulk", path::segment(self.store));
        let body = serde_json::to_vec(&serde_json::json!({ "keys": keys })).map_err(Error::Json)?;
        let reply = self.dapr.accepted(Method::POST, &target, JSON, body).await?;
        let found: Vec<Found> = reply.json()?.unwrap_or_default();
        let mut entries = BTreeMap::new();
        for Found { key, data, etag, metadata, error } in found {
            if let Some(message) = error.filter(|error| !error.is_empty()) {
                let code = "ERR_STATE_GET".to_owned();
                return Err(Error::Answer { status: StatusCode::INTERNAL_SERVER_ERROR, code, message });
            }
            let Some(data) = data else { continue };
            let value = serde_json::from_str(data.get()).map_err(Error::Json)?;
            let expires = metadata.and_then(|mut metadata| metadata.remove("ttlExpireTime"));
            entries.insert(key, Entry { value, etag, expires });
        }
        Ok(entries)
    }

    /// Does all or nothing, in this order, where the store can.
    pub async fn transaction(&self, operations: &[Operation]) -> Result<(), Error> {
        #[derive(Serialize)]
        struct Step<'a> {
            operation: &'static str,
            request: &'a Operation,
        }
        #[derive(Serialize)]
        struct Body<'a> {
            operations: Vec<Step<'a>>,
        }
        let kind = |operation: &Operation| if operation.value.is_some() { "upsert" } else { "delete" };
        let steps = operations.iter().map(|request| Step { operation: kind(request), request });
        let body = serde_json::to_vec(&Body { operations: steps.collect() }).map_err(Error::Json)?;
        let target = format!("/v1.0/state/{}/transaction", path::segment(self.store));
        self.dapr.accepted(Method::POST, &target, JSON, body).await.map(drop)
    }

    fn target(&self, key: &str) -> String {
        format!("/v1.0/state/{}/{}", path::segment(self.store), path::segment(key))
    }
}

fn entry<T>(reply: &Reply, value: T) -> Entry<T> {
    let text = |name| reply.header(name).map(str::to_owned);
    Entry { value, etag: text("etag"), expires: text(EXPIRES) }
}
