//! Code that lies elsewhere: which, and by what it is known.

use crate::{Digest, Reference};
use std::fmt;
use url::Url;

/// Where code comes from, if not from a file of the app.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Remote {
    Image(Reference),
    Download(Download),
    Package(Package),
}

/// A file of the web.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Download {
    /// By `http` or `https`.
    pub url: Url,
    /// What the file must be, whoever sends it.
    pub digest: Digest,
}

/// A package of WebAssembly in a registry (github.com/bytecodealliance/wasm-pkg-tools).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Package {
    /// A host, or a host and its port; `None`: the one that the user has configured.
    pub registry: Option<String>,
    pub namespace: String,
    pub name: String,
    pub version: PackageVersion,
}

/// Which version of a package (semver.org).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PackageVersion {
    Exact(String),
    /// The newest that satisfies a requirement, as Cargo writes them: `^1.0`, `>=1.2, <3`.
    Newest(String),
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Remote::Image(reference) => write!(f, "image {reference}"),
            Remote::Download(download) => write!(f, "{download}"),
            Remote::Package(package) => write!(f, "package {package}"),
        }
    }
}

/// Without what may be a secret: user, password and query.
impl fmt::Display for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = &self.url[url::Position::BeforeHost..url::Position::AfterPath];
        write!(f, "{}://{place}", self.url.scheme())
    }
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Download({self}, {})", self.digest)
    }
}

impl fmt::Display for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (PackageVersion::Exact(version) | PackageVersion::Newest(version)) = &self.version;
        write!(f, "{}:{}@{version}", self.namespace, self.name)
    }
}
