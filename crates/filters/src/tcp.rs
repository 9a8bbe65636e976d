//! Filters on TCP routes.

use crate::filter::{Filter, Inner};
use crate::plugin::Plugin;
use futures::future::BoxFuture;
use sampan_service::{Handshake, Peer, TcpEntry, TcpFilter, TcpPass};
use std::sync::Arc;

impl TcpFilter for Filter {
    fn configured(&self, config: Option<&str>) -> Result<Arc<dyn TcpEntry>, String> {
        let (filter, config) = self.of(config)?;
        match filter.current(config) {
            Plugin::ProxyWasm(_) => Ok(Arc::new(Entry { filter, config })),
            _ => Err(format!(
                "the filter `{}` is for HTTP; those of proxy-wasm can be for TCP too",
                self.name()
            )),
        }
    }
}

/// A filter on a route, with one configuration.
struct Entry {
    filter: Arc<Inner>,
    config: usize,
}

impl TcpEntry for Entry {
    fn connect(
        &self,
        peer: Peer,
        handshake: Option<Arc<Handshake>>,
    ) -> BoxFuture<'_, Option<Box<dyn TcpPass>>> {
        Box::pin(async move {
            match self.filter.plugin(self.config) {
                Plugin::ProxyWasm(plugin) => plugin.connection(peer, handshake).await,
                // An update has brought one of another kind.
                _ => None,
            }
        })
    }
}
