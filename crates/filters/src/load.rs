//! From an app to its filters: each is compiled or mapped, linked, and proven with every configuration that a
//! route gives it.

use crate::code::{Code, Destinations, Parts};
use crate::filter::Filter;
use crate::version::Version;
use bytes::Bytes;
use sampan_app::{App, Filter as Spec, Program, Reference};
use sampan_capabilities::{Backends, Prepared};
use sampan_engine::{Loader, Source};
use sampan_runtime::serve::{Budget, LoadFailure, Machine};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// The filters of an app by their names.
pub type Filters = BTreeMap<String, Filter>;

/// What all filters of an app share.
#[derive(Clone)]
pub struct Surroundings {
    pub app: Arc<str>,
    pub machine: Arc<Machine>,
    pub backends: Arc<Backends>,
    pub memory: Arc<Budget>,
    pub destinations: Arc<Destinations>,
}

/// Makes the filters that `wanted` names, or fails with everything that is wrong.
pub async fn load(
    surroundings: &Surroundings,
    app: &App,
    wanted: impl Fn(&str) -> bool,
) -> Result<Filters, Vec<LoadFailure>> {
    let (mut filters, mut failures) = (Filters::new(), Vec::new());
    for spec in app.filters.values().filter(|spec| wanted(&spec.name)) {
        match one(surroundings, spec, &configs(app, spec)).await {
            Ok(filter) => drop(filters.insert(spec.name.clone(), filter)),
            Err(failure) => failures.push(failure),
        }
    }
    if failures.is_empty() { Ok(filters) } else { Err(failures) }
}

/// Its own configuration, then those that routes give it, each once.
pub fn configs(app: &App, spec: &Spec) -> Vec<String> {
    let mut configs = vec![spec.config.clone()];
    let uses = app.routes.iter().flat_map(|route| &route.filters);
    let uses = uses.chain(app.tcp.iter().flat_map(|route| &route.filters));
    for config in uses.filter(|one| one.filter == spec.name).filter_map(|one| one.config.as_ref()) {
        if !configs[1..].contains(config) {
            configs.push(config.clone());
        }
    }
    configs
}

async fn one(surroundings: &Surroundings, spec: &Spec, configs: &[String]) -> Result<Filter, LoadFailure> {
    let current = version(surroundings, spec, (&spec.source, spec.image.as_ref()), configs.to_vec()).await?;
    let Some(canary) = &spec.canary else { return Ok(Filter::new(current, None)) };
    let mut configs = configs.to_vec();
    if let Some(config) = &canary.config {
        configs[0].clone_from(config);
    }
    let code = match &canary.source {
        Some(source) => (source, canary.image.as_ref()),
        None => (&spec.source, spec.image.as_ref()),
    };
    let trial = version(surroundings, spec, code, configs).await?;
    Ok(Filter::new(current, Some((trial, canary.clone()))))
}

async fn version(
    surroundings: &Surroundings,
    spec: &Spec,
    (source, image): (&PathBuf, Option<&Reference>),
    configs: Vec<String>,
) -> Result<Arc<Version>, LoadFailure> {
    let failed =
        |message: String, help: Option<String>| LoadFailure { component: spec.name.clone(), message, help };
    let wasm = std::fs::read(source).map_err(|error| {
        let help = match &spec.build {
            Some(_) => "build it first: sampan build",
            None => "check its `source` in the manifest",
        };
        failed(format!("cannot read {}: {error}", source.display()), Some(help.to_owned()))
    })?;
    // A person knows an image by its reference.
    let name = image.map_or_else(|| source.display().to_string(), Reference::to_string);
    prove(surroundings, spec, &name, wasm.into(), configs).await.map_err(|message| failed(message, None))
}

/// Compiles wasm, or finds it in the cache, and proves it as a version of a filter.
///
/// # Errors
///
/// Why it cannot serve, for a person.
pub async fn prove(
    surroundings: &Surroundings,
    spec: &Spec,
    name: &str,
    wasm: Bytes,
    configs: Vec<String>,
) -> Result<Arc<Version>, String> {
    let code = compile(surroundings, spec, name.to_owned(), wasm).await?;
    let time = spec.pause.max(std::time::Duration::from_secs(1));
    // A filter that never comes back from its configuration ends by its own limit of time; one that waits for
    // somebody, by this.
    let proven = tokio::time::timeout(time, Version::prove(code, configs)).await;
    proven.unwrap_or_else(|_| Err(format!("it was not ready within {time:?}")))
}

async fn compile(
    surroundings: &Surroundings,
    spec: &Spec,
    name: String,
    wasm: Bytes,
) -> Result<Arc<Code>, String> {
    let Surroundings { app, machine, backends, memory, destinations } = surroundings.clone();
    let spec = spec.clone();
    let grants = spec.grants.clone();
    let program = Program { grants, limits: spec.limits.clone(), ..Program::default() };
    let prepared = Prepared::new(program, &backends).map_err(|error| error.what)?;
    let overflow = machine.overflow.clone();
    let compiling = overflow.spawn_blocking(move || {
        let loader = Loader {
            settings: &machine.engines.settings,
            cache: machine.cache.as_ref(),
            progress: &|_| {},
            trusted: &|| machine.trusted.clone(),
            engines: Some(&machine.engines),
        };
        let source = Source::Bytes { name, bytes: wasm.to_vec() };
        let loaded = loader.load(&source).map_err(|error| error.to_string())?;
        let (engine, code) = (loaded.engine, loaded.code);
        let parts = Parts { app, spec, engine, code, wasm, prepared, backends, memory, destinations };
        Ok(Code::new(parts, machine))
    });
    compiling.await.unwrap_or_else(|error| Err(format!("compiling it failed: {error}")))
}
