//! The code that a reference means, pulled into a cache.

use crate::client::{Client, Plain, Timeouts};
use crate::document::{Descriptor, Document, Manifest};
use crate::module::{self, Packing};
use crate::registry::{self, Access, Registry};
use crate::{Digest, DigestAlgorithm, PullError, Reference, Store, credentials, package};
use std::path::PathBuf;
use std::sync::Arc;

/// A module larger than this is pulled only if the caller says so.
pub const MODULE_MAX_BYTES: u64 = 256 << 20;

/// How code is fetched, and where it is kept.
#[derive(Clone)]
pub struct Settings {
    pub store: Store,
    /// The largest module, and the largest layer that one is in.
    pub module_max_bytes: u64,
    pub timeouts: Timeouts,
    /// Docker's configuration, which has the credentials for registries; `None`: there is none.
    pub docker_config: Option<PathBuf>,
    /// wkg's configuration, which names registries of packages; `None`: there is none.
    pub package_config: Option<PathBuf>,
    /// Is told what happens.
    pub progress: Observer,
}

/// Whoever wants to know of the steps, with the name of what is fetched: a reference or a URL.
pub type Observer = Arc<dyn Fn(&str, Progress) + Send + Sync>;

/// A step of a pull.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// What must be fetched is not here yet.
    PullBegins { bytes: u64 },
    /// It is here, and whole.
    PullEnds,
    /// A file of the web comes; how long it is, only its server knows.
    FetchBegins { bytes: Option<u64> },
    /// It is here, and what its digest says.
    FetchEnds,
    /// The registry does not tell what the tag means today; what it meant before is used.
    LastKnown { digest: Digest, why: String },
}

impl Settings {
    /// This user's: the cache's folder, and Docker's configuration. `None` where the environment names no place
    /// for a cache.
    pub fn of_user(progress: Observer) -> Option<Self> {
        Some(Settings {
            store: Store::of_user()?,
            module_max_bytes: MODULE_MAX_BYTES,
            timeouts: Timeouts::default(),
            docker_config: credentials::of_user(),
            package_config: package::config_of_user(),
            progress,
        })
    }
}

/// The file with the code that a reference means: pulled, checked and kept, or kept from before. A tag is asked
/// for anew each time, a digest only if it is not here.
///
/// # Errors
/// Says what is wrong; [`PullError::help`] says what to do.
pub async fn code(reference: &Reference, settings: &Settings) -> Result<PathBuf, PullError> {
    if let Some(digest) = &reference.digest
        && let Some(code) = settings.store.module(digest).await?
    {
        return Ok(code);
    }
    match pull(reference, settings).await {
        Err(error) if error.is_passing() && reference.digest.is_none() => {
            let Some(digest) = settings.store.tag(reference)? else { return Err(error) };
            let Some(code) = settings.store.module(&digest).await? else { return Err(error) };
            let why = error.to_string();
            (settings.progress)(&reference.to_string(), Progress::LastKnown { digest, why });
            Ok(code)
        }
        result => result,
    }
}

async fn pull(reference: &Reference, settings: &Settings) -> Result<PathBuf, PullError> {
    // 1. What does the reference mean now?
    let plain = if registry::is_here(reference) { Plain::ThisMachine } else { Plain::Nobody };
    let client = Client::new(settings.timeouts.clone(), plain);
    let registry = Registry::new(&client, Access::of(reference, settings.docker_config.as_deref())?);
    let (digest, document) = registry.manifest(reference).await?;
    if let Some(code) = settings.store.module(&digest).await? {
        remember(reference, &digest, &settings.store)?;
        return Ok(code);
    }

    // 2. Which of its parts is the code?
    let manifest = match document {
        Document::Manifest(manifest) => manifest,
        Document::Index(index) => by_platform(&registry, module::platform(&index)?).await?,
    };
    let (layer, packing) = module::layer(&manifest)?;
    if layer.size > settings.module_max_bytes {
        return Err(PullError::TooLarge { bytes: layer.size, max: settings.module_max_bytes });
    }

    // 3. It is here, or fetched, and known by the manifest from then on: last of all, so that what is known is whole.
    let kept = match packing {
        Packing::Plain => settings.store.blob(&layer.digest).await?,
        Packing::Archive => None,
    };
    let (code, path) = match kept {
        Some(path) => (layer.digest.clone(), path),
        None => {
            let name = reference.to_string();
            (settings.progress)(&name, Progress::PullBegins { bytes: layer.size });
            let fetched = fetch(&registry, layer, packing, settings).await?;
            (settings.progress)(&name, Progress::PullEnds);
            fetched
        }
    };
    settings.store.set_module(&digest, &code)?;
    remember(reference, &digest, &settings.store)?;
    settings.store.shrink(&path);
    Ok(path)
}

/// The code in a layer, and where it is kept.
async fn fetch(
    registry: &Registry<'_>,
    layer: &Descriptor,
    packing: Packing,
    settings: &Settings,
) -> Result<(Digest, PathBuf), PullError> {
    let store = &settings.store;
    let mut blob = registry.blob(layer, store.writer(layer.digest.algorithm)?).await?;
    if packing == Packing::Archive {
        let writer = store.writer(DigestAlgorithm::Sha256)?;
        blob = module::unpack(blob, writer, settings.module_max_bytes).await?;
    }
    Ok((blob.digest(), blob.keep().await?))
}

fn remember(reference: &Reference, digest: &Digest, store: &Store) -> Result<(), PullError> {
    if reference.digest.is_none() { store.set_tag(reference, digest) } else { Ok(()) }
}

/// The manifest that an index names for a platform.
async fn by_platform(registry: &Registry<'_>, entry: &Descriptor) -> Result<Manifest, PullError> {
    match registry.manifest_by_digest(&entry.digest).await? {
        Document::Manifest(manifest) => Ok(manifest),
        Document::Index(_) => {
            Err(PullError::Malformed("an index names another index for a platform".to_owned()))
        }
    }
}
