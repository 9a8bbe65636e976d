//! A whole app as an image: its manifest and the files that it names, in one layer. The entrypoint is the manifest.

use super::context::{Content, Entry, Found, Source};
use super::files::Files;
use super::layer::layer;
use super::stage::{Layer, Stage, inner};
use super::{BuildError, BuildEvent, BuildSettings, finish};
use crate::ImageError;
use crate::images::{Image, Images};
use sampan_app::{App, Target};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Says that an image is an app, and where its manifest is.
const LABEL: &str = "dev.sampan.manifest";

/// Packs an app, whose components are built already. Of the settings, names, labels, platform, time and cache count.
///
/// # Errors
/// If the manifest names a file that is not below its own folder, or not there.
pub fn build_app(images: &Images, app: &App, settings: &BuildSettings<'_>) -> Result<Image, BuildError> {
    let _held = images.layout.adding()?;
    let manifest =
        app.manifest.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let text = format!("APP {manifest}");
    (settings.observe)(BuildEvent::Step { number: 1, total: 1, text: &text });
    let mut files = Files::default();
    let entries = files.add(entries(images, app)?).map_err(ImageError::Malformed)?;
    let (step, cached) = layer(images, &entries, settings.epoch_s, settings.no_cache)?;
    if cached {
        (settings.observe)(BuildEvent::Cached { number: 1 });
    }
    let mut labels = json!({ LABEL: format!("/{manifest}"), "org.opencontainers.image.title": app.name });
    if !app.version.is_empty() {
        labels["org.opencontainers.image.version"] = app.version.as_str().into();
    }
    let mut config = Map::new();
    config.insert("architecture".to_owned(), settings.platform.architecture.as_str().into());
    config.insert("os".to_owned(), settings.platform.os.as_str().into());
    config.insert("history".to_owned(), json!([{ "created_by": text, "comment": "sampan build" }]));
    let its = inner(&mut config);
    its.insert("Entrypoint".to_owned(), json!([format!("/{manifest}")]));
    its.insert("WorkingDir".to_owned(), "/".into());
    its.insert("Labels".to_owned(), labels);
    let ports: Map<String, Value> =
        app.listen.iter().map(|listen| (format!("{}/tcp", listen.address.port()), json!({}))).collect();
    if !ports.is_empty() {
        its.insert("ExposedPorts".to_owned(), Value::Object(ports));
    }
    let diff_id = step.diff_id.parse();
    let diff_id = diff_id.map_err(|_| ImageError::Malformed("a step of the cache is damaged".to_owned()))?;
    let layers = vec![Layer { layer: step.layer, diff_id }];
    Ok(finish(images, Stage::of(config, layers), settings)?)
}

/// The manifest and everything that it names.
fn entries(images: &Images, app: &App) -> Result<Vec<Entry>, ImageError> {
    let source = Source {
        root: &app.root,
        ignore: None,
        entries_max: usize::try_from(images.limits.entries_max).unwrap_or(usize::MAX),
    };
    let mut entries = Vec::new();
    for path in paths(app) {
        let Ok(name) = path.strip_prefix(&app.root) else {
            let what = format!(
                "the app needs {}, which is not below its own folder {}",
                path.display(),
                app.root.display()
            );
            return Err(ImageError::Malformed(format!(
                "{what}: move it there, or leave it to `-v` of the container"
            )));
        };
        let name =
            name.to_str().ok_or_else(|| ImageError::Malformed(format!("{} is not UTF-8", path.display())))?;
        let name = name.trim_matches('/').to_owned();
        if path.is_dir() {
            if !name.is_empty() {
                entries.push(folder(name.clone()));
            }
            let found = Found { name: name.clone(), path, is_folder: true };
            source.folder(&found, &name, &mut entries).map_err(ImageError::Malformed)?;
        } else {
            entries.extend(source.entry(&path, name).map_err(ImageError::Malformed)?);
        }
    }
    // What it keeps while it runs is no part of it.
    let state = app.state.strip_prefix(&app.root).ok().and_then(Path::to_str).unwrap_or(".sampan").to_owned();
    let is_state =
        |path: &str| path == state || path.strip_prefix(&state).is_some_and(|rest| rest.starts_with('/'));
    entries.retain(|entry| !is_state(&entry.path));
    Ok(entries)
}

fn folder(path: String) -> Entry {
    Entry { path, content: Content::Folder, mode: 0o755, user: 0, group: 0 }
}

/// Code, files of guests, and folders that are served.
fn paths(app: &App) -> BTreeSet<PathBuf> {
    let mut all = BTreeSet::from([app.manifest.clone()]);
    for component in &app.components {
        all.extend(component.remote.is_none().then(|| component.source.clone()));
        let beside = component.dependencies.iter().filter(|one| one.remote.is_none());
        all.extend(beside.map(|dependency| dependency.source.clone()));
        all.extend(component.grants.mounts.iter().map(|mount| mount.host.clone()));
        all.extend(component.assets.iter().map(|asset| asset.source.clone()));
    }
    for filter in app.filters.values() {
        all.extend(filter.image.is_none().then(|| filter.source.clone()));
        all.extend(filter.grants.mounts.iter().map(|mount| mount.host.clone()));
        let canary = filter.canary.as_ref().filter(|canary| canary.image.is_none());
        all.extend(canary.and_then(|canary| canary.source.clone()));
    }
    if let Some(dapr) = &app.dapr {
        let resources = &dapr.resources;
        all.extend(resources.components.iter().map(|one| one.file.clone()));
        all.extend(resources.subscriptions.iter().map(|one| one.file.clone()));
        all.extend(resources.resiliency.iter().map(|one| one.file.clone()));
        all.extend(resources.configurations.iter().map(|one| one.file.clone()));
        all.extend(resources.endpoints.iter().map(|one| one.file.clone()));
    }
    for route in &app.routes {
        folders(&route.to, &mut all);
    }
    all
}

fn folders(target: &Target, all: &mut BTreeSet<PathBuf>) {
    match target {
        Target::Static(folder) => {
            all.insert(folder.folder.clone());
        }
        Target::Split(split) => split.targets.iter().for_each(|(target, _)| folders(target, all)),
        Target::Component(_) | Target::Upstream(_) | Target::Redirect { .. } | Target::Respond { .. } => {}
    }
}
