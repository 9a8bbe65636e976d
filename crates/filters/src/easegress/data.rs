//! What a filter of Easegress keeps for all its instances, and its operator may see: in a key-value store of the
//! app, under Easegress's keys (megaease/easegress, pkg/cluster/layout.go) and in its text forms.

use crate::code::Code;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sampan_capabilities::keyvalue::{
    BATCH_KEYS_MAX, Condition, KEYS_MAX, Memory, PAGE_KEYS_MAX, Query, Slot, Store, StoreError,
};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// A number that others change each time is tried to be changed so often.
const TRIES_MAX: usize = 1000;

#[derive(Clone)]
pub struct Data {
    prefix: Arc<str>,
    store: Place,
}

#[derive(Clone)]
enum Place {
    /// What the manifest grants.
    Granted(Arc<Slot>),
    /// Without a grant: this process's memory.
    Own(Store),
}

/// The stores of filters without a grant, by their prefixes: they outlive a version of the filter.
static OWN: LazyLock<Mutex<HashMap<Arc<str>, Store>>> = LazyLock::new(Mutex::default);

impl Data {
    /// # Errors
    ///
    /// What is wrong with the grant, for a person.
    pub fn of(code: &Code) -> Result<Self, String> {
        let prefix: Arc<str> = format!("/wasm/data/{}/{}/", code.app, code.spec.name).into();
        let store = match &code.spec.grants.keyvalue[..] {
            [] => {
                let mut all = OWN.lock().unwrap_or_else(PoisonError::into_inner);
                let store = all.entry(Arc::clone(&prefix)).or_insert_with(|| Store::new(Memory::default()));
                Place::Own(store.clone())
            }
            [grant] => {
                let slot = code.backends.keyvalue.get(&grant.store);
                let slot = slot.ok_or_else(|| format!("there is no key-value store `{}`", grant.store))?;
                Place::Granted(Arc::clone(slot))
            }
            _ => return Err("an Easegress filter has one store for its data; grant one only".to_owned()),
        };
        Ok(Data { prefix, store })
    }

    async fn store(&self) -> Result<Store, StoreError> {
        match &self.store {
            Place::Granted(slot) => slot.store().await,
            Place::Own(store) => Ok(store.clone()),
        }
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    pub(super) async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.store().await?.get(self.key(key)).await?.map(|entry| entry.value))
    }

    pub(super) async fn put(&self, key: &str, value: Vec<u8>) -> Result<(), StoreError> {
        self.store().await?.set(self.key(key), value).await
    }

    /// Adds in one step: what comes back is seen by nobody else.
    pub(super) async fn add_integer(&self, key: &str, more: i64) -> Result<i64, StoreError> {
        let store = self.store().await?;
        match store.increment(self.key(key), more).await {
            // What is no number counts as 0, which a store does not know.
            Err(StoreError::Other(_)) => {
                let add = |value: Option<&[u8]>| {
                    let sum = from_integer(value).wrapping_add(more);
                    (sum, sum.to_string())
                };
                self.change(key, add).await
            }
            result => result,
        }
    }

    pub(super) async fn add_float(&self, key: &str, more: f64) -> Result<f64, StoreError> {
        let add = |value: Option<&[u8]>| {
            let sum = from_float(value) + more;
            (sum, float(sum))
        };
        self.change(key, add).await
    }

    /// Writes what becomes of a value, if nobody wrote another meanwhile; else tries again.
    async fn change<T>(
        &self,
        key: &str,
        change: impl Fn(Option<&[u8]>) -> (T, String),
    ) -> Result<T, StoreError> {
        let store = self.store().await?;
        for _ in 0..TRIES_MAX {
            let entry = store.get(self.key(key)).await?;
            let (result, text) = change(entry.as_ref().map(|entry| entry.value.as_slice()));
            let condition = entry.map_or(Condition::Absent, |entry| entry.unchanged());
            if store.set_if(self.key(key), text.into_bytes(), None, condition).await? {
                return Ok(result);
            }
            // Whoever was faster may be a task of this thread.
            tokio::task::yield_now().await;
        }
        Err(StoreError::Unavailable("too many change the same value".to_owned()))
    }

    pub(super) async fn count(&self, prefix: &str) -> Result<usize, StoreError> {
        let mut count = 0;
        self.pages(prefix, |keys| count += keys.len()).await?;
        Ok(count)
    }

    async fn pages(&self, prefix: &str, mut page: impl FnMut(Vec<String>)) -> Result<(), StoreError> {
        let (store, mut cursor) = (self.store().await?, None);
        loop {
            let query = Query { prefix: self.key(prefix), cursor, limit: PAGE_KEYS_MAX };
            let found = store.list(query).await?;
            page(found.keys);
            cursor = found.cursor;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }

    async fn keys(&self) -> Result<Vec<String>, StoreError> {
        let mut all = Vec::new();
        self.pages("", |keys| all.extend(keys)).await?;
        all.sort_unstable();
        all.dedup();
        Ok(all)
    }

    /// All that is kept, without the prefix.
    pub async fn list(&self) -> Result<BTreeMap<String, String>, StoreError> {
        let (store, keys) = (self.store().await?, self.keys().await?);
        if keys.len() > KEYS_MAX {
            return Err(StoreError::Other(format!("the filter has more than {KEYS_MAX} keys")));
        }
        let mut all = BTreeMap::new();
        for keys in keys.chunks(BATCH_KEYS_MAX) {
            let values = store.get_many(keys.to_vec()).await?;
            for (key, value) in keys.iter().zip(values) {
                let key = key.strip_prefix(&*self.prefix).unwrap_or(key);
                if let Some(value) = value {
                    all.insert(key.to_owned(), String::from_utf8_lossy(&value).into_owned());
                }
            }
        }
        Ok(all)
    }

    /// Puts values in, over those that are there; the others stay.
    pub async fn apply(&self, values: Vec<(String, String)>) -> Result<(), StoreError> {
        let store = self.store().await?;
        let values: Vec<_> =
            values.into_iter().map(|(key, value)| (self.key(&key), value.into_bytes())).collect();
        for values in values.chunks(BATCH_KEYS_MAX) {
            store.set_many(values.to_vec()).await?;
        }
        Ok(())
    }

    /// Removes all that is kept.
    pub async fn delete(&self) -> Result<(), StoreError> {
        let (store, keys) = (self.store().await?, self.keys().await?);
        for keys in keys.chunks(BATCH_KEYS_MAX) {
            store.delete_many(keys.to_vec()).await?;
        }
        Ok(())
    }
}

fn text(value: Option<&[u8]>) -> &str {
    value.and_then(|value| std::str::from_utf8(value).ok()).unwrap_or_default()
}

/// 0 for what is no number. Go reads `0x10` as well.
pub(super) fn from_integer(value: Option<&[u8]>) -> i64 {
    let text = text(value);
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => i64::from_str_radix(digits, 16).unwrap_or(0),
        None => text.parse().unwrap_or(0),
    }
}

pub(super) fn from_float(value: Option<&[u8]>) -> f64 {
    text(value).parse().unwrap_or(0.0)
}

pub(super) fn from_base64(value: Option<&[u8]>) -> Vec<u8> {
    value.and_then(|value| STANDARD.decode(value).ok()).unwrap_or_default()
}

/// As Go prints it: the shortest text, with an exponent for what is very large or very small.
pub(super) fn float(value: f64) -> String {
    let plain = value == 0.0 || !value.is_finite() || (1e-4..1e21).contains(&value.abs());
    if plain {
        return format!("{value}").replace("inf", "+Inf").replace("-+", "-");
    }
    let text = format!("{value:e}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
    format!("{digits}e{sign}{exponent:0>2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_go_does() {
        for (value, text) in [
            (0.0, "0"),
            (1.5, "1.5"),
            (-3.0, "-3"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (2.5e-5, "2.5e-05"),
            (1e-100, "1e-100"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(float(value), text);
            assert_eq!(from_float(Some(text.as_bytes())), value, "{text}");
        }
        for (text, value) in [("7", 7), ("-7", -7), ("0x10", 16), ("x", 0), ("", 0), ("1.5", 0)] {
            assert_eq!(from_integer(Some(text.as_bytes())), value, "{text}");
        }
        assert_eq!(from_integer(None), 0);
    }
}
