//! The images that are here: found by name or id, named, unnamed and removed.

use crate::document::{Descriptor, Document, Manifest, Platform, document};
use crate::form::{Form, Plan, plan};
use crate::layout::{Held, INDEX_DIGEST, Layout, REF_NAME};
use crate::rootfs::Limits;
use crate::{Digest, ImageError, Reference};
use chrono::DateTime;
use oci_spec::image::ImageConfiguration;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::SystemTime;

/// As registries allow them.
pub const MANIFEST_MAX_BYTES: u64 = 4 << 20;
pub const CONFIG_MAX_BYTES: u64 = 8 << 20;
/// Of an id, so many digits must be written.
const ID_DIGITS_MIN: usize = 4;
/// An index in an index, and no deeper.
const NESTED_MAX: usize = 2;

/// Where images and containers are: `$SAMPAN_DATA_DIR`, else `/var/lib/sampan` for root, else `$XDG_DATA_HOME/sampan`,
/// else `~/.local/share/sampan`. `None` where the environment names no place.
pub fn data_dir() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(folder) = variable("SAMPAN_DATA_DIR") {
        return Some(folder);
    }
    if rustix::process::geteuid().is_root() {
        return Some(PathBuf::from("/var/lib/sampan"));
    }
    variable("XDG_DATA_HOME")
        .map(|folder| folder.join("sampan"))
        .or_else(|| variable("HOME").map(|home| home.join(".local/share/sampan")))
}

/// The images of a data folder. Several processes may have it open.
#[derive(Clone, Debug)]
pub struct Images {
    pub(crate) layout: Layout,
    /// Of what is unpacked.
    pub limits: Limits,
}

/// An image that is here. Its parts may still be damaged, which shows when they are used.
#[derive(Clone, Debug)]
pub struct Image {
    /// The digest of the configuration; of an artifact that has none of an image, that of the manifest.
    pub id: Digest,
    pub manifest: Digest,
    /// Whole references with a tag, such as `docker.io/library/x:1`.
    pub names: Vec<String>,
    /// Where it came from: whole references with the digest of its manifest or index.
    pub digests: Vec<String>,
    /// As the image says, or made from what it is: it says how to start it.
    pub config: ImageConfiguration,
    pub layers: Vec<Descriptor>,
    /// Of everything that is kept of it, as it is kept.
    pub size_bytes: u64,
    pub created: Option<SystemTime>,
    pub form: Form,
    pub platform: Platform,
    pub annotations: BTreeMap<String, String>,
    pub(crate) plan: Plan,
}

/// What a removal did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    pub untagged: Vec<String>,
    /// Ids.
    pub deleted: Vec<Digest>,
}

impl Images {
    /// Those of a data folder, in its `images/`.
    pub fn at(root: PathBuf) -> Images {
        Images { layout: Layout { root: root.join("images") }, limits: Limits::default() }
    }

    /// Those of this user; see [`data_dir`].
    pub fn of_user() -> Option<Images> {
        data_dir().map(Images::at)
    }

    /// The image that a person means: a reference, an id or its beginning, or `name@digest`.
    pub fn find(&self, name: &str) -> Result<Image, ImageError> {
        let entries = self.layout.entries()?;
        if let Some(entry) = by_name(&entries, name) {
            return self.image(&entry.digest, &entries);
        }
        let mut found = self.by_id(name, &entries)?;
        // The same image may be here in two packings.
        found.sort_by(|one, other| one.id.hex.cmp(&other.id.hex));
        found.dedup_by(|one, other| one.id == other.id);
        match found.len() {
            0 => Err(ImageError::NotFound(name.to_owned())),
            1 => Ok(found.remove(0)),
            count => Err(ImageError::Ambiguous { prefix: name.to_owned(), count }),
        }
    }

    /// All that are whole as far as their documents go, the newest first.
    pub fn list(&self) -> Result<Vec<Image>, ImageError> {
        let entries = self.layout.entries()?;
        let mut images: Vec<Image> = Vec::new();
        for entry in &entries {
            // Another process may be removing it, or it is damaged, which whoever names it is told.
            let Ok(image) = self.image(&entry.digest, &entries) else { continue };
            if !images.iter().any(|one| one.manifest == image.manifest) {
                images.push(image);
            }
        }
        images
            .sort_by(|one, other| other.created.cmp(&one.created).then_with(|| one.names.cmp(&other.names)));
        Ok(images)
    }

    /// The files of an image, which nobody removes while the second value lives: until a container names it.
    ///
    /// # Errors
    /// As [`Images::rootfs`]; also where the image was removed since it was found.
    pub fn held(&self, image: &Image) -> Result<(PathBuf, Held), ImageError> {
        let held = self.layout.using()?;
        if !self.layout.entries()?.iter().any(|one| one.digest == image.manifest) {
            return Err(ImageError::NotFound(image.names.first().cloned().unwrap_or(image.id.to_string())));
        }
        Ok((self.rootfs(image)?, held))
    }

    /// Gives an image one more name, which another loses if it has it.
    pub fn tag(&self, image: &Image, new: &Reference) -> Result<(), ImageError> {
        let entry = Descriptor {
            media_type: crate::document::MANIFEST.to_owned(),
            digest: image.manifest.clone(),
            size: 0,
            platform: Some(image.platform.clone()),
            annotations: BTreeMap::new(),
        };
        self.layout.change(|entries| {
            let known = entries.iter().find(|one| one.digest == image.manifest).cloned();
            let known = known.ok_or_else(|| ImageError::NotFound(image.id.to_string()))?;
            let entry = Descriptor { media_type: known.media_type, size: known.size, ..entry };
            name(entries, entry, Some(new));
            Ok(())
        })
    }

    /// Takes a name from an image, and the last one with the image itself, unless `in_use` knows its id. With `force`,
    /// all names of an id go, and what is in use stays without a name. `in_use` is asked when nobody can begin to use it.
    pub fn remove(
        &self,
        wanted: &str,
        force: bool,
        in_use: &dyn Fn(&Digest) -> bool,
    ) -> Result<Removed, ImageError> {
        let image = self.find(wanted)?;
        let removing = self.layout.removing()?;
        let used = in_use(&image.id);
        let removed = self.layout.change(|entries| {
            let is_named =
                by_name(entries, wanted).and_then(|entry| entry.annotations.get(REF_NAME).cloned());
            let others = |entries: &[Descriptor], name: &str| {
                entries.iter().any(|one| one.digest == image.manifest && names_other(one, name))
            };
            let mut removed = Removed::default();
            if let Some(name) = is_named {
                if others(entries, &name) {
                    entries.retain(|one| one.annotations.get(REF_NAME) != Some(&name));
                    removed.untagged.push(name);
                    return Ok(removed);
                }
            } else if image.names.len() > 1 && !force {
                return Err(ImageError::ManyNames { name: wanted.to_owned(), count: image.names.len() });
            }
            if used && !force {
                return Err(ImageError::InUse { name: wanted.to_owned() });
            }
            let all = entries.iter().filter(|one| one.digest == image.manifest).cloned().collect::<Vec<_>>();
            removed.untagged.extend(all.iter().filter_map(|one| one.annotations.get(REF_NAME).cloned()));
            entries.retain(|one| one.digest != image.manifest);
            match all.into_iter().next() {
                Some(mut one) if used => {
                    one.annotations.remove(REF_NAME);
                    one.annotations.remove(crate::layout::CONTAINERD_NAME);
                    entries.push(one);
                }
                _ => removed.deleted.push(image.id.clone()),
            }
            Ok(removed)
        })?;
        drop(removing);
        self.collect_garbage()?;
        Ok(removed)
    }

    /// Removes the images that have no name (any more).
    pub fn prune(&self, in_use: &dyn Fn(&Digest) -> bool) -> Result<Removed, ImageError> {
        let removing = self.layout.removing()?;
        let unnamed = |image: &Image| image.names.is_empty() && !in_use(&image.id);
        let gone: Vec<Image> = self.list()?.into_iter().filter(unnamed).collect();
        let removed = self.layout.change(|entries| {
            let mut removed = Removed::default();
            for image in gone {
                // It may have got a name meanwhile.
                let mut its = entries.iter().filter(|one| one.digest == image.manifest);
                if its.all(|one| !one.annotations.contains_key(REF_NAME)) {
                    entries.retain(|one| one.digest != image.manifest);
                    removed.deleted.push(image.id);
                }
            }
            Ok(removed)
        })?;
        drop(removing);
        self.collect_garbage()?;
        Ok(removed)
    }

    /// The configuration of an image as it was written, with whatever is in it; of an artifact, what was made of it.
    pub fn config(&self, image: &Image) -> Result<Value, ImageError> {
        let wrong = |error: serde_json::Error| ImageError::Malformed(error.to_string());
        if !image.plan.has_config || image.form != Form::Layers {
            return serde_json::to_value(&image.config).map_err(wrong);
        }
        serde_json::from_slice(&self.layout.read(&image.id, CONFIG_MAX_BYTES)?).map_err(wrong)
    }

    fn by_id(&self, prefix: &str, entries: &[Descriptor]) -> Result<Vec<Image>, ImageError> {
        let digits = prefix.strip_prefix("sha256:").unwrap_or(prefix);
        if digits.len() < ID_DIGITS_MIN || !digits.bytes().all(|one| matches!(one, b'0'..=b'9' | b'a'..=b'f'))
        {
            return Ok(Vec::new());
        }
        let mut found: Vec<Image> = Vec::new();
        for entry in entries {
            let Ok(image) = self.image(&entry.digest, entries) else { continue };
            if image.id.hex.starts_with(digits) && !found.iter().any(|one| one.manifest == image.manifest) {
                found.push(image);
            }
        }
        Ok(found)
    }

    /// The image of a manifest, or of what an index has for WebAssembly.
    pub(crate) fn image(&self, digest: &Digest, entries: &[Descriptor]) -> Result<Image, ImageError> {
        let (manifest_digest, manifest, manifest_bytes) = self.manifest(digest)?;
        let config = manifest.config.as_ref();
        let config =
            config.ok_or_else(|| ImageError::Malformed("its manifest names no configuration".to_owned()))?;
        let bytes = self.layout.read(&config.digest, CONFIG_MAX_BYTES)?;
        let plan = plan(&manifest_digest, &manifest, &bytes)?;
        let its = entries.iter().filter(|one| one.digest == *digest);
        let (mut names, mut digests) = (Vec::new(), Vec::new());
        for entry in its {
            let Some(reference) =
                entry.annotations.get(REF_NAME).and_then(|name| name.parse::<Reference>().ok())
            else {
                continue;
            };
            let known = entry.annotations.get(INDEX_DIGEST).and_then(|text| text.parse().ok());
            if let (Some(_), None) = (&reference.tag, &reference.digest) {
                names.push(reference.to_string());
            }
            let digest = Some(known.unwrap_or_else(|| digest.clone()));
            digests.push(Reference { tag: None, digest, ..reference }.to_string());
        }
        names.sort();
        digests.sort();
        digests.dedup();
        let layers = manifest.layers;
        let created =
            plan.config.created().as_deref().and_then(|text| DateTime::parse_from_rfc3339(text).ok());
        Ok(Image {
            id: if plan.has_config { config.digest.clone() } else { manifest_digest.clone() },
            manifest: manifest_digest,
            names,
            digests,
            size_bytes: layers.iter().map(|one| one.size).sum::<u64>()
                + bytes.len() as u64
                + manifest_bytes.len() as u64,
            layers,
            created: created.map(SystemTime::from),
            form: plan.form,
            platform: Platform {
                variant: plan.config.variant().clone(),
                ..Platform::new(&plan.config.os().to_string(), &plan.config.architecture().to_string())
            },
            annotations: manifest.annotations,
            config: plan.config.clone(),
            plan,
        })
    }

    /// A manifest that is here, its digest and its bytes. Of an index, that for WebAssembly or the only one.
    pub(crate) fn manifest(&self, digest: &Digest) -> Result<(Digest, Manifest, Vec<u8>), ImageError> {
        let mut digest = digest.clone();
        for _ in 0..=NESTED_MAX {
            let bytes = self.layout.read(&digest, MANIFEST_MAX_BYTES)?;
            match document(&bytes)? {
                Document::Manifest(manifest) => return Ok((digest, manifest, bytes)),
                Document::Index(index) => {
                    let here: Vec<_> =
                        index.manifests.into_iter().filter(|one| self.layout.has(&one.digest)).collect();
                    digest = match here.as_slice() {
                        [one] => one.digest.clone(),
                        _ => crate::module::platform(&crate::document::Index { manifests: here })?
                            .digest
                            .clone(),
                    };
                }
            }
        }
        Err(ImageError::Malformed("an index leads to an index, again and again".to_owned()))
    }
}

/// The entry that a name means: with a tag, or with a digest of a manifest or of an index.
fn by_name<'a>(entries: &'a [Descriptor], name: &str) -> Option<&'a Descriptor> {
    let reference: Reference = name.parse().ok()?;
    let full = reference.to_string();
    if let Some(entry) = entries.iter().find(|one| one.annotations.get(REF_NAME) == Some(&full)) {
        return Some(entry);
    }
    let digest = reference.digest.as_ref()?;
    entries.iter().find(|one| {
        let other: Option<Reference> = one.annotations.get(REF_NAME).and_then(|name| name.parse().ok());
        let is_same = other.is_some_and(|other| {
            other.registry == reference.registry && other.repository == reference.repository
        });
        let of_index = one.annotations.get(INDEX_DIGEST).and_then(|text| text.parse::<Digest>().ok());
        is_same && (one.digest == *digest || of_index.as_ref() == Some(digest))
    })
}

fn names_other(entry: &Descriptor, name: &str) -> bool {
    entry.annotations.get(REF_NAME).is_some_and(|other| other != name)
}

/// Puts an entry under a name. Who had the name before stays, without it.
pub fn name(entries: &mut Vec<Descriptor>, mut entry: Descriptor, reference: Option<&Reference>) {
    let digest = entry.digest.clone();
    if let Some(reference) = reference {
        let full = reference.to_string();
        for one in entries.iter_mut().filter(|one| one.annotations.get(REF_NAME) == Some(&full)) {
            one.annotations.remove(REF_NAME);
            one.annotations.remove(crate::layout::CONTAINERD_NAME);
        }
        entry.annotations.insert(crate::layout::CONTAINERD_NAME.to_owned(), full.clone());
        entry.annotations.insert(REF_NAME.to_owned(), full);
    }
    let is_unnamed = |one: &Descriptor| !one.annotations.contains_key(REF_NAME);
    if reference.is_some() || !entries.iter().any(|one| one.digest == digest) {
        entries.push(entry);
    }
    // An entry without a name is needed only where there is no other for the same.
    let named: Vec<Digest> =
        entries.iter().filter(|one| !is_unnamed(one)).map(|one| one.digest.clone()).collect();
    let mut seen: Vec<Digest> = Vec::new();
    entries.retain(|one| {
        let keep = !is_unnamed(one) || !named.contains(&one.digest) && !seen.contains(&one.digest);
        seen.push(one.digest.clone());
        keep
    });
}

/// A name as Docker shows it: without what everybody leaves out.
pub fn familiar(full: &str) -> &str {
    full.strip_prefix("docker.io/library/").or(full.strip_prefix("docker.io/")).unwrap_or(full)
}

#[cfg(test)]
#[path = "images_tests.rs"]
mod tests;
