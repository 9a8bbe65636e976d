//! Key-value stores as what rate limits count in.

use futures::future::BoxFuture;
use sampan_capabilities::keyvalue::{Condition, Slot, StoreError};
use sampan_gateway::Counters;
use std::sync::Arc;
use std::time::Duration;

pub struct InStore(pub Arc<Slot>);

impl Counters for InStore {
    fn begin(&self, key: String, ttl: Duration) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            let store = self.0.store().await.map_err(text)?;
            let begun = store.set_if(key, b"0".to_vec(), Some(ttl), Condition::Absent).await;
            begun.map(drop).map_err(text)
        })
    }

    fn add(&self, key: String, delta: i64) -> BoxFuture<'_, Result<i64, String>> {
        Box::pin(async move { self.0.store().await.map_err(text)?.increment(key, delta).await.map_err(text) })
    }

    fn get(&self, key: String) -> BoxFuture<'_, Result<i64, String>> {
        Box::pin(async move {
            let Some(entry) = self.0.store().await.map_err(text)?.get(key).await.map_err(text)? else {
                return Ok(0);
            };
            let number = std::str::from_utf8(&entry.value).ok().and_then(|number| number.parse().ok());
            number.ok_or_else(|| "the count is no number".to_owned())
        })
    }
}

fn text(error: StoreError) -> String {
    error.to_string()
}
