//! Which policy counts for which target: the one that a resource names for it, else the default of the most
//! specific name.

use super::Policy;
use super::breaker::{Breaker, Template};
use sampan_app::dapr::{
    BackOff, ComponentTarget, PolicyNames, Resiliency, RetryPolicy, StatusMatch, in_scope,
};
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const SERVICE_RETRIES: &str = "DaprBuiltInServiceRetries";
const INITIALIZATION_RETRIES: &str = "DaprBuiltInInitializationRetries";
const BUILT_IN_RETRIES: u32 = 3;
/// gRPC's `UNAVAILABLE` and `UNAUTHENTICATED`, after which an invocation is tried again.
const SERVICE_STATUSES: [(u16, u16); 2] = [(14, 14), (16, 16)];
/// Breakers of apps, whose names and methods are a caller's choice.
const APP_BREAKERS_MAX: usize = 4096;

/// A building block, as the names of default policies have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Block {
    Binding,
    Configuration,
    Lock,
    Pubsub,
    Secretstore,
    Statestore,
}

impl Block {
    const ALL: [Block; 6] = [
        Block::Binding,
        Block::Configuration,
        Block::Lock,
        Block::Pubsub,
        Block::Secretstore,
        Block::Statestore,
    ];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// From the component to the app.
    Inbound,
    /// From the app to the component.
    Outbound,
}

/// A policy that cannot be put to work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the circuit breaker `{name}` in {file} (line {line}): {problem}", file = .file.display())]
pub struct PolicyError {
    pub name: String,
    pub problem: String,
    pub file: PathBuf,
    /// Of the resource, from 1.
    pub line: usize,
}

/// All policies, and the state of the breakers.
#[derive(Debug)]
pub struct Policies {
    service_retries: Policy,
    initialization_retries: Policy,
    apps: BTreeMap<String, Found>,
    app_default: Found,
    components: BTreeMap<String, [Found; 2]>,
    component_defaults: BTreeMap<(Block, Direction), Found>,
    component_breakers: Mutex<HashMap<String, [Option<Arc<Breaker>>; 2]>>,
    app_breakers: Mutex<AppBreakers>,
}

/// What the names of a target's policies mean.
#[derive(Debug, Default)]
struct Found {
    timeout: Option<Duration>,
    retry: Option<Arc<RetryPolicy>>,
    breaker: Option<Arc<Template>>,
}

/// Policies by their names.
#[derive(Default)]
struct Named {
    timeouts: BTreeMap<String, Duration>,
    retries: BTreeMap<String, Arc<RetryPolicy>>,
    breakers: BTreeMap<String, Arc<Template>>,
}

/// By app and by what of it is called.
#[derive(Debug, Default)]
struct AppBreakers {
    apps: HashMap<String, HashMap<String, (Arc<Breaker>, u64)>>,
    count: usize,
    /// Counts uses, so that the breaker that was not used for longest is known.
    uses: u64,
}

impl Policies {
    /// Those that are there for an app. Where two resources say the same name, the later counts.
    ///
    /// # Errors
    /// If a breaker's expression is none.
    pub fn new(resources: &[Resiliency], app_id: &str) -> Result<Self, PolicyError> {
        let mine = || resources.iter().filter(|resource| in_scope(&resource.scopes, app_id));
        let mut named = Named { retries: built_in(), ..Named::default() };
        for resource in mine() {
            named.add(resource)?;
        }
        let target = |target: &ComponentTarget| [named.find(&target.inbound), named.find(&target.outbound)];
        let apps = mine().flat_map(|one| &one.apps).map(|(name, of)| (name.clone(), named.find(of)));
        let components = mine().flat_map(|one| &one.components);
        let components = components.map(|(name, of)| (name.clone(), target(of)));
        let default = |block: Block, direction: Direction| {
            let general = format!("Component{direction:?}");
            let found = named.find_default(&[&format!("{block:?}{general}"), &general, "Component"]);
            ((block, direction), found)
        };
        let defaults = Block::ALL.into_iter().flat_map(|block| {
            [Direction::Inbound, Direction::Outbound].map(|direction| default(block, direction))
        });
        let retries = |name| Policy { retry: named.retries.get(name).cloned(), ..Policy::default() };
        Ok(Policies {
            service_retries: retries(SERVICE_RETRIES),
            initialization_retries: retries(INITIALIZATION_RETRIES),
            apps: apps.collect(),
            app_default: named.find_default(&["App"]),
            components: components.collect(),
            component_defaults: defaults.collect(),
            component_breakers: Mutex::default(),
            app_breakers: Mutex::default(),
        })
    }

    /// Of invocations: `endpoint` is what of the app is called, and has a breaker of its own.
    pub fn app(&self, app_id: &str, endpoint: &str) -> Policy {
        let found = self.apps.get(app_id).unwrap_or(&self.app_default);
        found.policy(|template| self.app_breaker(app_id, endpoint, template))
    }

    /// Whether a resource names policies for an app; else invocations have [`Policies::service_retries`] too.
    pub fn names_app(&self, app_id: &str) -> bool {
        self.apps.contains_key(app_id)
    }

    /// Of a component's calls.
    pub fn component(&self, name: &str, block: Block, direction: Direction) -> Policy {
        let found = self.components.get(name).map(|both| &both[direction as usize]);
        let found = found.or_else(|| self.component_defaults.get(&(block, direction)));
        let policy =
            |found: &Found| found.policy(|template| self.component_breaker(name, direction, template));
        found.map(policy).unwrap_or_default()
    }

    /// Of invocations of another host: tried again where it cannot be reached.
    pub fn service_retries(&self) -> &Policy {
        &self.service_retries
    }

    /// Of opening components.
    pub fn initialization_retries(&self) -> &Policy {
        &self.initialization_retries
    }

    /// How many breakers of apps there are.
    #[cfg(test)]
    pub(super) fn app_breakers(&self) -> usize {
        self.app_breakers.lock().unwrap_or_else(PoisonError::into_inner).count
    }

    fn component_breaker(&self, name: &str, direction: Direction, template: &Arc<Template>) -> Arc<Breaker> {
        let mut all = self.component_breakers.lock().unwrap_or_else(PoisonError::into_inner);
        if !all.contains_key(name) {
            all.insert(name.to_owned(), [None, None]);
        }
        let slot = all.get_mut(name).map(|both| &mut both[direction as usize]);
        let new = || Arc::new(Breaker::new(Arc::clone(template)));
        slot.map_or_else(new, |slot| Arc::clone(slot.get_or_insert_with(new)))
    }

    fn app_breaker(&self, app_id: &str, endpoint: &str, template: &Arc<Template>) -> Arc<Breaker> {
        let mut all = self.app_breakers.lock().unwrap_or_else(PoisonError::into_inner);
        all.uses += 1;
        let uses = all.uses;
        if let Some((breaker, used)) = all.apps.get_mut(app_id).and_then(|of| of.get_mut(endpoint)) {
            *used = uses;
            return Arc::clone(breaker);
        }
        if all.count >= APP_BREAKERS_MAX {
            all.drop_oldest();
        }
        let breaker = Arc::new(Breaker::new(Arc::clone(template)));
        let of = all.apps.entry(app_id.to_owned()).or_default();
        of.insert(endpoint.to_owned(), (Arc::clone(&breaker), uses));
        all.count += 1;
        breaker
    }
}

impl Found {
    fn policy(&self, breaker: impl Fn(&Arc<Template>) -> Arc<Breaker>) -> Policy {
        let breaker = self.breaker.as_ref().map(breaker);
        Policy { timeout: self.timeout, retry: self.retry.clone(), breaker }
    }
}

impl Named {
    fn add(&mut self, resource: &Resiliency) -> Result<(), PolicyError> {
        self.timeouts.extend(resource.timeouts.clone());
        for (name, retry) in &resource.retries {
            let mut retry = retry.clone();
            if name == SERVICE_RETRIES {
                retry.grpc.get_or_insert(StatusMatch(SERVICE_STATUSES.to_vec()));
                retry.http.get_or_insert_default();
            }
            self.retries.insert(name.clone(), Arc::new(retry));
        }
        for (name, breaker) in &resource.breakers {
            let template = Template::new(breaker).map_err(|problem| PolicyError {
                name: name.clone(),
                problem,
                file: resource.file.clone(),
                line: resource.line,
            })?;
            self.breakers.insert(name.clone(), Arc::new(template));
        }
        Ok(())
    }

    fn find(&self, names: &PolicyNames) -> Found {
        Found {
            timeout: names.timeout.as_ref().and_then(|name| self.timeouts.get(name)).copied(),
            retry: names.retry.as_ref().and_then(|name| self.retries.get(name)).cloned(),
            breaker: names.breaker.as_ref().and_then(|name| self.breakers.get(name)).cloned(),
        }
    }

    /// The default policies. `levels` go from the most specific to the least; each kind is looked up by itself.
    fn find_default(&self, levels: &[&str]) -> Found {
        let names = |suffix: &'static str| {
            levels.iter().chain(&[""]).map(move |level| format!("Default{level}{suffix}"))
        };
        Found {
            timeout: names("TimeoutPolicy").find_map(|name| self.timeouts.get(&name).copied()),
            retry: names("RetryPolicy").find_map(|name| self.retries.get(&name).cloned()),
            breaker: names("CircuitBreakerPolicy").find_map(|name| self.breakers.get(&name).cloned()),
        }
    }
}

impl AppBreakers {
    /// Drops the half that was not used for longest, so that this is done seldom.
    fn drop_oldest(&mut self) {
        let mut uses: Vec<u64> =
            self.apps.values().flat_map(|of| of.values().map(|(_, used)| *used)).collect();
        uses.sort_unstable();
        let Some(middle) = uses.get(uses.len() / 2).copied() else { return };
        self.apps.retain(|_, of| {
            of.retain(|_, (_, used)| *used > middle);
            !of.is_empty()
        });
        self.count = self.apps.values().map(HashMap::len).sum();
    }
}

/// What is there without being declared.
fn built_in() -> BTreeMap<String, Arc<RetryPolicy>> {
    let service = RetryPolicy {
        back_off: BackOff::Constant(Duration::from_secs(1)),
        retries_max: Some(BUILT_IN_RETRIES),
        // What an app has answered is its answer.
        http: Some(StatusMatch::default()),
        grpc: Some(StatusMatch(SERVICE_STATUSES.to_vec())),
    };
    let initialization = RetryPolicy {
        back_off: BackOff::Exponential { interval_max: Duration::from_secs(1) },
        retries_max: Some(BUILT_IN_RETRIES),
        ..RetryPolicy::default()
    };
    [(SERVICE_RETRIES, service), (INITIALIZATION_RETRIES, initialization)]
        .map(|(name, policy)| (name.to_owned(), Arc::new(policy)))
        .into()
}
