//! What starts a guest: one place decides it from the manifest and the exports, one file for each way.

pub mod cgi;
pub mod http;
mod program;
pub mod server;
pub mod topic;

use crate::serve::{Ready, Unit, failure_response};
use ::http::{Request, StatusCode};
use sampan_app::ComponentKind;
use sampan_capabilities::Host;
use sampan_engine::{Code, Loaded};
use sampan_service::{Answer, Body, Depth, Handler};
use std::sync::Arc;
use std::time::Duration;
use wasmtime::Store;

/// What a request enters, and what is kept from one request to the next. Made when code is loaded, dropped
/// when it is unloaded.
pub enum Entry {
    /// It may take messages too.
    Http {
        http: Box<http::Entry>,
        messages: Option<topic::Entry>,
    },
    /// It takes messages, and answers no requests.
    Messages(topic::Entry),
    Cgi(cgi::Entry),
    Server(server::Entry),
}

impl Entry {
    /// Decides how a component is started, and proves that it can be.
    ///
    /// # Errors
    ///
    /// `UnknownImports`, or a sentence.
    pub(crate) fn of(loaded: Loaded, unit: &Unit) -> wasmtime::Result<Self> {
        match (&unit.component.kind, &loaded.code) {
            (None | Some(ComponentKind::Http), Code::Component(component)) => {
                let messages = topic::Entry::of(&loaded.engine, component)?;
                match (http::Entry::of(&loaded.engine, component)?, messages) {
                    (Some(http), messages) => Ok(Entry::Http { http: Box::new(http), messages }),
                    (None, Some(messages)) => Ok(Entry::Messages(messages)),
                    (None, None) => Err(wasmtime::format_err!(
                        "it exports no HTTP handler (wasi:http/incoming-handler or wasi:http/handler), and no handler of \
                         messages (wasi:messaging/incoming-handler or Spin's inbound-redis)"
                    )),
                }
            }
            (None | Some(ComponentKind::Http), Code::Module(_)) => Err(wasmtime::format_err!(
                "it is a module and not a component, so it does not answer HTTP requests by itself; if it is a CGI \
                 program, say `kind = \"cgi\"`"
            )),
            (Some(ComponentKind::Cgi(cgi)), _) => {
                cgi::Entry::of(&loaded, unit, cgi, &mut trial(&loaded, unit)?).map(Entry::Cgi)
            }
            (Some(ComponentKind::Server { port }), _) => {
                server::Entry::of(&loaded, *port, &mut trial(&loaded, unit)?).map(Entry::Server)
            }
        }
    }

    /// The handler of messages, if there is one.
    pub(crate) fn messages(&self) -> Option<&topic::Entry> {
        match self {
            Entry::Http { messages, .. } => messages.as_ref(),
            Entry::Messages(messages) => Some(messages),
            Entry::Cgi(_) | Entry::Server(_) => None,
        }
    }

    /// Whether an instance can serve several requests at once.
    pub(crate) fn is_concurrent(&self) -> bool {
        match self {
            Entry::Http { http, .. } => http.is_concurrent(),
            Entry::Messages(_) | Entry::Cgi(_) | Entry::Server(_) => false,
        }
    }

    /// Whether the code must not be unloaded although no request is under way.
    pub(crate) fn is_pinned(&self) -> bool {
        match self {
            Entry::Http { .. } | Entry::Messages(_) | Entry::Cgi(_) => false,
            Entry::Server(entry) => entry.is_started(),
        }
    }

    /// Drops instances that were not used for so long.
    pub(crate) fn drop_idle_instances(&self, idle: Duration) {
        match self {
            Entry::Http { http, .. } => http.drop_idle_instances(idle),
            // None is ever unused.
            Entry::Messages(_) | Entry::Cgi(_) | Entry::Server(_) => {}
        }
    }
}

/// A store as an instance gets it: to prove that its imports are answered and its grants can be honoured.
fn trial(loaded: &Loaded, unit: &Unit) -> wasmtime::Result<Store<Host>> {
    unit.store(&loaded.engine, unit.wasi()).map_err(|ended| wasmtime::format_err!("{}", ended.message()))
}

/// A component as whoever accepts requests sees it.
pub struct Served {
    pub unit: Arc<Unit>,
}

impl Handler for Served {
    fn handle(&self, request: Request<Body>) -> Answer<'_> {
        Box::pin(async move {
            // 1. Components may call each other in a circle.
            if request.extensions().get::<Depth>().is_some_and(|depth| depth.0 > Depth::MAX) {
                self.unit.metrics.refused("loop");
                return failure_response(StatusCode::LOOP_DETECTED);
            }

            // 2. The code: loaded at the first request where the manifest says so, or after it was unused.
            let ready = match self.unit.code().await {
                Ok(ready) => ready,
                Err(failure) => {
                    self.unit.metrics.failed("load");
                    self.unit.log(&failure.message);
                    return failure_response(StatusCode::SERVICE_UNAVAILABLE);
                }
            };

            // 3. A place among the requests that run.
            let place = match self.unit.admit().await {
                Ok(place) => place,
                Err(_) => return failure_response(StatusCode::SERVICE_UNAVAILABLE),
            };

            // 4. The way of this kind of guest.
            let unit = Arc::clone(&self.unit);
            match &ready.entry {
                Entry::Http { .. } => http::handle(unit, ready, request, place).await,
                Entry::Messages(_) => {
                    unit.log("it was asked for by HTTP, and exports a handler of messages only");
                    failure_response(StatusCode::NOT_FOUND)
                }
                // In boxes of their own: components are many, and fast.
                Entry::Cgi(_) => Box::pin(cgi::handle(unit, ready, request, place)).await,
                Entry::Server(_) => Box::pin(server::handle(unit, ready, request, place)).await,
            }
        })
    }
}

/// The entry of a loaded component, which must be of this kind: who asks was called for it.
pub(crate) fn http_entry(ready: &Ready) -> &http::Entry {
    match &ready.entry {
        Entry::Http { http, .. } => http,
        Entry::Messages(_) | Entry::Cgi(_) | Entry::Server(_) => {
            unreachable!("`Served::handle` sends each kind its own way")
        }
    }
}
