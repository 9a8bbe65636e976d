//! Manifests and indexes (opencontainers/image-spec, `manifest.md`, `image-index.md`), and Docker's, which have the
//! same fields.

use crate::{Digest, PullError};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The two names of WebAssembly as an architecture.
pub const ARCHITECTURES: [&str; 2] = ["wasm", "wasm32"];

/// What a reference can mean.
#[derive(Debug)]
pub enum Document {
    Manifest(Manifest),
    Index(Index),
}

/// Of one image (opencontainers/image-spec, `manifest.md`); Docker's has the same fields.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    pub config: Option<Descriptor>,
    #[serde(default, deserialize_with = "null_or")]
    pub layers: Vec<Descriptor>,
    #[serde(default, deserialize_with = "null_or")]
    pub annotations: BTreeMap<String, String>,
}

/// Of one image for several platforms (`image-index.md`).
#[derive(Debug, Deserialize)]
pub struct Index {
    pub manifests: Vec<Descriptor>,
}

/// What some bytes are, and how to know that they are whole (`descriptor.md`).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    #[serde(default)]
    pub media_type: String,
    #[serde(deserialize_with = "digest", serialize_with = "digest_text")]
    pub digest: Digest,
    pub size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    #[serde(default, deserialize_with = "null_or", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Platform {
    pub os: String,
    pub architecture: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    pub fn new(os: &str, architecture: &str) -> Self {
        Platform { os: os.to_owned(), architecture: architecture.to_owned(), variant: None }
    }

    /// Whether an image for `other` does for this one.
    pub fn is_met_by(&self, other: &Platform) -> bool {
        self.os.eq_ignore_ascii_case(&other.os)
            && self.architecture == other.architecture
            && (self.variant.is_none() || self.variant == other.variant)
    }

    pub fn is_wasm(&self) -> bool {
        ARCHITECTURES.contains(&self.architecture.as_str())
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

impl FromStr for Platform {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "write OS/ARCHITECTURE, such as wasi/wasm";
        let mut parts = text.split('/');
        let (Some(os), Some(architecture), variant, None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(WRONG);
        };
        if os.is_empty() || architecture.is_empty() || variant.is_some_and(str::is_empty) {
            return Err(WRONG);
        }
        Ok(Platform { variant: variant.map(str::to_owned), ..Platform::new(os, architecture) })
    }
}

fn digest<'de, D: Deserializer<'de>>(from: D) -> Result<Digest, D::Error> {
    String::deserialize(from)?.parse().map_err(de::Error::custom)
}

fn digest_text<S: Serializer>(digest: &Digest, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(digest)
}

/// Some tools write `null` for what is empty.
fn null_or<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// Both fields would be two documents for two readers.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outline {
    schema_version: Option<u64>,
    media_type: Option<String>,
    manifests: Option<de::IgnoredAny>,
    layers: Option<de::IgnoredAny>,
}

pub fn document(bytes: &[u8]) -> Result<Document, PullError> {
    let wrong =
        |why: &dyn std::fmt::Display| PullError::Malformed(format!("its manifest is malformed: {why}"));
    let outline: Outline = serde_json::from_slice(bytes).map_err(|error| wrong(&error))?;
    if outline.schema_version != Some(2) {
        return Err(wrong(&"it is not of version 2"));
    }
    if outline.manifests.is_some() && outline.layers.is_some() {
        return Err(wrong(&"it is an index and an image at once"));
    }
    let says_index = outline.media_type.as_deref().is_some_and(|one| one == INDEX || one == DOCKER_LIST);
    if outline.manifests.is_some() || says_index {
        return serde_json::from_slice(bytes).map(Document::Index).map_err(|error| wrong(&error));
    }
    serde_json::from_slice(bytes).map(Document::Manifest).map_err(|error| wrong(&error))
}

#[cfg(test)]
pub fn document_of(value: &serde_json::Value) -> Result<Document, PullError> {
    document(value.to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_no_manifest() {
        let digest = format!("sha256:{}", "0".repeat(64));
        for (value, what) in [
            (json!({}), "version 2"),
            (json!({ "schemaVersion": 1, "fsLayers": [] }), "version 2"),
            (json!({ "schemaVersion": 2, "layers": [], "manifests": [] }), "at once"),
            (json!({ "schemaVersion": 2, "mediaType": INDEX }), "missing field"),
            (json!({ "schemaVersion": 2, "layers": [{ "size": 1 }] }), "missing field"),
            (json!({ "schemaVersion": 2, "layers": [{ "digest": "../../x", "size": 1 }] }), "digest"),
            (json!({ "schemaVersion": 2, "layers": [{ "digest": digest, "size": -1 }] }), "invalid value"),
            (json!([]), "invalid length"),
        ] {
            let error = document_of(&value).expect_err("no manifest").to_string();
            assert!(error.contains(what), "{value}: {error}");
        }
        assert!(document(b"<html>").is_err());
        let empty = document_of(&json!({ "schemaVersion": 2 }));
        assert!(matches!(empty, Ok(Document::Manifest(manifest)) if manifest.layers.is_empty()));
    }

    #[test]
    fn platforms_are_read_and_written() {
        for text in ["wasi/wasm", "linux/arm64/v8"] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), text);
        }
        for text in ["", "wasi", "wasi/", "/wasm", "a/b/c/d", "a/b/"] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
    }
}
