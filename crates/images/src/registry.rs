//! One repository of a registry, over the OCI distribution protocol
//! (opencontainers/distribution-spec, `spec.md`: pulling manifests and blobs).

use crate::auth::{self, Challenge};
use crate::blob::{Blob, Hasher, Writer};
use crate::client::{Ask, Client, authority, is_this_machine, unreachable, within};
use crate::credentials::{self, Credentials};
use crate::document::{Descriptor, Document, document};
use crate::{Digest, DigestAlgorithm, PullError, Reference};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, LINK, RETRY_AFTER};
use http::{Method, Response, StatusCode};
use hyper::body::Incoming;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use url::Url;

/// As the specification advises registries.
const MANIFEST_MAX_BYTES: usize = 4 << 20;
/// What a registry says of an error.
const ERROR_MAX_BYTES: usize = 64 << 10;
const ERROR_SHOWN_CHARACTERS: usize = 200;
/// Registries answer with hundreds of tags or more at once.
const TAG_PAGES_MAX: usize = 20;

const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, \
     application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.docker.distribution.manifest.list.v2+json";

/// Whether the registry is on this machine, and needs no TLS.
pub fn is_here(reference: &Reference) -> bool {
    is_this_machine(reference.host().split(':').next().unwrap_or_default())
}

/// How a repository is asked for.
pub struct Access {
    /// `https://HOST/v2/REPOSITORY/`
    pub base: Url,
    /// By which name the credentials are known.
    pub name: String,
    pub repository: String,
    /// `pull`, or `pull,push`.
    pub actions: &'static str,
    pub docker_config: Option<PathBuf>,
    /// Who we are, if the caller knows it.
    pub credentials: Option<Credentials>,
}

impl Access {
    /// The registry itself, for pulling.
    pub fn of(reference: &Reference, docker_config: Option<&Path>) -> Result<Self, PullError> {
        let scheme = if is_here(reference) { "http" } else { "https" };
        Ok(Access {
            base: base(&format!("{scheme}://{}", reference.host()), &reference.repository)?,
            name: reference.registry.clone(),
            repository: reference.repository.clone(),
            actions: "pull",
            docker_config: docker_config.map(Path::to_owned),
            credentials: None,
        })
    }
}

/// `https://HOST/v2/REPOSITORY/` of `https://HOST`.
pub fn base(root: &str, repository: &str) -> Result<Url, PullError> {
    let base = Url::parse(&format!("{}/v2/{repository}/", root.trim_end_matches('/')));
    base.map_err(|error| PullError::Malformed(format!("{root}: {error}")))
}

pub struct Registry<'a> {
    pub client: &'a Client,
    pub access: Access,
    introduced: Mutex<Introduced>,
}

#[derive(Clone, Default)]
struct Introduced {
    /// What the registry wanted to hear.
    authorization: Option<HeaderValue>,
    /// Whether that says who we are.
    known: bool,
}

impl<'a> Registry<'a> {
    pub fn new(client: &'a Client, access: Access) -> Self {
        Registry { client, access, introduced: Mutex::default() }
    }

    /// What a reference means now, and the digest of that.
    pub async fn manifest(&self, reference: &Reference) -> Result<(Digest, Document), PullError> {
        let (digest, bytes) = self.manifest_bytes(reference).await?;
        Ok((digest, document(&bytes)?))
    }

    pub async fn manifest_by_digest(&self, digest: &Digest) -> Result<Document, PullError> {
        document(&self.manifest_bytes_by_digest(digest).await?)
    }

    /// The bytes of what a reference means now, and their digest.
    pub async fn manifest_bytes(&self, reference: &Reference) -> Result<(Digest, Bytes), PullError> {
        if let Some(digest) = &reference.digest {
            return Ok((digest.clone(), self.manifest_bytes_by_digest(digest).await?));
        }
        let tag = reference.tag.as_deref().unwrap_or("latest");
        let (url, response) = self.get("manifests", tag, MANIFESTS).await?;
        let bytes = self.client.whole(&url, response.into_body(), MANIFEST_MAX_BYTES).await?;
        Ok((Hasher::digest(DigestAlgorithm::Sha256, &bytes), bytes))
    }

    pub async fn manifest_bytes_by_digest(&self, digest: &Digest) -> Result<Bytes, PullError> {
        let (url, response) = self.get("manifests", &digest.to_string(), MANIFESTS).await?;
        let bytes = self.client.whole(&url, response.into_body(), MANIFEST_MAX_BYTES).await?;
        let found = Hasher::digest(digest.algorithm, &bytes);
        if found != *digest {
            let (expected, found) = (digest.to_string(), found.to_string());
            return Err(PullError::Digest { what: "the manifest", expected, found });
        }
        Ok(bytes)
    }

    /// All tags of the repository.
    pub async fn tags(&self) -> Result<Vec<String>, PullError> {
        let mut url = self.url("tags", "list")?;
        let mut tags = Vec::new();
        for _ in 0..TAG_PAGES_MAX {
            let response = self.send(Method::GET, &url, HeaderMap::new(), Bytes::new()).await?;
            let response = self.good(&url, response, &[StatusCode::OK]).await?;
            let link = response.headers().get(LINK).and_then(|value| value.to_str().ok());
            let next = link.and_then(next_page).and_then(|next| url.join(next).ok());
            let page = self.client.whole(&url, response.into_body(), MANIFEST_MAX_BYTES).await?;
            let page: Tags = serde_json::from_slice(&page)
                .map_err(|error| PullError::Malformed(format!("its list of tags is malformed: {error}")))?;
            tags.extend(page.tags.unwrap_or_default());
            match next {
                Some(next) => url = next,
                None => return Ok(tags),
            }
        }
        Err(PullError::Malformed(format!("its list of tags has more than {TAG_PAGES_MAX} pages")))
    }

    /// A blob that is what its descriptor says.
    pub async fn blob(&self, of: &Descriptor, mut writer: Writer) -> Result<Blob, PullError> {
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

    /// A successful response to a question for a part of the repository.
    async fn get(
        &self,
        kind: &str,
        of: &str,
        accept: &'static str,
    ) -> Result<(Url, Response<Incoming>), PullError> {
        let url = self.url(kind, of)?;
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        let response = self.send(Method::GET, &url, headers, Bytes::new()).await?;
        let response = self.good(&url, response, &[StatusCode::OK]).await?;
        Ok((url, response))
    }

    /// Of a part of the repository.
    pub fn url(&self, kind: &str, of: &str) -> Result<Url, PullError> {
        let base = &self.access.base;
        base.join(&format!("{kind}/{}", of.replace(':', "%3A"))).map_err(|error| unreachable(base, error))
    }

    /// The response, whatever it says, after the registry's question who we are.
    pub async fn send(
        &self,
        method: Method,
        url: &Url,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Incoming>, PullError> {
        self.authorize(url, &mut headers);
        let ask = Ask { method: method.clone(), url: url.clone(), headers: &headers, body: body.clone() };
        let response = self.client.send(ask).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        let Some(challenge) = auth::challenge(response.headers()) else { return Ok(response) };
        drop(response);
        self.introduce(&challenge).await?;
        self.authorize(url, &mut headers);
        self.client.send(Ask { method, url: url.clone(), headers: &headers, body }).await
    }

    /// Only the registry itself learns who we are: it may send us elsewhere.
    fn authorize(&self, url: &Url, headers: &mut HeaderMap) {
        let authorization = self.introduced().authorization.clone();
        if let Some(authorization) = authorization.filter(|_| url.origin() == self.access.base.origin()) {
            headers.insert(AUTHORIZATION, authorization);
        }
    }

    /// Answers the registry's question.
    async fn introduce(&self, challenge: &Challenge) -> Result<(), PullError> {
        let credentials = self.credentials().await?;
        let scope = match self.access.repository.as_str() {
            "" => String::new(),
            repository => format!("repository:{repository}:{}", self.access.actions),
        };
        let authorization = auth::answer(self.client, challenge, credentials.as_ref(), &scope).await?;
        *self.introduced() = Introduced { authorization, known: credentials.is_some() };
        Ok(())
    }

    fn introduced(&self) -> MutexGuard<'_, Introduced> {
        self.introduced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn credentials(&self) -> Result<Option<Credentials>, PullError> {
        if self.access.credentials.is_some() {
            return Ok(self.access.credentials.clone());
        }
        let Some(config) = self.access.docker_config.clone() else { return Ok(None) };
        let name = self.access.name.clone();
        let finding = tokio::task::spawn_blocking(move || credentials::find(&config, &name));
        finding.await.map_err(|error| PullError::Credentials(error.to_string()))?
    }

    /// A response with one of these states; an error out of any other.
    pub async fn good(
        &self,
        url: &Url,
        response: Response<Incoming>,
        wanted: &[StatusCode],
    ) -> Result<Response<Incoming>, PullError> {
        let known = self.introduced().known;
        good(self.client, url, response, wanted, known).await
    }
}

async fn good(
    client: &Client,
    url: &Url,
    response: Response<Incoming>,
    wanted: &[StatusCode],
    known: bool,
) -> Result<Response<Incoming>, PullError> {
    let (host, status) = (authority(url), response.status());
    if wanted.contains(&status) {
        return Ok(response);
    }
    let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let after = after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
    // What it says beside the status is a help, and no more.
    let body = client.whole(url, response.into_body(), ERROR_MAX_BYTES).await.unwrap_or_default();
    let message = message(&body);
    Err(match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            PullError::Refused { host, status, message, known }
        }
        StatusCode::NOT_FOUND => PullError::NotFound { host, message },
        StatusCode::TOO_MANY_REQUESTS => PullError::TooMany { host, message, after },
        _ => PullError::Status { host, status, message },
    })
}

#[derive(Deserialize)]
struct Tags {
    /// Registries write `null` for none.
    tags: Option<Vec<String>>,
}

/// Where the next page is: `</v2/NAME/tags/list?n=100&last=z>; rel="next"`.
fn next_page(link: &str) -> Option<&str> {
    let (target, parameters) = link.strip_prefix('<')?.split_once('>')?;
    parameters.contains("rel=\"next\"").then_some(target)
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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
