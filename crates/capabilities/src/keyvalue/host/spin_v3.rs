//! spin:key-value@3.0.0, of spin-sdk 6 and 7: calls that wait do not stop the guest's other tasks.

use super::{Bucket, KeyValue, Store, StoreError};
use wasmtime::Result;
use wasmtime::component::{Accessor, FutureReader, HasSelf, Resource, StreamReader};

mod generated {
    wasmtime::component::bindgen!({
        path: "../../wit/spin-key-value-3.0.0",
        inline: "package sampan:host; world imports { import spin:key-value/key-value@3.0.0; }",
        world: "sampan:host/imports",
        imports: { default: trappable },
        with: { "spin:key-value/key-value.store": crate::keyvalue::host::Bucket },
    });
}

pub use generated::spin::key_value::key_value::add_to_linker;
use generated::spin::key_value::key_value::{Error, Host, HostStore, HostStoreWithStore};

type Own = HasSelf<KeyValue>;

fn said(error: StoreError) -> Error {
    match error {
        StoreError::NoSuchStore => Error::NoSuchStore,
        StoreError::AccessDenied => Error::AccessDenied,
        other => Error::Other(other.to_string()),
    }
}

fn bucket<T>(accessor: &Accessor<T, Own>, store: &Resource<Bucket>) -> Result<Store> {
    accessor.with(|mut access| access.get().bucket(store))
}

impl Host for KeyValue {}

impl HostStore for KeyValue {
    fn drop(&mut self, store: Resource<Bucket>) -> Result<()> {
        self.table.delete(store)?;
        Ok(())
    }
}

impl<T: Send> HostStoreWithStore<T> for Own {
    async fn open(accessor: &Accessor<T, Self>, label: String) -> Result<Result<Resource<Bucket>, Error>> {
        let slot = accessor.with(|mut access| access.get().find(&label));
        let open = async { slot?.store().await };
        let opened = open.await.map_err(said);
        let push = |store| accessor.with(|mut access| access.get().table.push(Bucket { store, page: None }));
        Ok(opened.and_then(|store| push(store).map_err(|_| Error::StoreTableFull)))
    }

    async fn get(
        accessor: &Accessor<T, Self>,
        store: Resource<Bucket>,
        key: String,
    ) -> Result<Result<Option<Vec<u8>>, Error>> {
        let found = bucket(accessor, &store)?.get(key).await;
        Ok(found.map(|entry| entry.map(|entry| entry.value)).map_err(said))
    }

    async fn set(
        accessor: &Accessor<T, Self>,
        store: Resource<Bucket>,
        key: String,
        value: Vec<u8>,
    ) -> Result<Result<(), Error>> {
        Ok(bucket(accessor, &store)?.set(key, value).await.map_err(said))
    }

    async fn delete(
        accessor: &Accessor<T, Self>,
        store: Resource<Bucket>,
        key: String,
    ) -> Result<Result<(), Error>> {
        Ok(bucket(accessor, &store)?.delete(key).await.map_err(said))
    }

    async fn exists(
        accessor: &Accessor<T, Self>,
        store: Resource<Bucket>,
        key: String,
    ) -> Result<Result<bool, Error>> {
        Ok(bucket(accessor, &store)?.exists(key).await.map_err(said))
    }

    async fn get_keys(
        accessor: &Accessor<T, Self>,
        store: Resource<Bucket>,
    ) -> Result<(StreamReader<String>, FutureReader<Result<(), Error>>)> {
        let (keys, end) = match bucket(accessor, &store)?.keys().await {
            Ok(keys) => (keys, Ok(())),
            Err(error) => (Vec::new(), Err(said(error))),
        };
        accessor.with(|mut access| {
            let keys = StreamReader::new(&mut access, keys)?;
            let end = FutureReader::new(&mut access, async { Ok::<_, wasmtime::Error>(end) })?;
            Ok((keys, end))
        })
    }
}
