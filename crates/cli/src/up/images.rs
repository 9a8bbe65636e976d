//! Images: before anything is loaded, the code that a manifest names by reference is brought here, and is a file
//! from then on.

use super::announce::Loading;
use crate::fail::Fail;
use crate::manifest;
use futures::stream::{self, StreamExt};
use sampan_app::{App, Diagnostic, Outline, Reference, Severity};
use sampan_images::{Progress, PullError, Settings};
use sampan_runtime::serve::Machine;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

/// Images that are pulled at once.
const PULLS_MAX: usize = 4;

/// Whose code it is.
#[derive(Clone, Copy)]
enum Part {
    Component,
    Filter,
    Canary,
}

/// Where the code that a reference means is to be written down.
struct Place<'a> {
    part: Part,
    name: &'a str,
    reference: Reference,
    source: &'a mut PathBuf,
}

/// Brings all images of the apps here.
///
/// # Errors
/// All that cannot be had, each with its place in the manifest.
pub fn resolve(machine: &Machine, apps: &mut [App], progress: &Loading) -> Result<(), Fail> {
    let wanted: Vec<Reference> = {
        let mut all: Vec<_> = apps.iter_mut().flat_map(places).map(|place| place.reference).collect();
        let mut seen = HashSet::new();
        all.retain(|reference| seen.insert(reference.clone()));
        all
    };
    if wanted.is_empty() {
        return Ok(());
    }
    let settings = settings(progress)?;
    let pulls = wanted.into_iter().map(|reference| {
        let settings = settings.clone();
        async move {
            let code = sampan_images::code(&reference, &settings).await;
            (reference, code)
        }
    });
    let pulled: HashMap<Reference, Result<PathBuf, PullError>> =
        machine.overflow.block_on(stream::iter(pulls).buffer_unordered(PULLS_MAX).collect());
    let mut findings = Vec::new();
    for app in apps {
        // What is wrong has a place in the text as it is now.
        let (file, mut outline) = (app.manifest.clone(), None);
        for place in places(app) {
            match &pulled[&place.reference] {
                Ok(path) => place.source.clone_from(path),
                Err(error) => {
                    let outline = outline.get_or_insert_with(|| {
                        Outline::of(&std::fs::read_to_string(&file).unwrap_or_default())
                    });
                    findings.push(Diagnostic {
                        severity: Severity::Error,
                        message: format!("{}: image {}: {error}", place.title(), place.reference),
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

/// How images are pulled by this user, with a line for whatever takes time.
pub fn settings(progress: &Loading) -> Result<Settings, Fail> {
    let progress = progress.clone();
    let note = move |reference: &Reference, step: Progress| progress.note_image(&reference.to_string(), step);
    Settings::of_user(Arc::new(note)).ok_or_else(|| {
        Fail::new("there is no place for images").help("set HOME, XDG_CACHE_HOME or SAMPAN_CACHE_DIR")
    })
}

/// All places of an app with an image.
fn places(app: &mut App) -> Vec<Place<'_>> {
    let mut all = Vec::new();
    for component in &mut app.components {
        if let Some(reference) = component.image.clone() {
            let (name, source) = (component.name.as_str(), &mut component.source);
            all.push(Place { part: Part::Component, name, reference, source });
        }
    }
    for filter in app.filters.values_mut() {
        let name = filter.name.as_str();
        if let Some(reference) = filter.image.clone() {
            all.push(Place { part: Part::Filter, name, reference, source: &mut filter.source });
        }
        if let Some(canary) = &mut filter.canary
            && let Some(reference) = canary.image.clone()
        {
            let source = canary.source.get_or_insert_default();
            all.push(Place { part: Part::Canary, name, reference, source });
        }
    }
    all
}

impl Place<'_> {
    fn title(&self) -> String {
        match self.part {
            Part::Component => format!("component {}", self.name),
            Part::Filter => format!("filter {}", self.name),
            Part::Canary => format!("the canary of filter {}", self.name),
        }
    }

    fn span(&self, outline: &Outline) -> Option<Range<usize>> {
        let spans = match self.part {
            Part::Component => &outline.components,
            Part::Filter => &outline.filters,
            Part::Canary => &outline.canaries,
        };
        spans.get(self.name).cloned()
    }
}
