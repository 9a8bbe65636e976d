//! The files of an app of Spin in a registry (spinframework/spin, `crates/oci/src/client.rs` and `loader.rs`):
//!
//! - `/spin.toml`: the manifest, made of the locked app (`spin_toml.rs`).
//! - `/content/sha256/HEX`: what it names by digest: components, and files that are no assets of one.
//! - `/assets/COMPONENT/…`: the files of each component, under the names that it sees.

use super::unpack::{Budget, unpack};
use super::{Layer, drain, spin_toml};
use crate::blob::Hasher;
use crate::compression::plain;
use crate::document::Descriptor;
use crate::form::SPIN_ARCHIVE;
use crate::images::Images;
use crate::{Digest, DigestAlgorithm, ImageError};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A description, even with much content in it.
const APP_MAX_BYTES: u64 = 16 << 20;

/// A locked app, as far as it matters here (spinframework/spin, `crates/locked-app/src/locked.rs`).
#[derive(Deserialize)]
pub struct App {
    #[serde(default)]
    pub metadata: Map<String, Value>,
    #[serde(default)]
    pub variables: BTreeMap<String, Variable>,
    #[serde(default)]
    pub triggers: Vec<Trigger>,
    #[serde(default)]
    pub components: Vec<Component>,
}

#[derive(Deserialize)]
pub struct Variable {
    /// Without one, the variable must be set where the app runs.
    pub default: Option<String>,
    #[serde(default)]
    pub secret: bool,
}

#[derive(Deserialize)]
pub struct Trigger {
    #[serde(default)]
    pub id: String,
    pub trigger_type: String,
    pub trigger_config: Map<String, Value>,
}

#[derive(Deserialize)]
pub struct Component {
    pub id: String,
    #[serde(default)]
    pub metadata: Map<String, Value>,
    pub source: Content,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    #[serde(default)]
    pub files: Vec<File>,
    #[serde(default)]
    pub config: BTreeMap<String, String>,
    #[serde(default)]
    dependencies: Map<String, Value>,
    #[serde(default)]
    trigger_dependencies: Map<String, Value>,
}

#[derive(Deserialize)]
pub struct File {
    #[serde(flatten)]
    content: Content,
    path: String,
}

#[derive(Deserialize)]
pub struct Content {
    /// In base64: small content has no layer.
    inline: Option<String>,
    digest: Option<String>,
}

pub fn lay(
    images: &Images,
    app: &Descriptor,
    layers: &[Descriptor],
    root: &Path,
    budget: &mut Budget,
) -> Result<(), ImageError> {
    let text = images.layout.read(&app.digest, APP_MAX_BYTES)?;
    let read: App = serde_json::from_slice(&text)
        .map_err(|error| ImageError::Malformed(format!("its app of Spin is malformed: {error}")))?;
    let content = root.join("content/sha256");
    fs::create_dir_all(&content).map_err(|error| ImageError::io(&content, error))?;
    for layer in layers {
        let one = Layer { images, described: layer };
        if layer.media_type == SPIN_ARCHIVE {
            unpack_files(&one, root, &content, budget)?;
        } else if !content.join(&layer.digest.hex).exists() {
            one.file(&[b"content", b"sha256", layer.digest.hex.as_bytes()], root, budget)?;
        }
    }
    for component in &read.components {
        let folder = assets(root, &component.id)?;
        check_code(component, &content)?;
        for file in &component.files {
            asset(file, &folder, &content, budget)?;
        }
    }
    let manifest = spin_toml::manifest(&read, |component| match digest(&component.source) {
        Some(digest) => format!("content/sha256/{}", digest.hex),
        None => String::new(),
    });
    write(&root.join("spin.toml"), manifest.as_bytes())
}

fn digest(content: &Content) -> Option<Digest> {
    content.digest.as_ref()?.parse().ok()
}

/// Code is always a layer, also small one, and whole unless its maker kept it from being composed.
fn check_code(component: &Component, content: &Path) -> Result<(), ImageError> {
    let wrong = |what: &str| {
        Err(ImageError::Malformed(format!("its app of Spin has a component {:?} {what}", component.id)))
    };
    if !component.dependencies.is_empty() || !component.trigger_dependencies.is_empty() {
        return wrong("with dependencies beside it; push it without `--skip-compose`, so that it is whole");
    }
    match digest(&component.source) {
        Some(digest) if content.join(&digest.hex).exists() => Ok(()),
        _ => wrong("whose code is not in the image"),
    }
}

/// An archive's files, each under its digest, by which the app names it.
fn unpack_files(
    layer: &Layer<'_>,
    root: &Path,
    content: &Path,
    budget: &mut Budget,
) -> Result<(), ImageError> {
    let failed = |error| ImageError::io(root, error);
    let folder = tempfile::tempdir_in(root).map_err(failed)?;
    layer.check_whole()?;
    let file = layer.images.layout.open(&layer.described.digest)?;
    let mut archive = plain(file).map_err(|error| layer.wrong(&error))?;
    unpack(&mut archive, folder.path(), budget).map_err(|error| layer.wrong(&error))?;
    drain(&mut archive, &mut budget.bytes).map_err(|error| layer.wrong(&error))?;
    let mut folders = vec![folder.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let kind = entry.file_type().map_err(failed)?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                let digest = digest_of(&entry.path()).map_err(failed)?;
                fs::rename(entry.path(), content.join(digest.hex)).map_err(failed)?;
            }
        }
    }
    Ok(())
}

fn digest_of(path: &Path) -> io::Result<Digest> {
    let file = fs::File::open(path)?;
    let mut hashing = super::Hashing::new(file, DigestAlgorithm::Sha256);
    io::copy(&mut hashing, &mut io::sink())?;
    Ok(hashing.hasher.finish())
}

/// The folder of a component's files.
fn assets(root: &Path, id: &str) -> Result<PathBuf, ImageError> {
    let is_plain = |one: char| one.is_ascii_alphanumeric() || matches!(one, '-' | '_');
    if id.is_empty() || id.len() > 200 || !id.chars().all(is_plain) {
        return Err(ImageError::Malformed(format!("its app of Spin has a component that is called {id:?}")));
    }
    Ok(root.join("assets").join(id))
}

fn asset(file: &File, folder: &Path, content: &Path, budget: &mut Budget) -> Result<(), ImageError> {
    let wrong =
        |what: &str| Err(ImageError::Malformed(format!("its app of Spin has a file {:?} {what}", file.path)));
    let is_inside = |part: &str| !part.is_empty() && part != "." && part != "..";
    if file.path.len() > 4000 || file.path.contains('\0') || !file.path.split('/').all(is_inside) {
        return wrong("that would be elsewhere");
    }
    let path = folder.join(&file.path);
    let parent = path.parent().unwrap_or(folder);
    fs::create_dir_all(parent).map_err(|error| ImageError::io(parent, error))?;
    let Some(left) = budget.entries.checked_sub(1) else { return wrong("too many") };
    budget.entries = left;
    if let Some(inline) = &file.content.inline {
        let Ok(bytes) = STANDARD.decode(inline) else { return wrong("whose content is not base64") };
        return write(&path, &bytes);
    }
    let Some(digest) = digest(&file.content) else { return wrong("without content") };
    let from = content.join(&digest.hex);
    let Ok(found) = fs::metadata(&from) else { return wrong("whose content is not in the image") };
    let Some(left) = budget.bytes.checked_sub(found.len()) else { return wrong("too much") };
    budget.bytes = left;
    // Nobody may change either.
    fs::hard_link(&from, &path).map_err(|error| ImageError::io(&path, error))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), ImageError> {
    fs::write(path, bytes).map_err(|error| ImageError::io(path, error))
}

impl Layer<'_> {
    fn check_whole(&self) -> Result<(), ImageError> {
        let path = self.images.layout.path(&self.described.digest);
        let mut file = Hasher::new(self.described.digest.algorithm);
        let mut from = self.images.layout.open(&self.described.digest)?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            match io::Read::read(&mut from, &mut buffer).map_err(|error| ImageError::io(&path, error))? {
                0 => break,
                count => file.update(&buffer[..count]),
            }
        }
        self.check("the layer", &self.described.digest, file.finish())
    }
}
