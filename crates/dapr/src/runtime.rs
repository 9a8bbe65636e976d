//! One app's Dapr: its building blocks, the app itself, and what callers may do.

use crate::app::App;
use crate::components::Components;
use crate::error::Problem;
use crate::invoke::Peers;
use crate::offer::Offer;
use crate::policies::{Guarded, Policies};
use crate::subscriptions::{Running, Source, Subscription};
use crate::watches::Watches;
use http::{HeaderMap, StatusCode};
use sampan_app::Secret;
use sampan_app::dapr::{AccessControl, HttpEndpoint};
use sampan_capabilities::http::Door;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::runtime::Handle;
use tonic::Code;

/// Names that clients may give to the app.
const EXTENDED_MAX: usize = 1000;
/// A name with its text.
const EXTENDED_BYTES_MAX: usize = 64 << 10;

/// What an app's Dapr is made of.
pub struct Setup {
    pub app_id: String,
    /// What callers over a socket must show.
    pub token: Option<Secret>,
    pub body_bytes_max: usize,
    pub components: Components,
    pub app: App,
    pub peers: Arc<Peers>,
    pub policies: Policies,
    /// Who may invoke the app; `None`: everybody.
    pub access: Option<AccessControl>,
    /// What of the API there is.
    pub offer: Offer,
    /// Hosts elsewhere by name.
    pub endpoints: Vec<HttpEndpoint>,
    /// The way to them.
    pub door: Door,
    /// Where what goes on beside calls runs.
    pub runtime: Handle,
    /// Where what went wrong beside calls is said.
    pub note: Note,
    /// What a client's wish that the process ends comes to.
    pub on_shutdown: Box<dyn Fn() + Send + Sync>,
    /// Those of the app's version before this one, if there is one.
    pub watches: Arc<Watches>,
}

/// Says a line to whoever runs the process.
pub type Note = Arc<dyn Fn(&str) + Send + Sync>;

pub struct Dapr {
    setup: Setup,
    extended: Mutex<BTreeMap<String, String>>,
    pub(crate) running: Running,
}

impl std::ops::Deref for Dapr {
    type Target = Setup;

    fn deref(&self) -> &Setup {
        &self.setup
    }
}

impl Dapr {
    pub fn new(setup: Setup) -> Arc<Self> {
        let extended = BTreeMap::from([("daprRuntimeVersion".to_owned(), VERSION.to_owned())]);
        Arc::new(Dapr { setup, extended: Mutex::new(extended), running: Running::default() })
    }

    pub fn app_id(&self) -> &str {
        &self.setup.app_id
    }

    pub fn body_bytes_max(&self) -> usize {
        self.setup.body_bytes_max
    }

    /// The version of Dapr whose API this is.
    pub fn version(&self) -> &'static str {
        VERSION
    }

    /// How calls to a component are made.
    pub fn outbound(&self, component: &str) -> Guarded<'_> {
        self.policies.outbound(component)
    }

    /// The address of a host elsewhere.
    pub fn endpoint(&self, name: &str) -> Option<&HttpEndpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.name == name)
    }

    pub fn subscriptions(&self) -> Vec<(Source, Arc<Subscription>)> {
        self.running.list()
    }

    /// The names and texts that clients gave to the app.
    pub fn extended(&self) -> BTreeMap<String, String> {
        self.lock_extended().clone()
    }

    pub fn extend(&self, name: String, text: String) -> Result<(), Problem> {
        let mut extended = self.lock_extended();
        let full = extended.len() >= EXTENDED_MAX && !extended.contains_key(&name);
        if full || name.len() + text.len() > EXTENDED_BYTES_MAX {
            let message = format!("metadata has at most {EXTENDED_MAX} names of {EXTENDED_BYTES_MAX} bytes");
            return Err(Problem::malformed(message));
        }
        extended.insert(name, text);
        Ok(())
    }

    fn lock_extended(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.extended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn note(&self, what: &str) {
        (self.setup.note)(&format!("app {}: {what}", self.setup.app_id));
    }

    pub fn shut_down(&self) {
        (self.setup.on_shutdown)();
    }

    /// Runs something beside the call.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let task = self.running.task();
        self.runtime.spawn(async move {
            work.await;
            drop(task);
        });
    }

    /// Takes no more events.
    pub fn stop(&self) {
        self.running.stop();
    }

    /// Resolves when all events that were taken are handled.
    pub async fn ended(&self) {
        self.running.ended().await;
    }
}

/// Clients that compare versions find those of the API that is answered here.
const VERSION: &str = "1.18.3";

/// Who calls.
#[derive(Clone, Debug, Default)]
pub enum Caller {
    /// Somebody at the port, who shows the token if there is one, and may do everything.
    #[default]
    Port,
    /// A guest, with what its grant `dapr` names.
    Guest(Arc<[String]>),
}

impl Caller {
    /// Whether the caller may use a component.
    pub fn check(&self, component: &str, what: &str) -> Result<(), Problem> {
        self.check_name(component, || format!("the {what} {component}"))
    }

    /// Whether the caller may invoke an app.
    pub fn check_app(&self, app: &str) -> Result<(), Problem> {
        match self {
            Caller::Port => Ok(()),
            Caller::Guest(_) => self.check_name(&format!("app:{app}"), || format!("the app {app}")),
        }
    }

    /// Whether the caller may do what is no component's.
    pub fn check_all(&self, what: &str) -> Result<(), Problem> {
        self.check_name("*", || what.to_owned())
    }

    fn check_name(&self, name: &str, shown: impl FnOnce() -> String) -> Result<(), Problem> {
        match self {
            Caller::Port => Ok(()),
            Caller::Guest(granted) if granted.iter().any(|one| one == "*" || one == name) => Ok(()),
            Caller::Guest(_) => Err(Problem::denied(&shown())),
        }
    }

    /// A guest is known without a token.
    pub fn has_token(&self, headers: &HeaderMap, dapr: &Dapr) -> bool {
        let Caller::Port = self else { return true };
        let Some(token) = &dapr.token else { return true };
        let shown = headers.get("dapr-api-token").map_or(&b""[..], |value| value.as_bytes());
        equal(shown, token.reveal().as_bytes())
    }
}

/// Takes the same time wherever the difference is.
fn equal(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}

/// The answer to a caller without the token.
pub fn no_token() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, Code::Unauthenticated, "ERR_UNAUTHENTICATED", "invalid api token")
}
