//! The building blocks of one app, open.

use crate::plan::{Listed, Plan, Route};
use crate::pubsub::Pubsub;
use crate::topics::TopicRules;
use sampan_app::App;
use sampan_app::dapr::SecretScope;
use sampan_capabilities::bindings::Output;
use sampan_capabilities::bindings::component::{self as bindings, Binding, BindingDescription};
use sampan_capabilities::configuration::Configuration;
use sampan_capabilities::configuration::component::{self as configuration, ConfigurationDescription};
use sampan_capabilities::keyvalue::Slot;
use sampan_capabilities::lock::Lock;
use sampan_capabilities::lock::component::{self as lock, LockDescription};
use sampan_capabilities::messaging::component::Consumption;
use sampan_capabilities::secrets::Secrets;
use sampan_capabilities::{Backends, GrantError, Properties};
use std::collections::BTreeMap;
use std::sync::Arc;

/// By name. Stores and brokers of the manifest are here too.
#[derive(Default)]
pub struct Components {
    pub state: BTreeMap<String, Arc<Slot>>,
    pub pubsub: BTreeMap<String, Pubsub>,
    pub secrets: BTreeMap<String, SecretStore>,
    pub configuration: Configurations,
    pub locks: BTreeMap<String, Opened<LockDescription, Lock>>,
    /// What stands before an app's resources.
    pub lock_prefixes: BTreeMap<String, String>,
    pub outputs: BTreeMap<String, Output>,
    pub inputs: BTreeMap<String, (BindingDescription, Route)>,
    pub listed: Vec<Listed>,
}

/// By name.
pub type Configurations = BTreeMap<String, Opened<ConfigurationDescription, Configuration>>;

/// What stays open for the next version of the app, if that describes the same.
pub struct Opened<D, T> {
    description: D,
    pub store: Arc<T>,
}

pub struct SecretStore {
    pub secrets: Secrets,
    pub scope: SecretScope,
}

impl Components {
    /// Opens what the capabilities have not opened, nor `before`, the app's version before this one. Must be called
    /// inside the runtime in which drivers shall run.
    pub async fn open(
        app: &App,
        app_id: &str,
        plan: Plan,
        scopes: &[SecretScope],
        backends: &Backends,
        before: Option<&Components>,
    ) -> Result<Self, GrantError> {
        let mut components = Components { listed: plan.listed, ..Components::default() };
        for (name, description) in plan.configuration {
            let store = match kept(before.map(|before| &before.configuration), &name, &description) {
                Some(store) => store,
                None => Arc::new(configuration::open(&name, &description).await?),
            };
            components.configuration.insert(name, Opened { description, store });
        }
        for (name, (description, prefix)) in plan.locks {
            let store = match kept(before.map(|before| &before.locks), &name, &description) {
                Some(store) => store,
                None => Arc::new(lock::open(&name, &description).await?),
            };
            components.locks.insert(name.clone(), Opened { description, store });
            components.lock_prefixes.insert(name, prefix);
        }
        for (name, description) in &plan.outputs {
            if let Binding::Output(output) = bindings::open(name, description).await? {
                components.outputs.insert(name.clone(), output);
            }
        }
        components.inputs = plan.inputs;
        components.secrets =
            plan.secrets.into_iter().map(|(name, secrets)| with_scope(name, secrets, scopes)).collect();
        components.state = backends.keyvalue.clone();
        let mut brokers = plan.brokers;
        for (name, slot) in &backends.messaging {
            let (properties, consumption) =
                brokers.remove(name).unwrap_or_else(|| (Properties::default(), consumption(app_id)));
            let pubsub = Pubsub {
                slot: Arc::clone(slot),
                rules: TopicRules::new(app_id, |name| properties.text(name)),
                kind: "pubsub".to_owned(),
                consumption,
            };
            components.pubsub.insert(name.clone(), pubsub);
        }
        components.list_manifest(app);
        Ok(components)
    }

    /// Adds what the manifest declares, and what each store can do.
    fn list_manifest(&mut self, app: &App) {
        let names = |listed: &[Listed], name: &String| listed.iter().any(|one| one.name == *name);
        for name in app.keyvalue.keys().filter(|name| !names(&self.listed, name)).collect::<Vec<_>>() {
            self.listed.push(manifest_component(name, "state.sampan"));
        }
        for name in app.messaging.keys().filter(|name| !names(&self.listed, name)).collect::<Vec<_>>() {
            self.listed.push(manifest_component(name, "pubsub.sampan"));
        }
        for one in &mut self.listed {
            // What is not open yet says nothing of itself.
            let features = self.state.get(&one.name).and_then(|slot| slot.features());
            let Some(features) = features else { continue };
            let all = [
                (features.versions, "ETAG"),
                (features.transactions, "TRANSACTIONAL"),
                (features.ttl, "TTL"),
                (features.query, "QUERY_API"),
            ];
            one.capabilities.extend(all.iter().filter(|(has, _)| *has).map(|(_, name)| *name));
        }
        for one in &self.listed {
            if let Some(pubsub) = self.pubsub.get_mut(&one.name) {
                pubsub.kind.clone_from(&one.kind);
            }
        }
    }
}

/// The store of that name, if it is the same.
fn kept<D: PartialEq, T>(
    before: Option<&BTreeMap<String, Opened<D, T>>>,
    name: &str,
    description: &D,
) -> Option<Arc<T>> {
    let opened = before?.get(name).filter(|opened| opened.description == *description)?;
    Some(Arc::clone(&opened.store))
}

/// Of a broker that the manifest declares.
fn consumption(app_id: &str) -> Consumption {
    Consumption { group: app_id.to_owned(), concurrency: 10, in_flight_max: 100 }
}

fn manifest_component(name: &str, kind: &str) -> Listed {
    Listed {
        name: name.to_owned(),
        kind: kind.to_owned(),
        version: "v1".to_owned(),
        capabilities: Vec::new(),
    }
}

fn with_scope(name: String, secrets: Secrets, scopes: &[SecretScope]) -> (String, SecretStore) {
    let scope = scopes.iter().find(|scope| scope.store == name).cloned();
    let everything =
        || SecretScope { store: name.clone(), default_allow: true, allowed: Vec::new(), denied: Vec::new() };
    let scope = scope.unwrap_or_else(everything);
    (name, SecretStore { secrets, scope })
}
