//! `pull`: what a reference means now, and everything that it consists of.

use super::registries::Endpoint;
use super::{PARALLEL_MAX, Transfer, download};
use crate::document::{Descriptor, Document, Index, MANIFEST, Manifest, Platform, document};
use crate::form::{LAYERS_MAX, is_compat, plan};
use crate::images::{CONFIG_MAX_BYTES, Image, Images, name};
use crate::layout::INDEX_DIGEST;
use crate::registry::Registry;
use crate::{Digest, ImageError, PullError, Reference, module};
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use std::collections::BTreeMap;
use std::collections::HashSet;

/// What is pulled, and how.
#[derive(Clone)]
pub struct PullSettings {
    /// `None`: WebAssembly.
    pub platform: Option<Platform>,
    pub transfer: Transfer,
}

/// A manifest that is to be pulled.
struct Found {
    digest: Digest,
    bytes: Bytes,
    manifest: Manifest,
    /// The index that it is in.
    index: Option<Digest>,
}

impl Images {
    /// Pulls an image. Parts that are here already are not pulled again.
    ///
    /// # Errors
    /// Those of the last server that was asked: of mirrors, another is tried.
    pub async fn pull(&self, reference: &Reference, settings: &PullSettings) -> Result<Image, ImageError> {
        let layout = self.layout.clone();
        // Others may be collecting garbage.
        let held = tokio::task::spawn_blocking(move || layout.adding()).await;
        let _held = held.map_err(|error| ImageError::Malformed(error.to_string()))??;
        let mut endpoints = settings.transfer.registries.endpoints(reference).into_iter().peekable();
        loop {
            let Some(endpoint) = endpoints.next() else {
                return Err(ImageError::NotFound(reference.to_string()));
            };
            match self.pull_from(&endpoint, reference, settings).await {
                // What this one does not have or does not tell, another may.
                Err(ImageError::Registry(_)) if endpoints.peek().is_some() => {}
                result => return result,
            }
        }
    }

    async fn pull_from(
        &self,
        endpoint: &Endpoint,
        reference: &Reference,
        settings: &PullSettings,
    ) -> Result<Image, ImageError> {
        let transfer = &settings.transfer;
        let client = transfer.client(endpoint, reference);
        let registry = transfer.registry(&client, endpoint, reference, "pull")?;

        // 1. What does it mean now, for this platform?
        let found = find(&registry, reference, settings).await?;
        let config = found.manifest.config.clone();
        let config =
            config.ok_or_else(|| ImageError::Malformed("its manifest names no configuration".to_owned()))?;
        self.check_sizes(&found.manifest, &config)?;

        // 2. Is it what was wanted?
        download::blob(&self.layout, &registry, &config, transfer).await?;
        let text = self.layout.read(&config.digest, CONFIG_MAX_BYTES)?;
        let plan = plan(&found.digest, &found.manifest, &text)?;
        let platform = Platform {
            variant: plan.config.variant().clone(),
            ..Platform::new(&plan.config.os().to_string(), &plan.config.architecture().to_string())
        };
        check_platform(settings.platform.as_ref(), &platform, is_compat(&found.manifest))?;

        // 3. Its layers, each once.
        let mut seen = HashSet::new();
        let layers: Vec<&Descriptor> =
            found.manifest.layers.iter().filter(|one| seen.insert(one.digest.clone())).collect();
        let pulls = layers.into_iter().map(|layer| download::blob(&self.layout, &registry, layer, transfer));
        stream::iter(pulls).buffer_unordered(PARALLEL_MAX).try_collect::<Vec<()>>().await?;

        // 4. Known, and whole, from now on.
        let digest = self.layout.put(&found.bytes)?;
        self.add(digest, &found, reference, platform)
    }

    fn add(
        &self,
        digest: Digest,
        found: &Found,
        reference: &Reference,
        platform: Platform,
    ) -> Result<Image, ImageError> {
        let mut annotations = BTreeMap::new();
        if let Some(index) = &found.index {
            annotations.insert(INDEX_DIGEST.to_owned(), index.to_string());
        }
        let entry = Descriptor {
            media_type: MANIFEST.to_owned(),
            digest: digest.clone(),
            size: found.bytes.len() as u64,
            platform: Some(platform),
            annotations,
        };
        self.layout.change(|entries| {
            name(entries, entry, Some(reference));
            self.image(&digest, entries)
        })
    }

    /// Before anything is fetched: whether it could be unpacked at all.
    pub(crate) fn check_sizes(&self, manifest: &Manifest, config: &Descriptor) -> Result<(), ImageError> {
        if manifest.layers.len() > LAYERS_MAX {
            return Err(ImageError::Malformed(format!("it has more than {LAYERS_MAX} layers")));
        }
        if config.size > CONFIG_MAX_BYTES {
            return Err(PullError::TooLarge { bytes: config.size, max: CONFIG_MAX_BYTES }.into());
        }
        let bytes = manifest.layers.iter().fold(0, |sum: u64, one| sum.saturating_add(one.size));
        let max = self.limits.bytes_max;
        if bytes > max { Err(PullError::TooLarge { bytes, max }.into()) } else { Ok(()) }
    }
}

/// The manifest that a reference means, through an index if there is one.
async fn find(
    registry: &Registry<'_>,
    reference: &Reference,
    settings: &PullSettings,
) -> Result<Found, ImageError> {
    let transfer = &settings.transfer;
    let (digest, bytes) = transfer.persistently(None, || registry.manifest_bytes(reference)).await?;
    let index = match document(&bytes)? {
        Document::Manifest(manifest) => return Ok(Found { digest, bytes, manifest, index: None }),
        Document::Index(index) => index,
    };
    let chosen = choose(&index, settings.platform.as_ref())?.digest.clone();
    let bytes = transfer.persistently(None, || registry.manifest_bytes_by_digest(&chosen)).await?;
    match document(&bytes)? {
        Document::Manifest(manifest) => Ok(Found { digest: chosen, bytes, manifest, index: Some(digest) }),
        Document::Index(_) => {
            Err(ImageError::Malformed("its index names another index for a platform".to_owned()))
        }
    }
}

fn choose<'a>(index: &'a Index, platform: Option<&Platform>) -> Result<&'a Descriptor, ImageError> {
    let Some(wanted) = platform else { return Ok(module::platform(index)?) };
    let fits = |one: &&Descriptor| one.platform.as_ref().is_some_and(|its| wanted.is_met_by(its));
    index.manifests.iter().find(fits).ok_or_else(|| ImageError::Platform {
        wanted: wanted.to_string(),
        found: module::named(index.manifests.iter().map(module::platform_name)),
    })
}

fn check_platform(wanted: Option<&Platform>, found: &Platform, is_compat: bool) -> Result<(), ImageError> {
    let fits = match wanted {
        Some(wanted) => wanted.is_met_by(found),
        // What it says of itself counts more than where it was built.
        None => found.is_wasm() || is_compat,
    };
    if fits {
        return Ok(());
    }
    let wanted = wanted.map_or("wasi/wasm".to_owned(), Platform::to_string);
    Err(ImageError::Platform { wanted, found: found.to_string() })
}
