//! One repository of a registry, over the OCI distribution protocol
//! (opencontainers/distribution-spec, `spec.md`: pulling manifests and blobs).

use crate::auth::{self, Challenge};
use crate::client::{Ask, Client, authority, is_this_machine, unreachable, within};
use crate::credentials::{self, Credentials};
use crate::store::{Blob, Hasher, Writer};
use crate::{Digest, DigestAlgorithm, PullError, Reference};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue};
use http::{Method, Response, StatusCode};
use hyper::body::Incoming;
use serde::{Deserialize, Deserializer, de};
use std::path::{Path, PathBuf};
use url::Url;

/// As the specification advises registries.
const MANIFEST_MAX_BYTES: usize = 4 << 20;
/// What a registry says of an error.
const ERROR_MAX_BYTES: usize = 64 << 10;
const ERROR_SHOWN_CHARACTERS: usize = 200;

pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, \
     application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.docker.distribution.manifest.list.v2+json";

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
    pub config: Option<Described>,
    #[serde(default)]
    pub layers: Vec<Descriptor>,
}

/// A part that is of no interest but for its type.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Described {
    pub media_type: String,
}

/// Of one image for several platforms (`image-index.md`).
#[derive(Debug, Deserialize)]
pub struct Index {
    pub manifests: Vec<Descriptor>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    #[serde(default)]
    pub media_type: String,
    #[serde(deserialize_with = "digest")]
    pub digest: Digest,
    pub size: u64,
    pub platform: Option<Platform>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Platform {
    pub os: String,
    pub architecture: String,
}

fn digest<'de, D: Deserializer<'de>>(from: D) -> Result<Digest, D::Error> {
    String::deserialize(from)?.parse().map_err(de::Error::custom)
}

/// Whether the registry is on this machine, and needs no TLS.
pub fn is_here(reference: &Reference) -> bool {
    is_this_machine(reference.host().split(':').next().unwrap_or_default())
}

pub struct Registry<'a> {
    client: &'a Client,
    /// `https://HOST/v2/REPOSITORY/`
    base: Url,
    name: String,
    repository: String,
    docker_config: Option<PathBuf>,
    /// What the registry wanted to hear.
    authorization: Option<HeaderValue>,
}

impl<'a> Registry<'a> {
    pub fn new(
        client: &'a Client,
        reference: &Reference,
        docker_config: Option<&Path>,
    ) -> Result<Self, PullError> {
        let host = reference.host();
        let scheme = if is_here(reference) { "http" } else { "https" };
        let base = Url::parse(&format!("{scheme}://{host}/v2/{}/", reference.repository));
        Ok(Registry {
            client,
            base: base.map_err(|error| PullError::Malformed(error.to_string()))?,
            name: reference.registry.clone(),
            repository: reference.repository.clone(),
            docker_config: docker_config.map(Path::to_owned),
            authorization: None,
        })
    }

    /// What a reference means now, and the digest of that.
    pub async fn manifest(&mut self, reference: &Reference) -> Result<(Digest, Document), PullError> {
        if let Some(digest) = &reference.digest {
            return Ok((digest.clone(), self.manifest_by_digest(digest).await?));
        }
        let bytes = self.manifest_bytes(reference.tag.as_deref().unwrap_or("latest")).await?;
        Ok((Hasher::digest(DigestAlgorithm::Sha256, &bytes), document(&bytes)?))
    }

    pub async fn manifest_by_digest(&mut self, digest: &Digest) -> Result<Document, PullError> {
        let bytes = self.manifest_bytes(&digest.to_string()).await?;
        let found = Hasher::digest(digest.algorithm, &bytes);
        if found != *digest {
            let (expected, found) = (digest.to_string(), found.to_string());
            return Err(PullError::Digest { what: "the manifest", expected, found });
        }
        document(&bytes)
    }

    async fn manifest_bytes(&mut self, of: &str) -> Result<Bytes, PullError> {
        let (url, response) = self.get("manifests", of, MANIFESTS).await?;
        self.client.whole(&url, response.into_body(), MANIFEST_MAX_BYTES).await
    }

    /// A blob that is what its descriptor says.
    pub async fn blob(&mut self, of: &Descriptor, mut writer: Writer) -> Result<Blob, PullError> {
        let (url, response) = self.get("blobs", &of.digest.to_string(), "*/*").await?;
        let client = self.client;
        let mut body = response.into_body();
        let reading = async {
            let mut found = 0u64;
            while let Some(piece) = client.piece(&url, &mut body).await? {
                found += piece.len() as u64;
                if found > of.size {
                    return Err(PullError::Size { expected: of.size, found: "more".to_owned() });
                }
                writer.write(&piece)?;
            }
            if found < of.size {
                return Err(PullError::Size { expected: of.size, found: found.to_string() });
            }
            Ok(writer)
        };
        let blob = within(&url, client.timeouts.blob, reading).await??.done();
        if blob.digest() != of.digest {
            let (expected, found) = (of.digest.to_string(), blob.digest().to_string());
            return Err(PullError::Digest { what: "the layer", expected, found });
        }
        Ok(blob)
    }

    /// A successful response, after the registry's question who we are.
    async fn get(
        &mut self,
        kind: &str,
        of: &str,
        accept: &'static str,
    ) -> Result<(Url, Response<Incoming>), PullError> {
        let url = self.base.join(&format!("{kind}/{}", of.replace(':', "%3A")));
        let url = url.map_err(|error| unreachable(&self.base, error))?;
        let response = self.ask(&url, accept).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return good(self.client, url, response, self.authorization.is_some()).await;
        }
        let Some(challenge) = auth::challenge(response.headers()) else {
            return good(self.client, url, response, false).await;
        };
        drop(response);
        let known = self.introduce(&challenge).await?;
        let response = self.ask(&url, accept).await?;
        good(self.client, url, response, known).await
    }

    async fn ask(&self, url: &Url, accept: &'static str) -> Result<Response<Incoming>, PullError> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        let ask = Ask { method: Method::GET, url: url.clone(), headers: &headers, body: Bytes::new() };
        self.client.send(ask).await
    }

    /// Answers the registry's question; whether there were credentials.
    async fn introduce(&mut self, challenge: &Challenge) -> Result<bool, PullError> {
        let credentials = self.credentials().await?;
        let scope = format!("repository:{}:pull", self.repository);
        self.authorization = auth::answer(self.client, challenge, credentials.as_ref(), &scope).await?;
        Ok(credentials.is_some())
    }

    async fn credentials(&self) -> Result<Option<Credentials>, PullError> {
        let Some(config) = self.docker_config.clone() else { return Ok(None) };
        let name = self.name.clone();
        let finding = tokio::task::spawn_blocking(move || credentials::find(&config, &name));
        finding.await.map_err(|error| PullError::Credentials(error.to_string()))?
    }
}

async fn good(
    client: &Client,
    url: Url,
    response: Response<Incoming>,
    known: bool,
) -> Result<(Url, Response<Incoming>), PullError> {
    let (host, status) = (authority(&url), response.status());
    if status == StatusCode::OK {
        return Ok((url, response));
    }
    // What it says beside the status is a help, and no more.
    let body = client.whole(&url, response.into_body(), ERROR_MAX_BYTES).await.unwrap_or_default();
    let message = message(&body);
    Err(match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            PullError::Refused { host, status, message, known }
        }
        StatusCode::NOT_FOUND => PullError::NotFound { host, message },
        StatusCode::TOO_MANY_REQUESTS => PullError::TooMany { host, message },
        _ => PullError::Status { host, status, message },
    })
}

#[derive(Deserialize)]
struct Errors {
    errors: Vec<OneError>,
}

#[derive(Deserialize)]
struct OneError {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// What a registry says of its error, for a line of a terminal.
fn message(body: &[u8]) -> String {
    let errors: Option<Errors> = serde_json::from_slice(body).ok();
    let Some(first) = errors.and_then(|errors| errors.errors.into_iter().next()) else {
        return String::new();
    };
    let text = if first.message.is_empty() { first.code } else { first.message };
    text.chars().filter(|character| !character.is_control()).take(ERROR_SHOWN_CHARACTERS).collect()
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

fn document(bytes: &[u8]) -> Result<Document, PullError> {
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
    fn messages_are_short_and_plain() {
        let long =
            json!({ "errors": [{ "code": "X", "message": format!("\u{1b}[31m{}", "a".repeat(999)) }] });
        let said = message(long.to_string().as_bytes());
        assert!(said.len() == ERROR_SHOWN_CHARACTERS && said.starts_with("[31ma"), "{said}");
        assert_eq!(message(b"{\"errors\":[{\"code\":\"DENIED\"}]}"), "DENIED");
        assert_eq!(message(b"<html>"), "");
    }
}
