//! fermyon:spin/key-value without version, of spin-sdk 1: stores are numbers.

use super::{KeyValue, OPEN_MAX, Store, StoreError};
use wasmtime::Result;

mod generated {
    wasmtime::component::bindgen!({
        path: "../../wit/spin-unversioned",
        inline: "package sampan:host; world imports { import fermyon:spin/key-value; }",
        world: "sampan:host/imports",
        imports: { default: async | trappable },
    });
}

pub use generated::fermyon::spin::key_value::add_to_linker;
use generated::fermyon::spin::key_value::{Error, Host};

fn said(error: StoreError) -> Error {
    match error {
        StoreError::NoSuchStore => Error::NoSuchStore,
        StoreError::AccessDenied => Error::AccessDenied,
        other => Error::Io(other.to_string()),
    }
}

impl KeyValue {
    fn handle(&self, store: u32) -> Result<Store, Error> {
        self.handles.get(&store).cloned().ok_or(Error::InvalidStore)
    }

    async fn open_handle(&mut self, name: &str) -> Result<u32, Error> {
        let free = (0..OPEN_MAX as u32).find(|number| !self.handles.contains_key(number));
        let number = free.ok_or(Error::StoreTableFull)?;
        let slot = self.find(name).map_err(said)?;
        self.handles.insert(number, slot.store().await.map_err(said)?);
        Ok(number)
    }
}

impl Host for KeyValue {
    async fn open(&mut self, name: String) -> Result<Result<u32, Error>> {
        Ok(self.open_handle(&name).await)
    }

    async fn get(&mut self, store: u32, key: String) -> Result<Result<Vec<u8>, Error>> {
        let store = self.handle(store);
        let get = async {
            let entry = store?.get(key).await.map_err(said)?;
            entry.map(|entry| entry.value).ok_or(Error::NoSuchKey)
        };
        Ok(get.await)
    }

    async fn set(&mut self, store: u32, key: String, value: Vec<u8>) -> Result<Result<(), Error>> {
        let store = self.handle(store);
        Ok(async { store?.set(key, value).await.map_err(said) }.await)
    }

    async fn delete(&mut self, store: u32, key: String) -> Result<Result<(), Error>> {
        let store = self.handle(store);
        Ok(async { store?.delete(key).await.map_err(said) }.await)
    }

    async fn exists(&mut self, store: u32, key: String) -> Result<Result<bool, Error>> {
        let store = self.handle(store);
        Ok(async { store?.exists(key).await.map_err(said) }.await)
    }

    async fn get_keys(&mut self, store: u32) -> Result<Result<Vec<String>, Error>> {
        let store = self.handle(store);
        Ok(async { store?.keys().await.map_err(said) }.await)
    }

    async fn close(&mut self, store: u32) -> Result<()> {
        self.handles.remove(&store);
        Ok(())
    }
}
