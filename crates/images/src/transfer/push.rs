//! `push`: everything that an image consists of, and its manifest last (opencontainers/distribution-spec, `spec.md`:
//! push).

use super::{PARALLEL_MAX, Step, Transfer};
use crate::blob::Hasher;
use crate::client::{Client, Timeouts, unreachable};
use crate::document::{Descriptor, MANIFEST};
use crate::form::LAYERS_MAX;
use crate::images::{Image, Images};
use crate::registry::Registry;
use crate::{Digest, ImageError, PullError, Reference};
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use http::header::{CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION};
use http::{Method, Response, StatusCode};
use hyper::body::Incoming;
use serde::Deserialize;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use url::Url;

/// What is sent at once; a smaller blob is sent whole.
const CHUNK_BYTES: u64 = 8 << 20;
/// A registry that wants larger ones than this wants too much.
const CHUNK_MAX_BYTES: u64 = 64 << 20;
/// What a registry may wish for chunks.
const CHUNK_MIN: HeaderName = HeaderName::from_static("oci-chunk-min-length");
/// A chunk takes longer on its way than a question.
const PATIENCE: u32 = 6;
const BINARY: HeaderValue = HeaderValue::from_static("application/octet-stream");

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Typed {
    media_type: Option<String>,
}

impl Images {
    /// Pushes the image of this name to the registry that the name says; the digest of what is there then.
    pub async fn push(&self, reference: &Reference, transfer: &Transfer) -> Result<Digest, ImageError> {
        let image = self.find(&reference.to_string())?;
        let (digest, manifest, bytes) = self.manifest(&image.manifest)?;
        if let Some(wanted) = reference.digest.as_ref().filter(|wanted| **wanted != digest) {
            let what = format!(
                "of {wanted}, only the image {digest} is here, which cannot be pushed under that digest"
            );
            return Err(ImageError::Malformed(what));
        }
        let timeouts = Timeouts { idle: transfer.timeouts.idle * PATIENCE, ..transfer.timeouts.clone() };
        let endpoint = transfer.registries.itself(reference);
        let client = Client::new(timeouts, transfer.plain(&endpoint, reference));
        let registry = transfer.registry(&client, &endpoint, reference, "pull,push")?;
        let mut seen = HashSet::new();
        let parts = manifest.layers.iter().chain(&manifest.config).take(LAYERS_MAX + 1);
        let parts: Vec<Descriptor> = parts.filter(|one| seen.insert(one.digest.clone())).cloned().collect();
        let others = self.neighbours(reference)?;
        let registry = &registry;
        let pushes = parts.iter().map(|part| {
            let from = others.iter().find(|other| other.layers.iter().any(|one| one.digest == part.digest));
            let from = from.and_then(|other| repository_beside(other, reference));
            async move { self.push_blob(registry, part, from, transfer).await }
        });
        stream::iter(pushes).buffer_unordered(PARALLEL_MAX).try_collect::<Vec<()>>().await?;

        let typed: Option<Typed> = serde_json::from_slice(&bytes).ok();
        let kind = typed.and_then(|typed| typed.media_type).unwrap_or_else(|| MANIFEST.to_owned());
        let kind = HeaderValue::from_str(&kind)
            .map_err(|_| ImageError::Malformed(format!("{kind:?} is no type")))?;
        let name = reference.tag.clone().filter(|_| reference.digest.is_none());
        let url = registry.url("manifests", &name.unwrap_or_else(|| digest.to_string()))?;
        let (kind, url, bytes) = (&kind, &url, &Bytes::from(bytes));
        transfer
            .persistently(None, || async move {
                let headers = HeaderMap::from_iter([(CONTENT_TYPE, kind.clone())]);
                let response = registry.send(Method::PUT, url, headers, bytes.clone()).await?;
                registry.good(url, response, &[StatusCode::CREATED, StatusCode::OK]).await
            })
            .await?;
        Ok(digest)
    }

    /// Images that came from, or went to, other repositories of a registry, which need not get their layers again.
    fn neighbours(&self, reference: &Reference) -> Result<Vec<Image>, ImageError> {
        let images = self.list()?.into_iter();
        Ok(images.filter(|image| repository_beside(image, reference).is_some()).collect())
    }

    async fn push_blob(
        &self,
        registry: &Registry<'_>,
        part: &Descriptor,
        from: Option<String>,
        transfer: &Transfer,
    ) -> Result<(), ImageError> {
        let url = registry.url("blobs", &part.digest.to_string())?;
        let url = &url;
        let is_there = transfer
            .persistently(Some(&part.digest), || async move {
                let response = registry.send(Method::HEAD, url, HeaderMap::new(), Bytes::new()).await?;
                match response.status() {
                    StatusCode::OK => Ok(true),
                    StatusCode::NOT_FOUND => Ok(false),
                    _ => registry.good(url, response, &[StatusCode::OK]).await.map(|_| true),
                }
            })
            .await?;
        if is_there {
            (transfer.progress)(&part.digest, Step::Exists);
            return Ok(());
        }
        (transfer.progress)(&part.digest, Step::Begins { bytes: part.size });
        let mut pause = transfer.pause;
        let mut left = transfer.retries;
        loop {
            match self.upload(registry, part, from.as_deref(), transfer).await {
                Ok(()) => break,
                Err(ImageError::Registry(error)) if left > 0 && error.is_passing() => {
                    left -= 1;
                    transfer.wait(Some(&part.digest), &error, pause).await;
                    pause *= 2;
                }
                Err(error) => return Err(error),
            }
        }
        (transfer.progress)(&part.digest, Step::Ends);
        Ok(())
    }

    /// Sends a blob, unless the registry can take it from another of its repositories.
    async fn upload(
        &self,
        registry: &Registry<'_>,
        part: &Descriptor,
        from: Option<&str>,
        transfer: &Transfer,
    ) -> Result<(), ImageError> {
        let mut url = registry.url("blobs", "uploads/")?;
        if let Some(from) = from {
            url.query_pairs_mut().append_pair("mount", &part.digest.to_string()).append_pair("from", from);
        }
        let response = registry.send(Method::POST, &url, HeaderMap::new(), Bytes::new()).await?;
        let response = registry.good(&url, response, &[StatusCode::ACCEPTED, StatusCode::CREATED]).await?;
        if response.status() == StatusCode::CREATED {
            return Ok(());
        }
        let least = response.headers().get(&CHUNK_MIN).and_then(|value| value.to_str().ok());
        let least = least.and_then(|text| text.parse().ok()).unwrap_or(0u64);
        let chunk_bytes = CHUNK_BYTES.max(least).min(CHUNK_MAX_BYTES);
        let mut url = location(&url, &response)?;

        let path = self.layout.path(&part.digest);
        let mut file = self.layout.open(&part.digest)?;
        let mut hasher = Hasher::new(part.digest.algorithm);
        let mut sent = 0;
        loop {
            let (back, chunk) =
                read(file, chunk_bytes).await.map_err(|error| ImageError::io(&path, error))?;
            file = back;
            hasher.update(&chunk);
            let is_last = sent + chunk.len() as u64 >= part.size || chunk.is_empty();
            if is_last {
                let found = hasher.clone().finish();
                if found != part.digest {
                    return Err(ImageError::Damaged {
                        what: "the layer",
                        expected: part.digest.clone(),
                        found,
                    });
                }
            }
            let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, BINARY)]);
            let end = sent + chunk.len() as u64;
            if !(chunk.is_empty() || is_last && sent == 0) {
                let range = HeaderValue::from_str(&format!("{sent}-{}", end - 1));
                headers.insert(CONTENT_RANGE, range.map_err(|error| unreachable(&url, error))?);
            }
            let method = if is_last { Method::PUT } else { Method::PATCH };
            if is_last {
                url.query_pairs_mut().append_pair("digest", &part.digest.to_string());
            }
            let response = registry.send(method, &url, headers, chunk).await?;
            let wanted = if is_last { StatusCode::CREATED } else { StatusCode::ACCEPTED };
            let response = registry.good(&url, response, &[wanted]).await?;
            sent = end;
            (transfer.progress)(&part.digest, Step::Moved { bytes: sent });
            if is_last {
                return Ok(());
            }
            url = location(&url, &response)?;
        }
    }
}

/// Another repository of the same registry in which an image is.
fn repository_beside(image: &Image, reference: &Reference) -> Option<String> {
    let parsed = image.digests.iter().filter_map(|text| text.parse::<Reference>().ok());
    let mut beside = parsed
        .filter(|other| other.registry == reference.registry && other.repository != reference.repository);
    beside.next().map(|other| other.repository)
}

/// Where an upload goes on.
fn location(url: &Url, response: &Response<Incoming>) -> Result<Url, PullError> {
    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    let next = location.and_then(|location| url.join(location).ok());
    next.ok_or_else(|| unreachable(url, "it does not say where to upload to"))
}

/// The next bytes of a file, without holding up others.
async fn read(mut file: File, count: u64) -> io::Result<(File, Bytes)> {
    let reading = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        file.by_ref().take(count).read_to_end(&mut bytes)?;
        Ok((file, Bytes::from(bytes)))
    });
    reading.await.map_err(io::Error::other)?
}
