//! State: what both faces do with a store. Keys are the app's own; the store puts its prefix before them.

use crate::error::Problem;
use crate::runtime::{Caller, Dapr};
use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use http::StatusCode;
use sampan_capabilities::keyvalue::{Condition, Entry, StateQuery, Store, StoreError, Write};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};
use tonic::Code;

/// What Dapr puts between a key and its prefix; so no key may hold it.
const SEPARATOR: &str = "||";

/// The writes of one transaction, as in keyvalue's batches.
const OPERATIONS_MAX: usize = 1000;

/// How two writes of one key get on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Concurrency {
    /// A tag is checked where the request has one.
    #[default]
    Unsaid,
    FirstWrite,
    /// A tag is not looked at.
    LastWrite,
}

/// A write as a client asks for it.
#[derive(Clone, Debug, Default)]
pub struct Item {
    pub key: String,
    /// `None` deletes.
    pub value: Option<Bytes>,
    pub etag: Option<String>,
    pub concurrency: Concurrency,
    pub metadata: BTreeMap<String, String>,
}

/// What a client did not get of a bulk request, or did.
pub struct BulkItem {
    pub key: String,
    pub found: Result<Option<Entry>, Problem>,
}

impl Item {
    fn into_write(self) -> Result<Write, String> {
        let ttl = ttl(&self.metadata)?;
        let etag = self.etag.filter(|etag| !etag.is_empty());
        let first_write = self.concurrency == Concurrency::FirstWrite;
        let condition = match (self.concurrency, etag) {
            (Concurrency::LastWrite, _) | (Concurrency::Unsaid, None) => Condition::Always,
            (_, Some(etag)) => Condition::Version(etag),
            // To delete only what nobody wrote makes no sense; Dapr does not look either.
            (Concurrency::FirstWrite, None) if self.value.is_none() => Condition::Always,
            (Concurrency::FirstWrite, None) => Condition::Absent,
        };
        let value = self.value.map(Vec::from);
        Ok(Write { key: self.key, value, ttl, condition, first_write })
    }
}

/// The metadata `ttlInSeconds`: none, or not positive, means that the value stays.
fn ttl(metadata: &BTreeMap<String, String>) -> Result<Option<Duration>, String> {
    let Some(text) = metadata.get("ttlInSeconds").filter(|text| !text.is_empty()) else { return Ok(None) };
    let seconds: i64 = text.trim().parse().map_err(|_| format!("the ttlInSeconds {text:?} is no number"))?;
    Ok(u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs))
}

/// When a value expires, as both faces write it.
pub fn rfc3339(time: SystemTime) -> String {
    DateTime::<Utc>::from(time).to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// Finds the store, if the caller may use it.
pub async fn store(dapr: &Dapr, caller: &Caller, name: &str) -> Result<Store, Problem> {
    let stores = &dapr.components.state;
    if stores.is_empty() {
        let problem = Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            Code::FailedPrecondition,
            "ERR_STATE_STORE_NOT_CONFIGURED",
            format!("state store {name} is not configured"),
        );
        return Err(problem.reason("DAPR_STATE_NOT_CONFIGURED").with("appID", dapr.app_id()));
    }
    let Some(slot) = stores.get(name) else {
        let problem = Problem::new(
            StatusCode::BAD_REQUEST,
            Code::InvalidArgument,
            "ERR_STATE_STORE_NOT_FOUND",
            format!("state store {name} is not found"),
        );
        return Err(problem.reason("DAPR_STATE_NOT_FOUND").with("appID", dapr.app_id()));
    };
    caller.check(name, "state store")?;
    slot.store().await.map_err(|error| Problem::internal("ERR_STATE_STORE_NOT_CONFIGURED", error.to_string()))
}

/// Refuses what cannot be a key.
pub fn check_key(store: &str, key: &str) -> Result<(), Problem> {
    let why = match key {
        "" => "the key is empty".to_owned(),
        _ if key.contains(SEPARATOR) => {
            format!("input key/keyPrefix '{key}' can't contain '{SEPARATOR}'")
        }
        _ => return Ok(()),
    };
    let problem = Problem::malformed(why.clone()).reason("DAPR_STATE_ILLEGAL_KEY");
    Err(problem.resource("state", store, "").violation(key, why))
}

pub async fn get(store: &Store, name: &str, key: &str) -> Result<Option<Entry>, Problem> {
    check_key(name, key)?;
    store.get(key.to_owned()).await.map_err(|error| {
        Problem::internal("ERR_STATE_GET", format!("fail to get {key} from state store {name}: {error}"))
    })
}

/// Values in the order of the keys. A store that fails for all of them says so for each.
pub async fn get_bulk(store: &Store, name: &str, keys: Vec<String>) -> Result<Vec<BulkItem>, Problem> {
    for key in &keys {
        check_key(name, key)?;
    }
    let found = store.entries(keys.clone()).await;
    let failed = |error: &StoreError| {
        Problem::internal("ERR_STATE_BULK_GET", format!("fail to get from state store {name}: {error}"))
    };
    Ok(match found {
        Ok(entries) => {
            let both = keys.into_iter().zip(entries);
            both.map(|(key, entry)| BulkItem { key, found: Ok(entry) }).collect()
        }
        Err(error) => keys.into_iter().map(|key| BulkItem { key, found: Err(failed(&error)) }).collect(),
    })
}

/// Writes each item; the first that fails ends it.
pub async fn save(store: &Store, name: &str, items: Vec<Item>) -> Result<(), Problem> {
    for item in &items {
        check_key(name, &item.key)?;
    }
    let failed = |why: &str| format!("failed saving state in state store {name}: {why}");
    // Nothing is written of a list in which something cannot be.
    let writes: Result<Vec<Write>, String> = items.into_iter().map(Item::into_write).collect();
    let writes = writes.map_err(|why| Problem::internal("ERR_STATE_SAVE", failed(&why)))?;
    for write in writes {
        write_one(store, write, "ERR_STATE_SAVE", &failed).await?;
    }
    Ok(())
}

pub async fn delete(store: &Store, name: &str, item: Item) -> Result<(), Problem> {
    check_key(name, &item.key)?;
    let key = item.key.clone();
    let failed = |why: &str| format!("failed deleting state with key {key}: {why}");
    let write = Item { value: None, ..item }.into_write();
    let write = write.map_err(|why| Problem::internal("ERR_STATE_DELETE", failed(&why)))?;
    write_one(store, write, "ERR_STATE_DELETE", &failed).await
}

/// Deletes each item, as over gRPC.
pub async fn delete_many(store: &Store, name: &str, items: Vec<Item>) -> Result<(), Problem> {
    for item in &items {
        check_key(name, &item.key)?;
    }
    for item in items {
        delete(store, name, item).await?;
    }
    Ok(())
}

async fn write_one(
    store: &Store,
    write: Write,
    code: &'static str,
    failed: &(dyn Fn(&str) -> String + Sync),
) -> Result<(), Problem> {
    let key = write.key.clone();
    let tagged = matches!(write.condition, Condition::Version(_));
    match store.write(write).await {
        Ok(true) => Ok(()),
        Ok(false) => {
            let why =
                format!("possible etag mismatch. error from state store: the value under {key} changed");
            Err(Problem::new(StatusCode::CONFLICT, Code::Aborted, code, failed(&why)))
        }
        Err(StoreError::InvalidVersion(version)) if tagged => {
            let why = format!("invalid etag value: {version:?} is no tag of this store");
            Err(Problem::new(StatusCode::BAD_REQUEST, Code::InvalidArgument, code, failed(&why)))
        }
        Err(error) => Err(Problem::internal(code, failed(&error.to_string()))),
    }
}

/// All or nothing.
pub async fn transact(store: &Store, name: &str, items: Vec<Item>) -> Result<(), Problem> {
    if !store.features().transactions {
        let problem = Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            Code::Unimplemented,
            "ERR_STATE_STORE_NOT_SUPPORTED",
            format!("state store {name} doesn't support transactions"),
        );
        return Err(problem.reason("DAPR_STATE_TRANSACTIONS_NOT_SUPPORTED").resource("state", name, ""));
    }
    if items.len() > OPERATIONS_MAX {
        let count = items.len();
        let problem = Problem::new(
            StatusCode::BAD_REQUEST,
            Code::InvalidArgument,
            "ERR_STATE_STORE_TOO_MANY_TRANSACTIONS",
            format!(
                "the transaction contains {count} operations, which is more than what the state store supports: {OPERATIONS_MAX}"
            ),
        );
        let problem = problem.reason("DAPR_STATE_TOO_MANY_TRANSACTIONS").resource("state", name, "");
        let problem = problem.with("currentOpsTransaction", count.to_string());
        return Err(problem.with("maxOpsPerTransaction", OPERATIONS_MAX.to_string()));
    }
    for item in &items {
        check_key(name, &item.key)?;
    }
    let failed = |why: &str| {
        Problem::internal("ERR_STATE_TRANSACTION", format!("error while executing state transaction: {why}"))
    };
    let writes: Result<Vec<Write>, String> = items.into_iter().map(Item::into_write).collect();
    let writes = writes.map_err(|why| failed(&why))?;
    let keys: Vec<String> = writes.iter().map(|write| write.key.clone()).collect();
    match store.transact(writes).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(index)) => {
            let key = keys.get(index).map_or("", String::as_str);
            Err(failed(&format!(
                "possible etag mismatch. error from state store: the value under {key} changed"
            )))
        }
        Err(error) => Err(failed(&error.to_string())),
    }
}

/// What a query finds.
pub struct Found {
    pub items: Vec<(String, Entry)>,
    pub token: Option<String>,
}

pub async fn query(store: &Store, name: &str, document: &[u8]) -> Result<Found, Problem> {
    if !store.features().query {
        let problem =
            Problem::internal("ERR_STATE_STORE_NOT_SUPPORTED", "state store does not support querying");
        return Err(problem.reason("DAPR_STATE_QUERYING_NOT_SUPPORTED").resource("state", name, ""));
    }
    let failed = |why: String| {
        let problem = Problem::internal("ERR_STATE_QUERY", format!("state store {name} query failed: {why}"));
        problem.reason("DAPR_STATE_QUERY_FAILED").resource("state", name, "")
    };
    let query = StateQuery::parse(document).map_err(failed)?;
    let page = store.query(query).await.map_err(|error| failed(error.to_string()))?;
    Ok(Found { items: page.items, token: page.token })
}
