//! fermyon:spin/key-value@2.0.0, of spin-sdk 2 to 5.

use super::{Bucket, KeyValue, Store, StoreError};
use wasmtime::Result;
use wasmtime::component::Resource;

mod generated {
    wasmtime::component::bindgen!({
        path: "../../wit/fermyon-spin-2.0.0",
        inline: "package sampan:host; world imports { import fermyon:spin/key-value@2.0.0; }",
        world: "sampan:host/imports",
        imports: { default: async | trappable },
        with: { "fermyon:spin/key-value.store": crate::keyvalue::host::Bucket },
    });
}

pub use generated::fermyon::spin::key_value::add_to_linker;
use generated::fermyon::spin::key_value::{Error, Host, HostStore};

fn said(error: StoreError) -> Error {
    match error {
        StoreError::NoSuchStore => Error::NoSuchStore,
        StoreError::AccessDenied => Error::AccessDenied,
        other => Error::Other(other.to_string()),
    }
}

impl KeyValue {
    /// The store behind a handle, apart from the table, which nobody can use while it is borrowed.
    pub(super) fn bucket(&self, handle: &Resource<Bucket>) -> Result<Store> {
        Ok(self.table.get(handle)?.store.clone())
    }
}

impl Host for KeyValue {}

impl HostStore for KeyValue {
    async fn open(&mut self, label: String) -> Result<Result<Resource<Bucket>, Error>> {
        let slot = self.find(&label);
        let opened = async { slot?.store().await }.await.map_err(said);
        Ok(opened.and_then(|store| {
            self.table.push(Bucket { store, page: None }).map_err(|_| Error::StoreTableFull)
        }))
    }

    async fn get(&mut self, store: Resource<Bucket>, key: String) -> Result<Result<Option<Vec<u8>>, Error>> {
        let found = self.bucket(&store)?.get(key).await;
        Ok(found.map(|entry| entry.map(|entry| entry.value)).map_err(said))
    }

    async fn set(
        &mut self,
        store: Resource<Bucket>,
        key: String,
        value: Vec<u8>,
    ) -> Result<Result<(), Error>> {
        Ok(self.bucket(&store)?.set(key, value).await.map_err(said))
    }

    async fn delete(&mut self, store: Resource<Bucket>, key: String) -> Result<Result<(), Error>> {
        Ok(self.bucket(&store)?.delete(key).await.map_err(said))
    }

    async fn exists(&mut self, store: Resource<Bucket>, key: String) -> Result<Result<bool, Error>> {
        Ok(self.bucket(&store)?.exists(key).await.map_err(said))
    }

    async fn get_keys(&mut self, store: Resource<Bucket>) -> Result<Result<Vec<String>, Error>> {
        Ok(self.bucket(&store)?.keys().await.map_err(said))
    }

    async fn drop(&mut self, store: Resource<Bucket>) -> Result<()> {
        self.table.delete(store)?;
        Ok(())
    }
}
