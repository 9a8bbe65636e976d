//! Which policy counts for which target: the one that a resource names for it, else the default of the most
//! specific name.

use super::Policy;
use super::breaker::{Breaker, Template};
use sampan_app::dapr::{BackOff, PolicyNames, Resiliency, RetryPolicy, StatusMatch, in_scope};
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
    timeouts: BTreeMap<String, Duration>,
    retries: BTreeMap<String, Arc<RetryPolicy>>,
    templates: BTreeMap<String, Arc<Template>>,
    apps: BTreeMap<String, PolicyNames>,
    components: BTreeMap<(String, Direction), PolicyNames>,
    component_breakers: Mutex<HashMap<String, [Option<Arc<Breaker>>; 2]>>,
    app_breakers: Mutex<AppBreakers>,
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
        let mut policies = Policies {
            timeouts: BTreeMap::new(),
            retries: built_in(),
            templates: BTreeMap::new(),
            apps: BTreeMap::new(),
            components: BTreeMap::new(),
            component_breakers: Mutex::default(),
            app_breakers: Mutex::default(),
        };
        for resource in resources.iter().filter(|resource| in_scope(&resource.scopes, app_id)) {
            policies.timeouts.extend(resource.timeouts.clone());
            for (name, retry) in &resource.retries {
                let mut retry = retry.clone();
                if name == SERVICE_RETRIES {
                    retry.grpc.get_or_insert(StatusMatch(SERVICE_STATUSES.to_vec()));
                    retry.http.get_or_insert_default();
                }
                policies.retries.insert(name.clone(), Arc::new(retry));
            }
            for (name, breaker) in &resource.breakers {
                let template = Template::new(breaker).map_err(|problem| PolicyError {
                    name: name.clone(),
                    problem,
                    file: resource.file.clone(),
                    line: resource.line,
                })?;
                policies.templates.insert(name.clone(), Arc::new(template));
            }
            policies.apps.extend(resource.apps.clone());
            for (name, target) in &resource.components {
                let target = target.clone();
                policies.components.insert((name.clone(), Direction::Inbound), target.inbound);
                policies.components.insert((name.clone(), Direction::Outbound), target.outbound);
            }
        }
        Ok(policies)
    }

    /// Of invocations: `endpoint` is what of the app is called, and has a breaker of its own.
    pub fn app(&self, app_id: &str, endpoint: &str) -> Policy {
        let names = match self.apps.get(app_id) {
            Some(names) => names,
            None => &self.defaults(&["App"]),
        };
        self.policy(names, |template| self.app_breaker(app_id, endpoint, template))
    }

    /// Whether a resource names policies for an app; else invocations have [`Policies::service_retries`] too.
    pub fn names_app(&self, app_id: &str) -> bool {
        self.apps.contains_key(app_id)
    }

    /// Of a component's calls.
    pub fn component(&self, name: &str, block: Block, direction: Direction) -> Policy {
        let found = self.components.get(&(name.to_owned(), direction));
        let names = match found {
            Some(names) => names,
            None => {
                let general = format!("Component{direction:?}");
                &self.defaults(&[&format!("{block:?}{general}"), &general, "Component"])
            }
        };
        self.policy(names, |template| self.component_breaker(name, direction, template))
    }

    /// Of invocations of another host: tried again where it cannot be reached.
    pub fn service_retries(&self) -> Policy {
        Policy { retry: self.retries.get(SERVICE_RETRIES).cloned(), ..Policy::default() }
    }

    /// Of opening components.
    pub fn initialization_retries(&self) -> Policy {
        Policy { retry: self.retries.get(INITIALIZATION_RETRIES).cloned(), ..Policy::default() }
    }

    fn policy(&self, names: &PolicyNames, breaker: impl Fn(&Arc<Template>) -> Arc<Breaker>) -> Policy {
        let template = names.breaker.as_ref().and_then(|name| self.templates.get(name));
        Policy {
            timeout: names.timeout.as_ref().and_then(|name| self.timeouts.get(name)).copied(),
            retry: names.retry.as_ref().and_then(|name| self.retries.get(name)).cloned(),
            breaker: template.map(breaker),
        }
    }

    /// The names of default policies that there are. `levels` go from the most specific to the least.
    fn defaults(&self, levels: &[&str]) -> PolicyNames {
        let find = |suffix: &str, exists: &dyn Fn(&str) -> bool| {
            let names = levels.iter().chain(&[""]).map(|level| format!("Default{level}{suffix}"));
            names.into_iter().find(|name| exists(name))
        };
        PolicyNames {
            timeout: find("TimeoutPolicy", &|name| self.timeouts.contains_key(name)),
            retry: find("RetryPolicy", &|name| self.retries.contains_key(name)),
            breaker: find("CircuitBreakerPolicy", &|name| self.templates.contains_key(name)),
        }
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
