//! Where images of a registry are asked for: `registries.json` in the folder of the data.
//!
//! ```json
//! {
//!   "docker.io": { "mirrors": ["https://mirror.example"] },
//!   "registry.lan:5000": { "insecure": true }
//! }
//! ```
//!
//! Mirrors are asked first, in their order, for pulls only. An insecure registry is asked without TLS, and so is a mirror
//! that is written with `http:`. A registry on this machine is asked without TLS unless it is listed with `false`.

use crate::registry::is_here;
use crate::{PullError, Reference};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use url::Url;

const FILE_MAX_BYTES: u64 = 1 << 20;
/// Each of them is waited for.
const MIRRORS_MAX: usize = 8;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub struct Registries {
    pub all: BTreeMap<String, Entry>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Entry {
    pub mirrors: Vec<String>,
    pub insecure: Option<bool>,
}

/// One server that may have an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `https://HOST`
    pub root: String,
    /// By which name its credentials are known.
    pub name: String,
    /// The host that needs no TLS.
    pub insecure: Option<String>,
}

impl Registries {
    /// # Errors
    /// If there is such a file, and it is not understood.
    pub fn read(path: &Path) -> Result<Self, PullError> {
        let wrong = |what: String| PullError::Settings { path: path.to_owned(), what };
        let mut bytes = Vec::new();
        match File::open(path).and_then(|file| file.take(FILE_MAX_BYTES).read_to_end(&mut bytes)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Registries::default()),
            Err(error) => return Err(wrong(error.to_string())),
            Ok(_) => {}
        }
        let read: Registries = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
        for (name, entry) in &read.all {
            if entry.mirrors.len() > MIRRORS_MAX {
                return Err(wrong(format!("{name} has more than {MIRRORS_MAX} mirrors")));
            }
            for mirror in &entry.mirrors {
                endpoint(mirror).map_err(|what| wrong(format!("the mirror {mirror:?} of {name} {what}")))?;
            }
        }
        Ok(read)
    }

    /// Who may have the image, the preferred first; the registry itself is the last.
    pub fn endpoints(&self, reference: &Reference) -> Vec<Endpoint> {
        let mirrors =
            self.all.get(&reference.registry).map(|entry| entry.mirrors.as_slice()).unwrap_or_default();
        let mut all: Vec<Endpoint> = mirrors.iter().filter_map(|mirror| endpoint(mirror).ok()).collect();
        all.push(self.itself(reference));
        all
    }

    /// The registry that a reference names.
    pub fn itself(&self, reference: &Reference) -> Endpoint {
        let host = reference.host();
        let listed = self.all.get(&reference.registry).and_then(|entry| entry.insecure);
        let is_insecure = listed == Some(true);
        let scheme = if listed.unwrap_or_else(|| is_here(reference)) { "http" } else { "https" };
        Endpoint {
            root: format!("{scheme}://{host}"),
            name: reference.registry.clone(),
            insecure: is_insecure.then(|| host.to_owned()),
        }
    }
}

fn endpoint(mirror: &str) -> Result<Endpoint, &'static str> {
    let url = Url::parse(mirror).map_err(|_| "is no URL; write https://HOST")?;
    if !matches!(url.scheme(), "https" | "http") || url.host().is_none() {
        return Err("has no scheme; write https://HOST");
    }
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
        return Err("has more than a host and a path");
    }
    let authority = crate::client::authority(&url);
    let insecure = (url.scheme() == "http").then(|| authority.clone());
    Ok(Endpoint { root: url.as_str().trim_end_matches('/').to_owned(), name: authority, insecure })
}
