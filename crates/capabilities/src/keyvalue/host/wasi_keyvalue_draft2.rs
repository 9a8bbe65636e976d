//! wasi:keyvalue@0.2.0-draft2, as Spin's guests have it: cursors are text, and a value can be swapped.

use super::{Bucket, KeyValue, PAGE_KEYS, StoreError, Swap};
use crate::keyvalue::Query;
use wasmtime::Result;
use wasmtime::component::{Resource, ResourceTableError};

mod generated {
    wasmtime::component::bindgen!({
        path: "../../wit/wasi-keyvalue-0.2.0-draft2",
        world: "wasi:keyvalue/imports",
        imports: { default: async | trappable },
        with: {
            "wasi:keyvalue/store.bucket": crate::keyvalue::host::Bucket,
            "wasi:keyvalue/atomics.cas": crate::keyvalue::host::Swap,
        },
        trappable_error_type: {
            "wasi:keyvalue/store.error" => crate::keyvalue::host::wasi_keyvalue_draft2::Failure,
        },
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

fn said(error: StoreError) -> store::Error {
    match error {
        StoreError::NoSuchStore => store::Error::NoSuchStore,
        StoreError::AccessDenied => store::Error::AccessDenied,
        other => store::Error::Other(other.to_string()),
    }
}

impl store::Host for KeyValue {
    async fn open(&mut self, name: String) -> Result<Resource<Bucket>, Failure> {
        let store = self.find(&name)?.store().await?;
        Ok(self.table.push(Bucket { store, page: None })?)
    }

    fn convert_error(&mut self, failure: Failure) -> Result<store::Error> {
        match failure {
            Failure::Store(error) => Ok(said(error)),
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
        cursor: Option<String>,
    ) -> Result<store::KeyResponse, Failure> {
        let query = Query { prefix: String::new(), cursor, limit: PAGE_KEYS };
        let page = self.table.get(&bucket)?.store.list(query).await?;
        Ok(store::KeyResponse { keys: page.keys, cursor: page.cursor })
    }

    async fn drop(&mut self, bucket: Resource<Bucket>) -> Result<()> {
        self.table.delete(bucket)?;
        Ok(())
    }
}

impl atomics::Host for KeyValue {
    async fn increment(&mut self, bucket: Resource<Bucket>, key: String, delta: i64) -> Result<i64, Failure> {
        Ok(self.table.get(&bucket)?.store.increment(key, delta).await?)
    }

    async fn swap(&mut self, cas: Resource<Swap>, value: Vec<u8>) -> Result<Result<(), atomics::CasError>> {
        let swap = self.table.delete(cas)?;
        let failed = |error| Ok(Err(atomics::CasError::StoreError(said(error))));
        match swap.finish(value).await {
            Ok(true) => return Ok(Ok(())),
            Ok(false) => {}
            Err(error) => return failed(error),
        }
        // The guest gets a handle that knows the value that won.
        match Swap::begin(swap.store, swap.key).await {
            Ok(again) => Ok(Err(atomics::CasError::CasFailed(self.table.push(again)?))),
            Err(error) => failed(error),
        }
    }
}

impl atomics::HostCas for KeyValue {
    async fn new(&mut self, bucket: Resource<Bucket>, key: String) -> Result<Resource<Swap>, Failure> {
        let store = self.table.get(&bucket)?.store.clone();
        let swap = Swap::begin(store, key).await?;
        Ok(self.table.push(swap)?)
    }

    async fn current(&mut self, cas: Resource<Swap>) -> Result<Option<Vec<u8>>, Failure> {
        let seen = &self.table.get(&cas)?.seen;
        Ok(seen.as_ref().map(|entry| entry.value.clone()))
    }

    async fn drop(&mut self, cas: Resource<Swap>) -> Result<()> {
        self.table.delete(cas)?;
        Ok(())
    }
}

impl batch::Host for KeyValue {
    async fn get_many(
        &mut self,
        bucket: Resource<Bucket>,
        keys: Vec<String>,
    ) -> Result<Vec<(String, Option<Vec<u8>>)>, Failure> {
        let values = self.table.get(&bucket)?.store.get_many(keys.clone()).await?;
        Ok(keys.into_iter().zip(values).collect())
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
