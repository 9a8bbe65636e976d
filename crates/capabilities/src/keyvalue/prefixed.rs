//! A store in which one app's keys have a prefix, as Dapr's components say: several apps share a store, and none
//! sees another's keys.

use super::{Answer, Backend, Entry, Features, Page, Query, QueryPage, StateQuery, Write};
use std::sync::Arc;

pub struct Prefixed {
    pub inner: Arc<dyn Backend>,
    /// Stands before every key, and is seen by nobody.
    pub prefix: String,
}

impl Prefixed {
    fn key(&self, key: &str) -> String {
        [self.prefix.as_str(), key].concat()
    }

    fn write(&self, write: Write) -> Write {
        Write { key: self.key(&write.key), ..write }
    }

    /// A key as the app knows it.
    fn own(&self, key: &str) -> Option<String> {
        key.strip_prefix(self.prefix.as_str()).map(str::to_owned)
    }
}

impl Backend for Prefixed {
    fn features(&self) -> Features {
        self.inner.features()
    }

    fn get(&self, key: String) -> Answer<'_, Option<Entry>> {
        self.inner.get(self.key(&key))
    }

    fn write(&self, write: Write) -> Answer<'_, bool> {
        self.inner.write(Prefixed::write(self, write))
    }

    fn exists(&self, key: String) -> Answer<'_, bool> {
        self.inner.exists(self.key(&key))
    }

    fn list(&self, query: Query) -> Answer<'_, Page> {
        let Query { prefix, cursor, limit } = query;
        // The cursor of most stores is a key.
        let query = Query { prefix: self.key(&prefix), cursor, limit };
        Box::pin(async move {
            let page = self.inner.list(query).await?;
            let keys = page.keys.iter().filter_map(|key| self.own(key)).collect();
            Ok(Page { keys, cursor: page.cursor })
        })
    }

    fn entries(&self, keys: Vec<String>) -> Answer<'_, Vec<Option<Entry>>> {
        self.inner.entries(keys.iter().map(|key| self.key(key)).collect())
    }

    fn transact(&self, writes: Vec<Write>) -> Answer<'_, Result<(), usize>> {
        self.inner.transact(writes.into_iter().map(|write| Prefixed::write(self, write)).collect())
    }

    fn increment(&self, key: String, delta: i64) -> Answer<'_, i64> {
        self.inner.increment(self.key(&key), delta)
    }

    fn query(&self, query: StateQuery) -> Answer<'_, QueryPage> {
        let query = StateQuery { prefix: self.key(&query.prefix), ..query };
        Box::pin(async move {
            let page = self.inner.query(query).await?;
            let own = |(key, entry): (String, Entry)| Some((self.own(&key)?, entry));
            Ok(QueryPage { items: page.items.into_iter().filter_map(own).collect(), token: page.token })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Memory, Store, StoreError};
    use super::*;

    fn of_app(inner: &Arc<dyn Backend>, app: &str) -> Store {
        Store::new(Prefixed { inner: Arc::clone(inner), prefix: format!("{app}||") })
    }

    #[tokio::test]
    async fn apps_share_a_store_and_see_only_their_own_keys() -> Result<(), StoreError> {
        let inner: Arc<dyn Backend> = Arc::new(Memory::default());
        let (one, other) = (of_app(&inner, "one"), of_app(&inner, "other"));
        one.set("k".to_owned(), b"1".to_vec()).await?;
        other.set("k".to_owned(), b"2".to_vec()).await?;
        other.set("l".to_owned(), b"3".to_vec()).await?;
        assert_eq!(one.get("k".to_owned()).await?.map(|entry| entry.value), Some(b"1".to_vec()));
        assert_eq!(one.keys().await?, ["k"]);
        assert_eq!(other.keys().await?, ["k", "l"]);
        let below = inner.get("one||k".to_owned()).await?;
        assert_eq!(below.map(|entry| entry.value), Some(b"1".to_vec()));
        other.transact(vec![Write::delete("k".to_owned())]).await?.expect("no condition");
        assert!(one.exists("k".to_owned()).await?);
        assert!(!other.exists("k".to_owned()).await?);
        Ok(())
    }

    #[tokio::test]
    async fn pages_go_on_where_they_ended() -> Result<(), StoreError> {
        let inner: Arc<dyn Backend> = Arc::new(Memory::default());
        let (one, other) = (of_app(&inner, "one"), of_app(&inner, "two"));
        for number in 0..5 {
            one.set(format!("k{number}"), Vec::new()).await?;
            other.set(format!("k{number}"), Vec::new()).await?;
        }
        let (mut found, mut cursor) = (Vec::new(), None);
        loop {
            let page = one.list(Query { prefix: "k".to_owned(), cursor, limit: 2 }).await?;
            found.extend(page.keys);
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(found, ["k0", "k1", "k2", "k3", "k4"]);
        Ok(())
    }
}
