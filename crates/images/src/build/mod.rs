//! Images out of a Dockerfile, without a daemon: files are put into layers, and nothing is run.

mod app;
mod context;
mod copy;
mod files;
mod ignore;
mod instruction;
mod layer;
mod parse;
mod plan;
mod stage;
#[cfg(test)]
mod tests;
mod words;

pub use app::build_app;
pub use layer::forget_steps;

use crate::document::{Descriptor, MANIFEST};
use crate::images::{Image, Images, name};
use crate::rootfs::tree::TreeError;
use crate::rootfs::unpack::{Budget, UnpackError, unpack};
use crate::{Digest, ImageError, Platform, Reference};
use ignore::Ignore;
use parse::Wrong;
use sampan_app::{Diagnostic, Severity};
use serde_json::{Value, json};
use stage::Stage;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// What is built, and how.
pub struct BuildSettings<'a> {
    /// For messages, and beside which `NAME.dockerignore` may lie.
    pub dockerfile: PathBuf,
    pub text: String,
    /// The image gets these names.
    pub names: Vec<Reference>,
    /// `--build-arg`
    pub arguments: BTreeMap<String, String>,
    /// The stage to stop at; `None`: the last.
    pub target: Option<String>,
    pub platform: Platform,
    pub labels: BTreeMap<String, String>,
    /// Layers are made anew, whatever earlier builds made.
    pub no_cache: bool,
    /// Of everything in the image.
    pub epoch_s: u64,
    /// Brings an image here that the build needs.
    pub base: &'a Bring<'a>,
    pub observe: &'a dyn Fn(BuildEvent<'_>),
}

/// Brings an image here, for a platform if one is named.
pub type Bring<'a> = dyn Fn(&Reference, Option<&Platform>) -> Result<Image, ImageError> + 'a;

/// What happens in a build.
#[derive(Debug)]
pub enum BuildEvent<'a> {
    /// From 1, of so many.
    Step { number: usize, total: usize, text: &'a str },
    /// An earlier build has made the layer of this step.
    Cached { number: usize },
    /// Something is not as its writer may think.
    Warning(Diagnostic),
}

#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Of the Dockerfile.
    #[error("{}", .0.message)]
    Dockerfile(Box<Diagnostic>),
    #[error(transparent)]
    Image(#[from] ImageError),
}

impl BuildError {
    /// What to do next.
    pub fn help(&self) -> String {
        match self {
            BuildError::Dockerfile(diagnostic) => diagnostic.help.clone().unwrap_or_default(),
            BuildError::Image(error) => error.help(),
        }
    }
}

/// `SOURCE_DATE_EPOCH`, else 0: what an image says of its time must not depend on when it was built
/// (reproducible-builds.org/specs/source-date-epoch).
pub fn epoch_s() -> u64 {
    std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// A context that came as an archive (compressed or not), as a folder.
pub fn context_of(archive: impl Read, images: &Images) -> Result<tempfile::TempDir, ImageError> {
    let held = images.layout.folder("contexts")?;
    let folder = tempfile::tempdir_in(&held).map_err(|error| ImageError::io(&held, error))?;
    let wrong = |why: String| ImageError::Unpack { what: "the build context".to_owned(), why };
    let mut archive = crate::compression::plain(archive).map_err(|error| wrong(error.to_string()))?;
    let mut budget = Budget { bytes: images.limits.bytes_max, entries: images.limits.entries_max };
    unpack(&mut archive, folder.path(), &mut budget).map_err(|error| match error {
        UnpackError::Tree(TreeError::Io { error, .. }) => ImageError::io(folder.path(), error),
        other => wrong(other.to_string()),
    })?;
    // Whoever sends it wants it read to its end.
    io::copy(&mut archive.take(budget.bytes), &mut io::sink()).map_err(|error| wrong(error.to_string()))?;
    Ok(folder)
}

/// Builds an image of what a folder has. It may have files that it does not show (`.dockerignore`).
pub fn build(images: &Images, context: &Path, settings: &BuildSettings<'_>) -> Result<Image, BuildError> {
    let _held = images.layout.adding()?;
    let ignore = ignore_of(context, settings)?;
    let file = parse::parse(&settings.text).map_err(|wrong| settings.wrong(wrong))?;
    let plan = plan::plan(&file, settings)?;
    let mut build = stage::Build {
        images,
        context,
        ignore,
        settings,
        plan: &plan,
        done: BTreeMap::new(),
        number: 0,
        unpacked: Default::default(),
    };
    let stage = build.run()?;
    for (name, used) in &plan.arguments {
        if !used {
            (settings.observe)(BuildEvent::Warning(Diagnostic {
                severity: Severity::Warning,
                message: format!("the build argument `{name}` is not used"),
                file: settings.dockerfile.clone(),
                span: None,
                hidden: false,
                help: Some("declare it by ARG, or correct its name".to_owned()),
            }));
        }
    }
    Ok(finish(images, stage, settings)?)
}

impl BuildSettings<'_> {
    fn wrong(&self, wrong: Wrong) -> BuildError {
        BuildError::Dockerfile(Box::new(Diagnostic {
            severity: Severity::Error,
            message: wrong.what,
            file: self.dockerfile.clone(),
            span: Some(wrong.span),
            hidden: false,
            help: Some(wrong.help.to_owned()).filter(|help| !help.is_empty()),
        }))
    }
}

/// `Dockerfile.dockerignore` beside the Dockerfile, else `.dockerignore` in the context.
fn ignore_of(context: &Path, settings: &BuildSettings<'_>) -> Result<Ignore, ImageError> {
    let mut beside = settings.dockerfile.clone().into_os_string();
    beside.push(".dockerignore");
    for path in [PathBuf::from(beside), context.join(".dockerignore")] {
        // A context may be a stranger's, and the link lead anywhere.
        if fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_symlink()) {
            return Err(ImageError::Malformed(format!("{} is a link, and is not followed", path.display())));
        }
        match fs::read_to_string(&path) {
            Ok(text) => {
                let wrong = |what| ImageError::Malformed(format!("{}: {what}", path.display()));
                return Ignore::parse(&text).map_err(wrong);
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(error) => return Err(ImageError::io(&path, error)),
        }
    }
    Ok(Ignore::default())
}

/// Puts a stage down as an image.
fn finish(images: &Images, stage: Stage, settings: &BuildSettings<'_>) -> Result<Image, ImageError> {
    let Stage { mut config, layers, .. } = stage;
    if !settings.labels.is_empty() {
        let labels = stage::inner(&mut config).entry("Labels").or_insert_with(|| json!({}));
        if let Some(labels) = labels.as_object_mut() {
            labels.extend(
                settings.labels.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))),
            );
        }
    }
    let created =
        chrono::DateTime::from_timestamp(i64::try_from(settings.epoch_s).unwrap_or(0), 0).unwrap_or_default();
    let created = created.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    config.insert("created".to_owned(), created.into());
    let diff_ids: Vec<String> = layers.iter().map(|one| one.diff_id.to_string()).collect();
    config.insert("rootfs".to_owned(), json!({ "type": "layers", "diff_ids": diff_ids }));
    let config = Value::Object(config).to_string().into_bytes();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": images.layout.put(&config)?.to_string(),
            "size": config.len(),
        },
        "layers": layers.iter().map(|one| &one.layer).collect::<Vec<_>>(),
    });
    let manifest = manifest.to_string().into_bytes();
    keep(images, &manifest, &settings.names)
}

/// Names a manifest whose parts are all here.
fn keep(images: &Images, manifest: &[u8], names: &[Reference]) -> Result<Image, ImageError> {
    let digest: Digest = images.layout.put(manifest)?;
    images.layout.change(|entries| {
        let platform = images.image(&digest, &[])?.platform;
        let entry = Descriptor {
            media_type: MANIFEST.to_owned(),
            digest: digest.clone(),
            size: manifest.len() as u64,
            platform: Some(platform),
            annotations: BTreeMap::new(),
        };
        match names {
            [] => name(entries, entry, None),
            names => names.iter().for_each(|one| name(entries, entry.clone(), Some(one))),
        }
        images.image(&digest, entries)
    })
}
