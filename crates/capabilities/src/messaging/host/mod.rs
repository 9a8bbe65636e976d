//! The interfaces that guests see.

mod wasi_messaging;

pub use wasi_messaging::{Handled, HeldMessage, MessagingRequestReplyPre, handle};

use super::{BrokerError, Client, Slot};
use crate::{Explain, Host};
use std::collections::BTreeMap;
use std::sync::Arc;
use wasmtime::Result;
use wasmtime::component::{HasSelf, Linker, ResourceTable};

/// Clients, messages and options that a guest may have at once.
const OPEN_MAX: usize = 1024;
/// What all messages of a guest may hold together, beside its own memory.
const HELD_BYTES_MAX: usize = 64 << 20;

/// A component's brokers: the guest's names for them.
pub type Granted = Arc<BTreeMap<String, Arc<Slot>>>;

/// The brokers of one guest.
pub struct Messaging {
    granted: Granted,
    explain: Explain,
    table: ResourceTable,
    /// Bytes of the messages in the table.
    held_bytes: usize,
}

/// A broker that a guest connected to; `None` after it has disconnected.
pub struct Connected(Option<Client>);

impl Default for Messaging {
    fn default() -> Self {
        Messaging::new(Granted::default(), &Explain::default())
    }
}

impl Messaging {
    pub fn new(granted: Granted, explain: &Explain) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(OPEN_MAX);
        Messaging { granted, explain: explain.clone(), table, held_bytes: 0 }
    }

    /// The broker of this name, if it was granted.
    fn find(&self, name: &str) -> Result<Arc<Slot>, BrokerError> {
        self.granted.get(name).cloned().ok_or_else(|| {
            self.explain.refused_name("connect to the broker", "messaging", name);
            BrokerError::AccessDenied
        })
    }
}

/// Defines the interface of this name (with its version, as the component spells it); `false` if it is none
/// of this capability's.
pub fn define(linker: &mut Linker<Host>, name: &str) -> Result<bool> {
    type Own = HasSelf<Messaging>;
    fn own(host: &mut Host) -> &mut Messaging {
        &mut host.messaging
    }
    match name {
        "wasi:messaging/types@0.2.0-draft" => wasi_messaging::types::add_to_linker::<_, Own>(linker, own)?,
        "wasi:messaging/producer@0.2.0-draft" => {
            wasi_messaging::producer::add_to_linker::<_, Own>(linker, own)?
        }
        "wasi:messaging/request-reply@0.2.0-draft" => {
            wasi_messaging::request_reply::add_to_linker::<_, Own>(linker, own)?;
        }
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
        let brokers = Messaging::new(Granted::default(), &explain);
        assert_eq!(brokers.find("events").err(), Some(BrokerError::AccessDenied));
        assert_eq!(brokers.find(&"x\u{1b}".repeat(1000)).err(), Some(BrokerError::AccessDenied));
        let said = explain.said();
        let grant = "grant it with messaging = [\"events\"] in the component's grant (sampan.toml)";
        assert_eq!(said[0], format!("refused: connect to the broker `events`; {grant}"));
        assert!(said[1].len() < 300 && !said[1].contains('\u{1b}'), "{}", said[1]);
    }
}
