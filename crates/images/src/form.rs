//! What an image is: layers of files, a wasm file in a registry, or an app of Spin; and what its files and its
//! configuration are then.
//!
//! - Images of files (opencontainers/image-spec, `config.md`, `layer.md`), also those whose manifest says
//!   `module.wasm.image/variant: compat` (solo-io/wasm, spec/spec-compat.md; crun, `docs/wasm-wasi-example.md`).
//! - Wasm as an artifact (tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact), and what came before it: see
//!   `module.rs`. runwasi's images have such layers beside a common configuration.
//! - Apps of Spin (spinframework/spin, `crates/oci/src/client.rs`): a locked app, components and files by digest.

use crate::blob::Hasher;
use crate::document::{Descriptor, Manifest};
use crate::module::MODULES;
use crate::{Digest, DigestAlgorithm, ImageError};
use oci_spec::image::{Arch, Config, ConfigBuilder, ImageConfiguration, ImageConfigurationBuilder, Os};
use serde_json::Value;

const CONFIGS: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];
pub const SPIN_APP: &str = "application/vnd.fermyon.spin.application.v1+config";
pub const SPIN_ARCHIVE: &str = "application/vnd.wasm.content.bundle.v1.tar+gzip";
/// runwasi's own, for components (containerd/runwasi, `docs/src/oci-decision-flow.md`).
const COMPONENT: &str = "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm";
/// What a file of an artifact is called there (image-spec, `annotations.md`).
const TITLE: &str = "org.opencontainers.image.title";
/// Of a file whose artifact gives it no name.
const FILE_NAME: &str = "module.wasm";
/// Marks an image of files whose program is wasm, whatever platform it names.
const VARIANT: &str = "module.wasm.image/variant";
/// As in Docker.
pub const LAYERS_MAX: usize = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Archives of files, on top of each other.
    Layers,
    /// Wasm files as they are.
    Wasm,
    /// `rootfs` has its manifest as `/spin.toml`; see `rootfs/spin.rs`.
    Spin,
}

/// What has to be done to have the files of an image.
#[derive(Clone, Debug)]
pub struct Plan {
    pub form: Form,
    pub config: ImageConfiguration,
    pub pieces: Vec<Piece>,
    /// Files that are the same have the same.
    pub root: Digest,
    /// Whether the configuration is that of an image, so that its digest is the image's.
    pub has_config: bool,
}

#[derive(Clone, Debug)]
pub enum Piece {
    /// An archive, and the digest of its plain bytes.
    Archive { layer: Descriptor, diff_id: Option<Digest> },
    /// One file, by its name in the root.
    File { layer: Descriptor, name: String },
    /// All layers of an app of Spin, and the one with the locked app.
    Spin { app: Descriptor, layers: Vec<Descriptor> },
}

/// The plan of a manifest with the bytes of its configuration.
pub fn plan(digest: &Digest, manifest: &Manifest, config: &[u8]) -> Result<Plan, ImageError> {
    let wrong = |what: String| Err(ImageError::Malformed(what));
    let Some(described) = &manifest.config else {
        return wrong("its manifest names no configuration".to_owned());
    };
    if manifest.layers.len() > LAYERS_MAX {
        return wrong(format!("it has more than {LAYERS_MAX} layers"));
    }
    let is_app = |one: &&Descriptor| one.media_type == SPIN_APP;
    if let Some(app) = manifest.layers.iter().chain([described]).find(is_app) {
        return Ok(spin(digest, manifest, app, config));
    }
    let has_config = CONFIGS.contains(&described.media_type.as_str());
    let (wasm, archives): (Vec<_>, Vec<_>) = manifest.layers.iter().partition(|one| is_wasm(one));
    if has_config {
        let config: ImageConfiguration = serde_json::from_slice(config)
            .map_err(|error| ImageError::Malformed(format!("its configuration is malformed: {error}")))?;
        if wasm.is_empty() {
            return layers(manifest, config);
        }
        return mixed(digest, &archives, &wasm, config);
    }
    match archives.as_slice() {
        [] if !wasm.is_empty() => artifact(digest, &wasm, config),
        // An archive that a tool for artifacts has pushed.
        [archive] if wasm.is_empty() && is_archive(archive) => {
            let config = configuration("wasi", None, Config::default());
            let pieces = vec![Piece::Archive { layer: (*archive).clone(), diff_id: None }];
            Ok(Plan { form: Form::Layers, config, pieces, root: digest.clone(), has_config: false })
        }
        _ => {
            let kinds: Vec<&str> = archives.iter().map(|one| one.media_type.as_str()).collect();
            wrong(format!(
                "it is no image of files or wasm, but has {} with {:?}",
                described.media_type, kinds
            ))
        }
    }
}

/// Whether it has files that are no archives: wasm files, or an app of Spin.
pub fn has_artifact(manifest: &Manifest) -> bool {
    let is_app = |one: &Descriptor| one.media_type == SPIN_APP;
    manifest.layers.iter().any(|one| is_wasm(one) || is_app(one))
        || manifest.config.as_ref().is_some_and(is_app)
}

impl Piece {
    /// The layers that it is made of.
    pub fn layers(&self) -> Vec<&Descriptor> {
        match self {
            Piece::Archive { layer, .. } | Piece::File { layer, .. } => vec![layer],
            Piece::Spin { app, layers } => layers.iter().chain([app]).collect(),
        }
    }
}

fn is_wasm(layer: &Descriptor) -> bool {
    layer.media_type == COMPONENT || MODULES.contains(&layer.media_type.as_str())
}

/// OCI's and Docker's, plain or compressed; also those that are not to be pushed elsewhere.
pub fn is_archive(layer: &Descriptor) -> bool {
    let kind = layer.media_type.as_str();
    let kind = kind.split(['+', ';']).next().unwrap_or(kind);
    let kind = kind.trim_end_matches(".gzip").trim_end_matches(".zstd");
    matches!(
        kind,
        "application/vnd.oci.image.layer.v1.tar"
            | "application/vnd.oci.image.layer.nondistributable.v1.tar"
            | "application/vnd.docker.image.rootfs.diff.tar"
            | "application/vnd.docker.image.rootfs.foreign.diff.tar"
    )
}

fn layers(manifest: &Manifest, mut config: ImageConfiguration) -> Result<Plan, ImageError> {
    if let Some(other) = manifest.layers.iter().find(|one| !is_archive(one)) {
        return Err(ImageError::Malformed(format!(
            "it has a layer of an unknown kind: {:?}",
            other.media_type
        )));
    }
    let diff_ids = diff_ids(&config)?;
    if diff_ids.len() != manifest.layers.len() {
        return Err(ImageError::Malformed(format!(
            "it has {} layers, and its configuration tells of {}",
            manifest.layers.len(),
            diff_ids.len()
        )));
    }
    let root = chain(&diff_ids);
    let pieces = manifest.layers.iter().cloned().zip(diff_ids);
    let pieces = pieces.map(|(layer, diff_id)| Piece::Archive { layer, diff_id: Some(diff_id) }).collect();
    if is_compat(manifest) {
        // What Istio's and Envoy's images have, which say nothing of how to start it.
        let mut inner = config.config().clone().unwrap_or_default();
        if inner.entrypoint().as_ref().is_none_or(Vec::is_empty)
            && inner.cmd().as_ref().is_none_or(Vec::is_empty)
        {
            inner.set_entrypoint(Some(vec!["/plugin.wasm".to_owned()]));
            config.set_config(Some(inner));
        }
    }
    Ok(Plan { form: Form::Layers, config, pieces, root, has_config: true })
}

/// Whether the image says of itself that its program is wasm.
pub fn is_compat(manifest: &Manifest) -> bool {
    manifest.annotations.get(VARIANT).is_some_and(|one| one == "compat" || one == "compat-smart")
}

fn diff_ids(config: &ImageConfiguration) -> Result<Vec<Digest>, ImageError> {
    let parse = |text: &String| {
        let parsed: Result<Digest, _> = text.parse();
        parsed.map_err(|error| {
            ImageError::Malformed(format!("its configuration names a layer wrongly: {error}"))
        })
    };
    config.rootfs().diff_ids().iter().map(parse).collect()
}

/// The chain id of some layers (image-spec, `config.md`, Layer ChainID).
pub fn chain(diff_ids: &[Digest]) -> Digest {
    let mut all = diff_ids.iter();
    let Some(first) = all.next() else { return Hasher::digest(DigestAlgorithm::Sha256, b"") };
    all.fold(first.clone(), |below, next| {
        Hasher::digest(DigestAlgorithm::Sha256, format!("{below} {next}").as_bytes())
    })
}

/// Wasm files in the registry, and a configuration that says little.
fn artifact(digest: &Digest, wasm: &[&Descriptor], config: &[u8]) -> Result<Plan, ImageError> {
    let said: Value = serde_json::from_slice(config).unwrap_or_default();
    let text = |name: &str| said.get(name).and_then(Value::as_str);
    let os = text("os").filter(|os| os.starts_with("wasi")).unwrap_or("wasi");
    let config = configuration(os, text("created"), Config::default());
    mixed(digest, &[], wasm, config).map(|plan| Plan { has_config: false, ..plan })
}

/// Wasm files, and archives below them if there are any.
fn mixed(
    digest: &Digest,
    archives: &[&Descriptor],
    wasm: &[&Descriptor],
    mut config: ImageConfiguration,
) -> Result<Plan, ImageError> {
    // Some tools write digests for the archives only, some for all, and for artifacts there are none.
    let diff_ids = diff_ids(&config)?;
    let known = |at: usize| (diff_ids.len() == archives.len()).then(|| diff_ids.get(at).cloned()).flatten();
    let mut pieces = Vec::new();
    for (at, layer) in archives.iter().enumerate() {
        if !is_archive(layer) {
            let what = format!("it has a layer of an unknown kind: {:?}", layer.media_type);
            return Err(ImageError::Malformed(what));
        }
        pieces.push(Piece::Archive { layer: (*layer).clone(), diff_id: known(at) });
    }
    let mut inner = config.config().clone().unwrap_or_default();
    let entry = inner.entrypoint().as_ref().and_then(|entry| entry.first()).cloned();
    let entry =
        entry.as_deref().map(|entry| entry.trim_start_matches('/')).filter(|entry| is_file_name(entry));
    let mut names: Vec<String> = Vec::new();
    for (at, layer) in wasm.iter().enumerate() {
        let title = layer.annotations.get(TITLE).map(String::as_str).filter(|title| is_file_name(title));
        let name = match (title, entry) {
            (Some(title), _) => title.to_owned(),
            (None, Some(entry)) if wasm.len() == 1 => entry.to_owned(),
            (None, _) if wasm.len() == 1 => FILE_NAME.to_owned(),
            (None, _) => format!("module-{at}.wasm"),
        };
        if names.contains(&name) {
            return Err(ImageError::Malformed(format!("it has two wasm files with the name {name:?}")));
        }
        pieces.push(Piece::File { layer: (*layer).clone(), name: name.clone() });
        names.push(name);
    }
    // With two of them, only their maker can say which.
    if let [name] = names.as_slice()
        && entry != Some(name)
    {
        inner.set_entrypoint(Some(vec![format!("/{name}")]));
    }
    config.set_config(Some(inner));
    Ok(Plan { form: Form::Wasm, config, pieces, root: digest.clone(), has_config: true })
}

/// A name in the root, that nothing else could be meant by.
fn is_file_name(name: &str) -> bool {
    let is_plain = |one: char| one.is_ascii_alphanumeric() || matches!(one, '.' | '-' | '_' | '+');
    name.len() <= 200 && name.ends_with(".wasm") && !name.starts_with('.') && name.chars().all(is_plain)
}

fn spin(digest: &Digest, manifest: &Manifest, app: &Descriptor, config: &[u8]) -> Plan {
    // Since version 2.0 the configuration is that of an image, and the locked app a layer.
    let said: Option<ImageConfiguration> = serde_json::from_slice(config).ok();
    let has_config = manifest.config.as_ref().is_some_and(|one| one.media_type != SPIN_APP) && said.is_some();
    let inner =
        ConfigBuilder::default().entrypoint(vec!["/spin.toml".to_owned()]).build().unwrap_or_default();
    let mut config =
        said.filter(|_| has_config).unwrap_or_else(|| configuration("wasip1", None, Config::default()));
    let labels = config.config().as_ref().and_then(|config| config.labels().clone());
    config.set_config(Some(inner));
    if let Some(inner) = config.config().clone() {
        let mut inner = inner;
        inner.set_labels(labels);
        config.set_config(Some(inner));
    }
    let layers = manifest.layers.iter().filter(|one| one.media_type != SPIN_APP).cloned().collect();
    let pieces = vec![Piece::Spin { app: app.clone(), layers }];
    Plan { form: Form::Spin, config, pieces, root: digest.clone(), has_config }
}

fn configuration(os: &str, created: Option<&str>, inner: Config) -> ImageConfiguration {
    let builder = ImageConfigurationBuilder::default()
        .os(Os::Other(os.to_owned()))
        .architecture(Arch::Wasm)
        .config(inner);
    let builder = match created {
        Some(created) => builder.created(created.to_owned()),
        None => builder,
    };
    // All fields have defaults.
    builder.build().unwrap_or_default()
}
