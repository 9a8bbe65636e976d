//! Code from elsewhere: before anything is loaded, what a manifest names as an image, a package or a file of the web is
//! brought here, and is a file from then on.

use super::announce::Loading;
use crate::fail::Fail;
use crate::manifest;
use futures::stream::{self, StreamExt};
use sampan_app::{App, Diagnostic, Outline, Remote, Severity};
use sampan_images::{FetchError, Progress, Settings};
use sampan_runtime::serve::Machine;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

/// Pieces of code that are fetched at once.
const FETCHES_MAX: usize = 4;

/// Whose code it is.
#[derive(Clone, Copy)]
enum Part {
    Component,
    Dependency,
    Filter,
    Canary,
}

/// Where the file with the code is to be written down.
struct Place<'a> {
    part: Part,
    name: &'a str,
    /// Of a dependency, which one.
    which: &'a str,
    remote: Remote,
    source: &'a mut PathBuf,
}

/// Brings all code of the apps here.
///
/// # Errors
/// All that cannot be had, each with its place in the manifest.
pub fn resolve(machine: &Machine, apps: &mut [App], progress: &Loading) -> Result<(), Fail> {
    let wanted: Vec<Remote> = {
        let mut all: Vec<_> = apps.iter_mut().flat_map(places).map(|place| place.remote).collect();
        let mut seen = HashSet::new();
        all.retain(|remote| seen.insert(remote.clone()));
        all
    };
    if wanted.is_empty() {
        return Ok(());
    }
    let settings = settings(progress)?;
    let fetches = wanted.into_iter().map(|remote| {
        let settings = settings.clone();
        async move {
            let code = sampan_images::fetch(&remote, &settings).await;
            (remote, code)
        }
    });
    let fetched: HashMap<Remote, Result<PathBuf, FetchError>> =
        machine.overflow.block_on(stream::iter(fetches).buffer_unordered(FETCHES_MAX).collect());
    let mut findings = Vec::new();
    for app in apps {
        // What is wrong has a place in the text as it is now.
        let (file, mut outline) = (app.manifest.clone(), None);
        for place in places(app) {
            match &fetched[&place.remote] {
                Ok(path) => place.source.clone_from(path),
                Err(error) => {
                    let outline = outline.get_or_insert_with(|| {
                        Outline::of(&std::fs::read_to_string(&file).unwrap_or_default())
                    });
                    findings.push(Diagnostic {
                        severity: Severity::Error,
                        message: format!("{}: {}: {error}", place.title(), place.remote),
                        file: file.clone(),
                        span: place.span(outline),
                        hidden: false,
                        help: Some(error.help().to_owned()),
                    });
                }
            }
        }
    }
    if findings.is_empty() { Ok(()) } else { Err(Fail::shown(manifest::rendered(&findings))) }
}

/// How code is fetched by this user, with a line for whatever takes time.
pub fn settings(progress: &Loading) -> Result<Settings, Fail> {
    let progress = progress.clone();
    let note = move |name: &str, step: Progress| progress.note_fetch(name, step);
    Settings::of_user(Arc::new(note)).ok_or_else(|| {
        Fail::new("there is no place for code from elsewhere")
            .help("set HOME, XDG_CACHE_HOME or SAMPAN_CACHE_DIR")
    })
}

/// All places of an app whose code is no file of the app.
fn places(app: &mut App) -> Vec<Place<'_>> {
    let mut all = Vec::new();
    for component in &mut app.components {
        if let Some(remote) = component.remote.clone() {
            let (name, source) = (component.name.as_str(), &mut component.source);
            all.push(Place { part: Part::Component, name, which: "", remote, source });
        }
        for dependency in &mut component.dependencies {
            let (name, which) = (component.name.as_str(), dependency.name.as_str());
            if let Some(remote) = dependency.remote.clone() {
                let source = &mut dependency.source;
                all.push(Place { part: Part::Dependency, name, which, remote, source });
            }
        }
    }
    for filter in app.filters.values_mut() {
        let name = filter.name.as_str();
        if let Some(remote) = filter.image.clone().map(Remote::Image) {
            all.push(Place { part: Part::Filter, name, which: "", remote, source: &mut filter.source });
        }
        if let Some(canary) = &mut filter.canary
            && let Some(remote) = canary.image.clone().map(Remote::Image)
        {
            let source = canary.source.get_or_insert_default();
            all.push(Place { part: Part::Canary, name, which: "", remote, source });
        }
    }
    all
}

impl Place<'_> {
    fn title(&self) -> String {
        match self.part {
            Part::Component => format!("component {}", self.name),
            Part::Dependency => format!("component {}, dependency {}", self.name, self.which),
            Part::Filter => format!("filter {}", self.name),
            Part::Canary => format!("the canary of filter {}", self.name),
        }
    }

    fn span(&self, outline: &Outline) -> Option<Range<usize>> {
        let spans = match self.part {
            Part::Component | Part::Dependency => &outline.components,
            Part::Filter => &outline.filters,
            Part::Canary => &outline.canaries,
        };
        spans.get(self.name).cloned()
    }
}
