//! Packages of WebAssembly in registries, as `wkg` finds them (github.com/bytecodealliance/wasm-pkg-tools: `README.md`,
//! `crates/wasm-pkg-client/src/lib.rs` and `src/oci`, `crates/wasm-pkg-common/src/config.rs` and `metadata.rs`).
//!
//! A registry of packages is a host. It says in a file where the packages are: in which registry of OCI images, and
//! below which name. Without that file it is that registry itself. The version is the tag.

use crate::client::{Ask, Client, Plain, is_this_machine};
use crate::registry::{self, Access, Registry};
use crate::{PullError, Reference, Settings, code};
use bytes::Bytes;
use http::header::HeaderMap;
use http::{Method, StatusCode};
use sampan_app::{Package, PackageVersion};
use semver::{Version, VersionReq};
use serde_json::Value;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};
use url::Url;

/// Where a registry says how it is asked (RFC 8615).
const WELL_KNOWN: &str = "/.well-known/wasm-pkg/registry.json";
/// The file is a handful of names.
const WELL_KNOWN_MAX_BYTES: usize = 64 << 10;
const CONFIG_MAX_BYTES: u64 = 1 << 20;
/// The one way to ask that is left: warg is no more.
const OCI: &str = "oci";
/// Registries of namespaces of which the configuration says nothing.
const FALLBACKS: [(&str, &str); 2] = [("wasi", "wasi.dev"), ("ba", "bytecodealliance.org")];

/// Why a package cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    #[error("no registry is known for packages of `{0}`")]
    NoRegistry(String),
    #[error("{}: {what}", path.display())]
    Config { path: PathBuf, what: String },
    #[error("{host}{WELL_KNOWN}: {what}")]
    Metadata { host: String, what: String },
    #[error("{repository} has no version that satisfies {requirement}")]
    NoVersion { repository: String, requirement: String },
    /// Of the registry of images, by the reference that the package has there.
    #[error("{reference}: {error}")]
    Pull { reference: Box<Reference>, error: Box<PullError> },
    /// What is known of packages cannot be read or kept.
    #[error(transparent)]
    Store(#[from] Box<PullError>),
}

impl PackageError {
    /// What to do next.
    pub fn help(&self) -> &'static str {
        match self {
            PackageError::NoRegistry(_) => {
                "write `registry = \"HOST\"` beside `package`, or `default_registry = \"HOST\"` in wkg's configuration \
                 (~/.config/wasm-pkg/config.toml)"
            }
            PackageError::Config { .. } => "correct wkg's configuration",
            PackageError::NoVersion { .. } => "name a version that was published",
            PackageError::Metadata { .. } => "ask who runs the registry, or name another",
            PackageError::Pull { error, .. } | PackageError::Store(error) => error.help(),
        }
    }
}

/// Where wkg keeps its configuration. `None` where the environment names no place.
pub(crate) fn config_of_user() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = variable("XDG_CONFIG_HOME").or_else(|| variable("HOME").map(|home| home.join(".config")));
    folder.map(|folder| folder.join("wasm-pkg/config.toml"))
}

pub(crate) async fn package(of: &Package, settings: &Settings) -> Result<PathBuf, PackageError> {
    // 1. Whom to ask?
    let Mapping { registry, metadata } = match &of.registry {
        Some(registry) => Mapping { registry: registry.clone(), metadata: None },
        None => configured(of, settings.package_config.as_deref())?,
    };

    // 2. Where does it have its packages? What it said last counts where it says nothing today.
    let known = format!("{registry}/{of}");
    let last = settings.store.package(&known).map_err(Box::new)?;
    let reference = match metadata {
        Some(metadata) => reference(of, &registry, &metadata)?,
        None => match (well_known(&registry, settings).await, &last) {
            (Ok(metadata), _) => foreign(reference(of, &registry, &metadata)?, &registry)?,
            (Err(_), Some(last)) => last.clone(),
            (Err(_), None) => reference(of, &registry, &Value::Null)?,
        },
    };

    // 3. Which version?
    let reference = match &of.version {
        PackageVersion::Exact(_) => reference,
        PackageVersion::Newest(requirement) => {
            match (newest(&reference, requirement, settings).await, last) {
                (Err(PackageError::Pull { error, .. }), Some(last)) if error.is_passing() => last,
                (found, _) => found?,
            }
        }
    };

    // 4. From there on it is an image as any other.
    let pulled = code(&reference, settings).await;
    let path = pulled.map_err(|error| failed(&reference, error))?;
    settings.store.set_package(&known, &reference).map_err(Box::new)?;
    Ok(path)
}

fn failed(reference: &Reference, error: PullError) -> PackageError {
    PackageError::Pull { reference: Box::new(reference.clone()), error: Box::new(error) }
}

/// The newest version of a package that satisfies a requirement, by the tags that there are.
async fn newest(
    reference: &Reference,
    requirement: &str,
    settings: &Settings,
) -> Result<Reference, PackageError> {
    let repository = format!("{}/{}", reference.registry, reference.repository);
    let none = || PackageError::NoVersion { repository, requirement: requirement.to_owned() };
    let Ok(wanted) = requirement.parse::<VersionReq>() else { return Err(none()) };
    let plain = if registry::is_here(reference) { Plain::ThisMachine } else { Plain::Nobody };
    let client = Client::new(settings.timeouts.clone(), plain);
    let access = Access::of(reference, settings.docker_config.as_deref());
    let access = access.map_err(|error| failed(reference, error))?;
    let tags = Registry::new(&client, access).tags().await.map_err(|error| failed(reference, error))?;
    let versions = tags.iter().filter_map(|tag| tag.parse::<Version>().ok());
    let newest = versions.filter(|version| wanted.matches(version)).max().ok_or_else(none)?;
    Ok(Reference { tag: Some(newest.to_string()), ..reference.clone() })
}

/// What a registry says of itself; nothing where it has no such file, or something else in its place.
async fn well_known(registry: &str, settings: &Settings) -> Result<Value, PullError> {
    let (scheme, plain) = match is_here(registry) {
        true => ("http", Plain::ThisMachine),
        false => ("https", Plain::Nobody),
    };
    let url: Url = format!("{scheme}://{registry}{WELL_KNOWN}")
        .parse()
        .map_err(|error| PullError::Malformed(format!("{registry}: {error}")))?;
    let client = Client::new(settings.timeouts.clone(), plain);
    let headers = HeaderMap::new();
    let ask = Ask { method: Method::GET, url: url.clone(), headers: &headers, body: Bytes::new() };
    let response = client.send(ask).await?;
    let status = response.status();
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        return Err(PullError::Status { host: registry.to_owned(), status, message: String::new() });
    }
    if status != StatusCode::OK {
        return Ok(Value::Null);
    }
    let text = client.whole(&url, response.into_body(), WELL_KNOWN_MAX_BYTES).await?;
    Ok(serde_json::from_slice(&text).unwrap_or_default())
}

fn is_here(registry: &str) -> bool {
    is_this_machine(registry.split(':').next().unwrap_or_default())
}

/// The image that is the package, by what the registry says of itself: `oci.registry` and `oci.namespacePrefix`, or
/// `ociRegistry` and `ociNamespacePrefix` as they were called before.
fn reference(of: &Package, registry: &str, metadata: &Value) -> Result<Reference, PackageError> {
    let wrong = |what: String| PackageError::Metadata { host: registry.to_owned(), what };
    if let Some(protocol) = protocol(metadata).filter(|protocol| protocol != OCI) {
        return Err(wrong(format!("its packages are had by `{protocol}`, and here by `{OCI}` alone")));
    }
    // The older names count where both are there.
    let said = |old: &str, new: &str| metadata[old].as_str().or_else(|| metadata[OCI][new].as_str());
    let host = said("ociRegistry", "registry").unwrap_or(registry);
    let prefix = said("ociNamespacePrefix", "namespacePrefix").unwrap_or_default();
    let Package { namespace, name, version, .. } = of;
    let tag = match version {
        PackageVersion::Exact(version) => format!(":{version}"),
        PackageVersion::Newest(_) => String::new(),
    };
    let text = format!("{host}/{prefix}{namespace}/{name}{tag}");
    let reference: Reference =
        text.parse().map_err(|error| wrong(format!("it leads to {text}, which is no image: {error}")))?;
    // A first word that is no host would be read as a name in Docker's registry.
    if reference.registry != host && host != "index.docker.io" {
        return Err(wrong(format!("it leads to {text}, and {host} is no registry")));
    }
    Ok(reference)
}

/// What a registry itself leads to: not to what else listens on this machine, unless it is here too.
fn foreign(reference: Reference, registry: &str) -> Result<Reference, PackageError> {
    if is_here(&reference.registry) && !is_here(registry) {
        let what = format!("it leads to {}, which is this machine", reference.registry);
        return Err(PackageError::Metadata { host: registry.to_owned(), what });
    }
    Ok(reference)
}

/// The way to ask that a registry prefers.
fn protocol(metadata: &Value) -> Option<String> {
    if let Some(preferred) = metadata["preferredProtocol"].as_str() {
        return Some(preferred.to_owned());
    }
    let mut named = metadata.as_object().into_iter().flatten().filter(|(_, value)| value.is_object());
    match (named.next(), named.next()) {
        (Some((one, _)), None) => Some(one.clone()),
        (None, _) if metadata["ociRegistry"].is_null() && metadata["wargUrl"].is_string() => {
            Some("warg".to_owned())
        }
        _ => None,
    }
}

/// A registry, and what the configuration says of it in place of itself.
struct Mapping {
    registry: String,
    metadata: Option<Value>,
}

/// The registry of a package: by its own entry, its namespace's, or the default one.
fn configured(of: &Package, config: Option<&Path>) -> Result<Mapping, PackageError> {
    let (text, path) = match config {
        Some(path) => (read(path)?, path),
        None => (String::new(), Path::new("")),
    };
    let wrong = |what: String| PackageError::Config { path: path.to_owned(), what };
    // What it says may be a password, and does not belong into a message.
    let table =
        DeTable::parse(&text).map_err(|error| wrong(format!("it is no TOML: {}", error.message())))?;
    let table = json(&DeValue::Table(table.into_inner()));
    let (namespace, full) = (of.namespace.as_str(), format!("{}:{}", of.namespace, of.name));
    let said = [
        &table["package_registry_overrides"][full.as_str()],
        &table["namespace_registries"][namespace],
        &table["default_registry"],
    ];
    match said.into_iter().find(|value| !value.is_null()) {
        None => {
            let fallback = FALLBACKS.iter().find(|(name, _)| *name == namespace);
            let (_, registry) = fallback.ok_or_else(|| PackageError::NoRegistry(namespace.to_owned()))?;
            Ok(Mapping { registry: (*registry).to_owned(), metadata: None })
        }
        Some(Value::String(registry)) => Ok(Mapping { registry: registry.clone(), metadata: None }),
        Some(custom) => match (&custom["registry"], &custom["metadata"]) {
            (Value::String(registry), metadata) if metadata.is_object() => {
                Ok(Mapping { registry: registry.clone(), metadata: Some(metadata.clone()) })
            }
            _ => Err(wrong(format!("what it says of `{full}` is no registry"))),
        },
    }
}

/// Empty where there is none.
fn read(path: &Path) -> Result<String, PackageError> {
    let mut text = String::new();
    match File::open(path).and_then(|file| file.take(CONFIG_MAX_BYTES).read_to_string(&mut text)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(PackageError::Config { path: path.to_owned(), what: error.to_string() })
        }
        _ => Ok(text),
    }
}

/// Tables and strings, as a registry would have written them itself; nothing else means anything here.
fn json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Table(table) => {
            let entry = |(name, value): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
                let name: &toml::de::DeString<'_> = name.get_ref();
                (name.to_string(), json(value.get_ref()))
            };
            Value::Object(table.iter().map(entry).collect())
        }
        _ => Value::Bool(false),
    }
}

#[cfg(test)]
#[path = "package_tests.rs"]
mod tests;
