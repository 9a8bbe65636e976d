//! From a broker's description to an open one: at start, or at its first use where it is `lazy`.

use super::{BrokerError, Client, Memory};
use crate::GrantError;
use sampan_app::{MessagingBackend, MessagingStore};
use tokio::runtime::Handle;
use tokio::sync::OnceCell;

/// A broker of an app, open or to be opened.
pub struct Slot {
    name: String,
    backend: MessagingBackend,
    runtime: Handle,
    client: OnceCell<Client>,
}

impl Slot {
    /// Opens a broker unless it is lazy. Must be called inside the runtime in which its driver shall run.
    pub async fn open(name: &str, description: &MessagingStore) -> Result<Slot, GrantError> {
        let backend = description.backend.clone();
        let slot =
            Slot { name: name.to_owned(), backend, runtime: Handle::current(), client: OnceCell::new() };
        if !description.lazy {
            let client = slot.connect(true).await?;
            // Nobody else has seen the slot.
            let _ = slot.client.set(client);
        }
        Ok(slot)
    }

    /// Whether it is already what the description says.
    pub fn is(&self, description: &MessagingStore) -> bool {
        self.backend == description.backend
    }

    /// The broker; an error that may be gone the next time.
    pub async fn client(&self) -> Result<Client, BrokerError> {
        let opened = self.client.get_or_try_init(|| self.connect(false)).await;
        opened.cloned().map_err(|error| BrokerError::Unavailable(error.what))
    }

    async fn connect(&self, _check: bool) -> Result<Client, GrantError> {
        match &self.backend {
            MessagingBackend::Memory => Ok(Client::new(Memory::default())),
            _ => Err(self.error("this version has only memory", "write `type = \"memory\"`")),
        }
    }

    fn error(&self, why: &str, help: &str) -> GrantError {
        let what = format!("the broker `{}` cannot be opened: {why}", self.name);
        GrantError { what, help: Some(help.to_owned()) }
    }
}
