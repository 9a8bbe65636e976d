//! The containers of one shim.

use crate::container::{Container, Shared};
use crate::fail::{Fail, Result};
use containerd_shim_protos::ttrpc::Code;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

pub struct Pod {
    pub shared: Arc<Shared>,
    /// None is a container that is being made.
    containers: Mutex<HashMap<String, Option<Arc<Container>>>>,
    /// The server may end.
    pub ending: Notify,
}

/// Of one pod; Kubernetes has far fewer.
const CONTAINERS_MAX: usize = 1024;

impl Pod {
    pub fn new(shared: Shared) -> Self {
        Pod { shared: Arc::new(shared), containers: Mutex::default(), ending: Notify::new() }
    }

    /// Takes a name, for the time in which the container is made.
    pub fn reserve(&self, id: &str) -> Result<()> {
        let mut containers = self.lock();
        if containers.contains_key(id) {
            return Err(Fail::new(Code::ALREADY_EXISTS, format!("container {id} exists already")));
        }
        if containers.len() >= CONTAINERS_MAX {
            return Err(Fail::new(
                Code::RESOURCE_EXHAUSTED,
                format!("the pod has {CONTAINERS_MAX} containers"),
            ));
        }
        containers.insert(id.to_owned(), None);
        Ok(())
    }

    pub fn keep(&self, container: Arc<Container>) {
        self.lock().insert(container.id.clone(), Some(container));
    }

    pub fn forget(&self, id: &str) {
        self.lock().remove(id);
    }

    pub fn get(&self, id: &str) -> Result<Arc<Container>> {
        let found = self.lock().get(id).cloned().flatten();
        found.ok_or_else(|| Fail::not_found(format!("container {id} does not exist")))
    }

    /// Ends the server, if there is no container.
    pub fn end_if_empty(&self) {
        if self.lock().is_empty() {
            self.ending.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Option<Arc<Container>>>> {
        self.containers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
