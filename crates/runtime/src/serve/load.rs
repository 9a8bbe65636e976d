//! From an app to handlers: every component is compiled or mapped, linked and proven before it serves.

use super::budget::Budget;
use super::machine::Machine;
use super::unit::{Ready, Unit};
use crate::triggers::{self, Entry, Served};
use futures::StreamExt;
use sampan_app::{App, Broker, Component, Program, Target};
use sampan_capabilities::http::Local;
use sampan_capabilities::messaging::Receiver;
use sampan_capabilities::{Backends, GrantError, Prepared, UnknownImports};
use sampan_engine::{LoadError, Loader, Source};
use sampan_service::Handler;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Why a component cannot be served.
#[derive(Clone, Debug, thiserror::Error)]
#[error("component {component}: {message}")]
pub struct LoadFailure {
    pub component: String,
    pub message: String,
    pub help: Option<String>,
}

/// Said while an app is loaded. Called from several threads.
#[derive(Clone)]
pub struct Progress(Arc<Say>);

type Say = dyn Fn(&str, Step) + Send + Sync;

/// What happens to the component that is named beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    CompileBegins {
        bytes: usize,
    },
    CompileEnds,
    /// It is loaded and proven. `cached`: nothing was compiled.
    Ready {
        cached: bool,
        time: Duration,
    },
    /// Something worth telling that is no failure, in a sentence.
    Notice(String),
}

impl Progress {
    pub fn new(say: impl Fn(&str, Step) + Send + Sync + 'static) -> Self {
        Progress(Arc::new(say))
    }

    pub fn none() -> Self {
        Progress::new(|_, _| {})
    }
}

/// Components of one app that are loaded at once: each compilation uses all processors by itself.
const AT_ONCE: usize = 4;

/// As [`load_with`], for apps whose guests do not call the app's own routes.
pub async fn load(
    machine: &Arc<Machine>,
    app: &App,
    backends: &Backends,
    progress: &Progress,
) -> Result<HashMap<String, Arc<Served>>, Vec<LoadFailure>> {
    load_with(machine, app, backends, progress, &Arc::default()).await
}

/// Makes handlers for all components of an app, by name. Those that are `lazy` are loaded at their first
/// request; all others are proven now, so that an app that cannot serve is refused as a whole.
///
/// The components reach each other through `local`, where they are entered; whoever makes the app's routes
/// enters these too.
pub async fn load_with(
    machine: &Arc<Machine>,
    app: &App,
    backends: &Backends,
    progress: &Progress,
    local: &Arc<Local>,
) -> Result<HashMap<String, Arc<Served>>, Vec<LoadFailure>> {
    let memory =
        Budget::new(format!("app {}", app.name), app.memory_bytes, Some(Arc::clone(&machine.memory)));
    let mut failures = Vec::new();
    let mut units = Vec::new();
    for component in &app.components {
        match prepare(component, backends).map(|prepared| prepared.with_local(Arc::clone(local))) {
            Ok(prepared) => units.push(Unit::new(&app.name, component.clone(), machine, prepared, &memory)),
            Err(error) => failures.push(LoadFailure {
                component: component.name.clone(),
                message: error.what,
                help: error.help,
            }),
        }
    }
    let loads = units.iter().filter(|unit| !unit.component.lazy).map(|unit| async move {
        let ready = load_code(unit, progress).await?;
        check_use(app, unit, &ready.entry)?;
        unit.keep(&Arc::new(ready));
        Ok(())
    });
    let results: Vec<Result<(), LoadFailure>> =
        futures::stream::iter(loads).buffer_unordered(AT_ONCE).collect().await;
    failures.extend(results.into_iter().filter_map(Result::err));
    if !failures.is_empty() {
        failures.sort_by(|a, b| a.component.cmp(&b.component));
        return Err(failures);
    }
    Ok(units
        .into_iter()
        .map(|unit| {
            let name = unit.component.name.clone();
            let served = Arc::new(Served { unit });
            enter(local, &name, &served);
            (name, served)
        })
        .collect())
}

/// Makes a component reachable for those of its app, by requests and by messages.
pub fn enter(local: &Local, name: &str, served: &Arc<Served>) {
    let (handler, receiver): (Arc<dyn Handler>, Arc<dyn Receiver>) = (served.clone(), served.clone());
    local.set_component(name, &handler);
    local.set_receiver(name, &receiver);
}

/// Whether the component exports what the app's routes and triggers want of it.
fn check_use(app: &App, unit: &Unit, entry: &Entry) -> Result<(), LoadFailure> {
    let name = &unit.component.name;
    let is_target = |target: &Target| matches!(target, Target::Component(one) if one == name);
    let routed = app.routes.iter().any(|route| is_target(&route.to));
    let channel = app
        .topic_triggers
        .iter()
        .find(|trigger| trigger.component == *name && matches!(trigger.broker, Broker::RedisChannel { .. }));
    let lacks = match (entry, channel) {
        (Entry::Messages(_), _) if routed => {
            "a route leads to it, and it exports no HTTP handler (wasi:http/incoming-handler or wasi:http/handler)"
                .to_owned()
        }
        (entry, Some(channel)) if entry.messages().is_none() => format!(
            "the channel `{}` of Redis triggers it, and it exports no handler of messages (Spin's inbound-redis or \
             wasi:messaging/incoming-handler)",
            channel.topic
        ),
        _ => return Ok(()),
    };
    Err(LoadFailure { component: name.clone(), message: lacks, help: None })
}

fn prepare(component: &Component, backends: &Backends) -> Result<Prepared, GrantError> {
    let mut grants = component.grants.clone();
    triggers::server::grant_port(component, &mut grants);
    let program = Program { grants, limits: component.limits.clone(), ..Program::default() };
    Prepared::new(program, backends)
}

/// Loads and proves a component on the overflow runtime's blocking threads.
pub(crate) async fn load_code(unit: &Arc<Unit>, progress: &Progress) -> Result<Ready, LoadFailure> {
    let (clone, progress) = (Arc::clone(unit), progress.clone());
    let loading = unit.machine.overflow.spawn_blocking(move || load_blocking(&clone, &progress));
    loading.await.unwrap_or_else(|error| {
        Err(LoadFailure {
            component: unit.component.name.clone(),
            message: format!("loading it failed: {error}"),
            help: None,
        })
    })
}

fn load_blocking(unit: &Arc<Unit>, progress: &Progress) -> Result<Ready, LoadFailure> {
    let name = unit.component.name.as_str();
    let machine = &unit.machine;
    let say = |step| (progress.0)(name, step);
    let observe = |step| match step {
        sampan_engine::Progress::CompileBegins { bytes } => say(Step::CompileBegins { bytes }),
        sampan_engine::Progress::CompileEnds => say(Step::CompileEnds),
    };
    let loader = Loader {
        settings: &machine.engines.settings,
        cache: machine.cache.as_ref(),
        progress: &observe,
        trusted: &|| machine.trusted.clone(),
        engines: Some(&machine.engines),
    };
    let failed =
        |message: String, help: Option<String>| LoadFailure { component: name.to_owned(), message, help };
    let loaded = loader
        .load(&Source::File(unit.component.source.clone()))
        .map_err(|error| failed(error.to_string(), help(&error, unit)))?;
    for notice in &loaded.ignored {
        say(Step::Notice(notice.clone()));
    }
    if let Some(error) = &loaded.not_kept {
        say(Step::Notice(format!("the compiled code is not kept: {error}")));
    }
    let time = loaded.read_time + loaded.code_time;
    let cached = loaded.obtained == sampan_engine::Obtained::Cached;
    let engine = loaded.engine.clone();
    let entry = Entry::of(loaded, unit).map_err(|error| match error.downcast_ref::<UnknownImports>() {
        Some(unknown) => failed(unknown.to_string(), Some(unknown.help())),
        None => failed(format!("{error:#}"), None),
    })?;
    if unit.component.serving.concurrency > 1 && !entry.is_concurrent() {
        say(Step::Notice(
            "`concurrency` has no effect: only an HTTP handler of WASI 0.3 serves several requests at once"
                .into(),
        ));
    }
    say(Step::Ready { cached, time });
    Ok(Ready { engine, entry })
}

fn help(error: &LoadError, unit: &Unit) -> Option<String> {
    match error {
        LoadError::Read { error, .. } if error.kind() == std::io::ErrorKind::NotFound => {
            Some(match &unit.component.build {
                Some(_) => "build it first: sampan build".to_owned(),
                None => "check its `source` in the manifest".to_owned(),
            })
        }
        LoadError::Wasi03IsOff(_) => Some("switch WASI 0.3 on, or build it for WASI 0.2".to_owned()),
        LoadError::Wrap { error, .. } => Some(error.help().to_owned()),
        _ => None,
    }
}
