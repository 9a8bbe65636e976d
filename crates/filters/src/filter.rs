//! A filter of the manifest: the version that serves, perhaps one on trial, and how another takes over.
//!
//! A version is exchanged as a whole, after it was proven; exchanges that began with the one before end with it.

use crate::easegress::Data;
use crate::plugin::Plugin;
use crate::version::Version;
use arc_swap::{ArcSwap, ArcSwapOption};
use http::Request;
use sampan_app::Canary;
use sampan_service::{Answer, Body, Handler};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// One name, one filter: shared by all routes that use it.
#[derive(Clone)]
pub struct Filter(Arc<Inner>);

pub(crate) struct Inner {
    name: String,
    current: ArcSwap<Version>,
    trial: ArcSwapOption<Trial>,
}

/// A version that gets a share of the exchanges until it is withdrawn or takes over.
struct Trial {
    version: Arc<Version>,
    canary: Canary,
    /// Exchanges of the filter since it began; it wraps.
    seen: AtomicU32,
}

impl Filter {
    pub fn new(version: Arc<Version>, trial: Option<(Arc<Version>, Canary)>) -> Self {
        let trial = trial.map(|(version, canary)| Trial { version, canary, seen: AtomicU32::new(0) });
        Filter(Arc::new(Inner {
            name: version.code.spec.name.clone(),
            current: ArcSwap::new(version),
            trial: ArcSwapOption::new(trial.map(Arc::new)),
        }))
    }

    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The version that serves.
    pub fn current(&self) -> Arc<Version> {
        self.0.current.load_full()
    }

    /// What a filter of Easegress keeps; `None` for those of other kinds.
    pub fn data(&self) -> Option<Data> {
        match self.current().plugin(0) {
            Plugin::Easegress(plugin) => Some(plugin.data().clone()),
            _ => None,
        }
    }

    /// The version on trial.
    pub fn trial(&self) -> Option<Arc<Version>> {
        self.0.trial.load().as_ref().map(|trial| Arc::clone(&trial.version))
    }

    /// Another version takes over for all exchanges to come. It must have the same routes' configurations.
    pub fn replace(&self, version: Arc<Version>) {
        self.0.trial.store(None);
        self.0.current.store(version);
    }

    /// Another version gets a share of the exchanges to come.
    pub fn try_out(&self, version: Arc<Version>, canary: Canary) {
        self.0.trial.store(Some(Arc::new(Trial { version, canary, seen: AtomicU32::new(0) })));
    }

    /// Ends a trial; nothing happens where there is none.
    pub fn withdraw(&self) {
        self.0.trial.store(None);
    }
}

impl sampan_service::Filter for Filter {
    fn before(&self, next: Arc<dyn Handler>, config: Option<&str>) -> Result<Arc<dyn Handler>, String> {
        let (filter, config) = self.of(config)?;
        Ok(Arc::new(Before { filter, config, next }))
    }
}

impl Filter {
    /// What a route uses of it: the index of a configuration, its own being 0.
    pub(crate) fn of(&self, config: Option<&str>) -> Result<(Arc<Inner>, usize), String> {
        let version = self.0.current.load();
        let index = match config {
            None => 0,
            Some(config) => {
                1 + version.configs[1..].iter().position(|one| one == config).ok_or_else(|| {
                    format!("the filter `{}` was not loaded with this configuration", self.0.name)
                })?
            }
        };
        Ok((Arc::clone(&self.0), index))
    }
}

/// A filter in front of a handler.
struct Before {
    filter: Arc<Inner>,
    config: usize,
    next: Arc<dyn Handler>,
}

impl Handler for Before {
    fn handle(&self, request: Request<Body>) -> Answer<'_> {
        let plugin = self.filter.plugin(self.config);
        plugin.exchange(Arc::clone(&self.next), request)
    }
}

impl Inner {
    /// Of the version that serves.
    pub(crate) fn current(&self, config: usize) -> Plugin {
        self.current.load().plugin(config).clone()
    }

    /// Of the version that the next exchange gets.
    pub(crate) fn plugin(&self, config: usize) -> Plugin {
        match self.tried() {
            Some(version) => version.plugin(config).clone(),
            None => self.current(config),
        }
    }

    /// The version on trial, where this exchange is one of its share.
    fn tried(&self) -> Option<Arc<Version>> {
        let trial = self.trial.load();
        let trial = trial.as_ref()?;
        if trial.is_bad() {
            self.trial.store(None);
            trial.version.code.metrics.failed("canary_withdrawn");
            let (exchanges, failures) = trial.version.code.health.counts();
            trial.version.code.log(&format!(
                "the version on trial is withdrawn: {failures} of its {exchanges} exchanges failed"
            ));
            return None;
        }
        trial.is_next().then(|| Arc::clone(&trial.version))
    }
}

impl Trial {
    /// Spreads the share evenly: exchange n is the trial's where n × share passes a whole number.
    fn is_next(&self) -> bool {
        let share = u64::from(self.canary.share_per_10000);
        let n = u64::from(self.seen.fetch_add(1, Relaxed));
        (n + 1) * share / 10_000 > n * share / 10_000
    }

    fn is_bad(&self) -> bool {
        let (exchanges, failures) = self.version.code.health.counts();
        let bound = exchanges * u64::from(self.canary.failures_per_10000);
        // A version that cannot even begin has no exchanges to speak of.
        let enough = exchanges >= u64::from(self.canary.exchanges_min);
        enough && failures * 10_000 > bound
    }
}
