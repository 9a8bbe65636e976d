//! Images in one file: an OCI image layout as an archive, which is a docker archive at the same time.

mod load;
mod save;

use serde::{Deserialize, Serialize};

/// One image in the `manifest.json` of a docker archive (moby, `image/tarexport/tarexport.go`).
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    /// Names of entries of the archive.
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

const DOCKER_MANIFEST: &str = "manifest.json";
const INDEX: &str = "index.json";
const OCI_LAYOUT: &str = "oci-layout";

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
