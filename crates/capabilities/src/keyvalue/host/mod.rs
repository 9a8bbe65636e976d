//! The interfaces that guests see.

mod spin_v1;
mod spin_v2;
mod spin_v3;
mod wasi_keyvalue_draft;
mod wasi_keyvalue_draft2;

use super::{Condition, Entry, Slot, Store, StoreError};
use crate::{Explain, Host};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use wasmtime::Result;
use wasmtime::component::{HasSelf, Linker, ResourceTable};

/// Stores and swaps that a guest may have open at once.
const OPEN_MAX: usize = 256;
/// About so many keys are in a page that a guest gets.
const PAGE_KEYS: usize = 250;

/// A component's stores: the guest's names for them.
pub type Granted = Arc<BTreeMap<String, Arc<Slot>>>;

/// The key-value stores of one guest.
pub struct KeyValue {
    granted: Granted,
    explain: Explain,
    table: ResourceTable,
    /// Handles of the interface that has no resources.
    handles: HashMap<u32, Store>,
}

/// A store that a guest opened.
pub struct Bucket {
    store: Store,
    /// Where the last page ended, as the number that the guest got for it, and as what it stands for.
    page: Option<(u64, String)>,
}

/// A compare-and-swap that a guest began.
pub struct Swap {
    store: Store,
    key: String,
    seen: Option<Entry>,
}

impl Swap {
    async fn begin(store: Store, key: String) -> Result<Swap, StoreError> {
        let seen = store.get(key.clone()).await?;
        Ok(Swap { store, key, seen })
    }

    /// `false`: somebody else was faster.
    async fn finish(&self, value: Vec<u8>) -> Result<bool, StoreError> {
        let condition = self.seen.as_ref().map_or(Condition::Absent, Entry::unchanged);
        self.store.set_if(self.key.clone(), value, None, condition).await
    }
}

impl Default for KeyValue {
    fn default() -> Self {
        KeyValue::new(Granted::default(), &Explain::default())
    }
}

impl KeyValue {
    pub fn new(granted: Granted, explain: &Explain) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(OPEN_MAX);
        KeyValue { granted, explain: explain.clone(), table, handles: HashMap::new() }
    }

    /// The store of this name, if it was granted.
    fn find(&self, name: &str) -> Result<Arc<Slot>, StoreError> {
        self.granted.get(name).cloned().ok_or_else(|| {
            self.explain.refused_name("open the key-value store", "keyvalue", name);
            StoreError::AccessDenied
        })
    }
}

/// Defines the interface of this name (with its version, as the component spells it); `false` if it is none
/// of this capability's.
pub fn define(linker: &mut Linker<Host>, name: &str) -> Result<bool> {
    type Own = HasSelf<KeyValue>;
    fn own(host: &mut Host) -> &mut KeyValue {
        &mut host.keyvalue
    }
    match name {
        "wasi:keyvalue/store@0.2.0-draft" => {
            wasi_keyvalue_draft::store::add_to_linker::<_, Own>(linker, own)?;
        }
        "wasi:keyvalue/atomics@0.2.0-draft" => {
            wasi_keyvalue_draft::atomics::add_to_linker::<_, Own>(linker, own)?;
        }
        "wasi:keyvalue/batch@0.2.0-draft" => {
            wasi_keyvalue_draft::batch::add_to_linker::<_, Own>(linker, own)?;
        }
        "wasi:keyvalue/store@0.2.0-draft2" => {
            wasi_keyvalue_draft2::store::add_to_linker::<_, Own>(linker, own)?;
        }
        "wasi:keyvalue/atomics@0.2.0-draft2" => {
            wasi_keyvalue_draft2::atomics::add_to_linker::<_, Own>(linker, own)?;
        }
        "wasi:keyvalue/batch@0.2.0-draft2" => {
            wasi_keyvalue_draft2::batch::add_to_linker::<_, Own>(linker, own)?;
        }
        "fermyon:spin/key-value" => spin_v1::add_to_linker::<_, Own>(linker, own)?,
        "fermyon:spin/key-value@2.0.0" => spin_v2::add_to_linker::<_, Own>(linker, own)?,
        "spin:key-value/key-value@3.0.0" => spin_v3::add_to_linker::<_, Own>(linker, own)?,
        _ => return Ok(false),
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_grant() {
        let explain = Explain::new(true);
        let stores = KeyValue::new(Granted::default(), &explain);
        assert_eq!(stores.find("orders").err(), Some(StoreError::AccessDenied));
        assert_eq!(stores.find(&"x\u{1b}".repeat(1000)).err(), Some(StoreError::AccessDenied));
        let said = explain.said();
        let grant = "grant it with keyvalue = [\"orders\"] in the component's grant (sampan.toml)";
        assert_eq!(said[0], format!("refused: open the key-value store `orders`; {grant}"));
        assert!(said[1].len() < 300 && !said[1].contains('\u{1b}'), "{}", said[1]);
    }
}
