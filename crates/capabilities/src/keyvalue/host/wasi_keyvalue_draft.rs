//! wasi:keyvalue@0.2.0-draft, as wasmtime's own crate and its guests have it: cursors are numbers.

use super::{Bucket, KeyValue, PAGE_KEYS, StoreError};
use crate::keyvalue::{Page, Query};
use wasmtime::Result;
use wasmtime::component::{Resource, ResourceTableError};

mod generated {
    wasmtime::component::bindgen!({
        path: "../../wit/wasi-keyvalue-0.2.0-draft",
        world: "wasi:keyvalue/imports",
        imports: { default: async | trappable },
        with: { "wasi:keyvalue/store.bucket": crate::keyvalue::host::Bucket },
        trappable_error_type: { "wasi:keyvalue/store.error" => crate::keyvalue::host::wasi_keyvalue_draft::Failure },
    });
}

pub use generated::wasi::keyvalue::{atomics, batch, store};

/// The guest's error, or a trap for a handle that is none.
pub enum Failure {
    Store(StoreError),
    Trap(ResourceTableError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Failure::Store(error)
    }
}

impl From<ResourceTableError> for Failure {
    fn from(error: ResourceTableError) -> Self {
        match error {
            ResourceTableError::Full => {
                Failure::Store(StoreError::Other("too many open stores and swaps".to_owned()))
            }
            other => Failure::Trap(other),
        }
    }
}

impl store::Host for KeyValue {
    async fn open(&mut self, name: String) -> Result<Resource<Bucket>, Failure> {
        let store = self.find(&name)?.store().await?;
        Ok(self.table.push(Bucket { store, page: None })?)
    }

    fn convert_error(&mut self, failure: Failure) -> Result<store::Error> {
        match failure {
            Failure::Store(StoreError::NoSuchStore) => Ok(store::Error::NoSuchStore),
            Failure::Store(StoreError::AccessDenied) => Ok(store::Error::AccessDenied),
            Failure::Store(other) => Ok(store::Error::Other(other.to_string())),
            Failure::Trap(error) => Err(error.into()),
        }
    }
}

impl store::HostBucket for KeyValue {
    async fn get(&mut self, bucket: Resource<Bucket>, key: String) -> Result<Option<Vec<u8>>, Failure> {
        let entry = self.table.get(&bucket)?.store.get(key).await?;
        Ok(entry.map(|entry| entry.value))
    }

    async fn set(&mut self, bucket: Resource<Bucket>, key: String, value: Vec<u8>) -> Result<(), Failure> {
        Ok(self.table.get(&bucket)?.store.set(key, value).await?)
    }

    async fn delete(&mut self, bucket: Resource<Bucket>, key: String) -> Result<(), Failure> {
        Ok(self.table.get(&bucket)?.store.delete(key).await?)
    }

    async fn exists(&mut self, bucket: Resource<Bucket>, key: String) -> Result<bool, Failure> {
        Ok(self.table.get(&bucket)?.store.exists(key).await?)
    }

    async fn list_keys(
        &mut self,
        bucket: Resource<Bucket>,
        cursor: Option<u64>,
    ) -> Result<store::KeyResponse, Failure> {
        let bucket = self.table.get_mut(&bucket)?;
        let offset = cursor.unwrap_or(0);
        let page = page_at(bucket, offset).await?;
        let next = offset + page.keys.len() as u64;
        let cursor = page.cursor.map(|place| {
            bucket.page = Some((next, place));
            next
        });
        Ok(store::KeyResponse { keys: page.keys, cursor })
    }

    async fn drop(&mut self, bucket: Resource<Bucket>) -> Result<()> {
        self.table.delete(bucket)?;
        Ok(())
    }
}

/// The page after so many keys. A guest usually goes on where its last page ended; one that kept the number
/// from elsewhere makes us count from the start.
async fn page_at(bucket: &Bucket, offset: u64) -> Result<Page, StoreError> {
    let query = |cursor| Query { prefix: String::new(), cursor, limit: PAGE_KEYS };
    if let Some((_, place)) = bucket.page.as_ref().filter(|(known, _)| *known == offset) {
        return bucket.store.list(query(Some(place.clone()))).await;
    }
    let mut skip = offset;
    let mut cursor = None;
    loop {
        let mut page = bucket.store.list(query(cursor)).await?;
        if (page.keys.len() as u64) > skip || page.cursor.is_none() || skip == 0 {
            let skipped = usize::try_from(skip).unwrap_or(usize::MAX).min(page.keys.len());
            page.keys.drain(..skipped);
            return Ok(page);
        }
        skip -= page.keys.len() as u64;
        cursor = page.cursor;
    }
}

impl atomics::Host for KeyValue {
    async fn increment(&mut self, bucket: Resource<Bucket>, key: String, delta: u64) -> Result<u64, Failure> {
        let store = &self.table.get(&bucket)?.store;
        let delta = i64::try_from(delta)
            .map_err(|_| StoreError::Other("the delta does not fit into a 64-bit integer".to_owned()))?;
        let sum = store.increment(key, delta).await?;
        Ok(u64::try_from(sum).map_err(|_| StoreError::Other("the sum is negative".to_owned()))?)
    }
}

impl batch::Host for KeyValue {
    async fn get_many(
        &mut self,
        bucket: Resource<Bucket>,
        keys: Vec<String>,
    ) -> Result<Vec<Option<(String, Vec<u8>)>>, Failure> {
        let values = self.table.get(&bucket)?.store.get_many(keys.clone()).await?;
        let pairs = keys.into_iter().zip(values);
        Ok(pairs.map(|(key, value)| value.map(|value| (key, value))).collect())
    }

    async fn set_many(
        &mut self,
        bucket: Resource<Bucket>,
        entries: Vec<(String, Vec<u8>)>,
    ) -> Result<(), Failure> {
        Ok(self.table.get(&bucket)?.store.set_many(entries).await?)
    }

    async fn delete_many(&mut self, bucket: Resource<Bucket>, keys: Vec<String>) -> Result<(), Failure> {
        Ok(self.table.get(&bucket)?.store.delete_many(keys).await?)
    }
}
