//! `load`: an OCI image layout or a docker archive (also that of Docker before version 25), compressed or not. What
//! the archive names comes in any order, so every file is kept as a blob first, and the images are made of them at the
//! end. If that fails, the blobs are garbage.

use super::{DOCKER_MANIFEST, DockerImage, INDEX, OCI_LAYOUT};
use crate::compression::{Compression, detect, plain};
use crate::document::{Descriptor, Document, MANIFEST, document};
use crate::form::{LAYERS_MAX, plan};
use crate::images::{CONFIG_MAX_BYTES, Image, Images, MANIFEST_MAX_BYTES, name};
use crate::layout::{CONTAINERD_NAME, REF_NAME, parse_index};
use crate::{Digest, DigestAlgorithm, ImageError, Reference};
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};
use tar::{Archive, EntryType};

/// What one archive may unpack to: some images.
const ARCHIVE_MAX_BYTES: u64 = 64 << 30;
/// Images have tens of parts.
const ENTRIES_MAX: usize = 100_000;
/// A layer of Docker's old archives is a link to that of another image.
const LINKS_MAX: usize = 8;

/// What came, by its name in the archive.
#[derive(Default)]
struct Parts {
    files: HashMap<String, Part>,
    links: HashMap<String, String>,
}

#[derive(Clone)]
struct Part {
    digest: Digest,
    size: u64,
    compression: Compression,
}

/// A manifest that is to be in the index, and its names.
struct Found {
    described: Descriptor,
    names: Vec<Reference>,
}

impl Images {
    /// Takes the images of an archive; they have the names that it says.
    ///
    /// # Errors
    /// If anything in it is not what it says to be. Then none of its images is taken.
    pub fn load(&self, input: impl Read) -> Result<Vec<Image>, ImageError> {
        let loaded = {
            let _held = self.layout.adding()?;
            self.read(input).and_then(|parts| {
                let found = self.found(&parts)?;
                self.layout.change(|entries| {
                    for one in &found {
                        match one.names.as_slice() {
                            [] => name(entries, one.described.clone(), None),
                            names => {
                                names.iter().for_each(|full| name(entries, one.described.clone(), Some(full)))
                            }
                        }
                    }
                    found.iter().map(|one| self.image(&one.described.digest, entries)).collect()
                })
            })
        };
        if loaded.is_err() {
            // What went wrong before is what there is to say.
            let _ = self.collect_garbage();
        }
        loaded
    }

    fn read(&self, input: impl Read) -> Result<Parts, ImageError> {
        let damaged =
            |error: io::Error| ImageError::Malformed(format!("the archive cannot be read: {error}"));
        let mut archive = Archive::new(plain(input).map_err(damaged)?.take(ARCHIVE_MAX_BYTES));
        let mut parts = Parts::default();
        for (at, entry) in archive.entries().map_err(damaged)?.raw(true).enumerate() {
            let mut entry = entry.map_err(damaged)?;
            if at >= ENTRIES_MAX {
                return Err(ImageError::Malformed(format!("the archive has more than {ENTRIES_MAX} files")));
            }
            let name = entry.path_bytes();
            let name = String::from_utf8_lossy(&name).trim_start_matches("./").to_owned();
            match entry.header().entry_type() {
                EntryType::Regular | EntryType::Continuous => {
                    let part = self.part(&mut entry).map_err(|error| match error {
                        ImageError::Io { path, error } if path.as_os_str().is_empty() => damaged(error),
                        other => other,
                    })?;
                    if let Some(hex) = name.strip_prefix("blobs/sha256/")
                        && hex != part.digest.hex
                    {
                        let expected = Digest { algorithm: DigestAlgorithm::Sha256, hex: hex.to_owned() };
                        return Err(ImageError::Damaged { what: "the blob", expected, found: part.digest });
                    }
                    parts.files.insert(name, part);
                }
                EntryType::Symlink | EntryType::Link => {
                    let target = entry.header().link_name_bytes().unwrap_or_default();
                    parts.links.insert(name, String::from_utf8_lossy(&target).into_owned());
                }
                _ => {}
            }
        }
        Ok(parts)
    }

    /// Keeps a file of the archive. An error with an empty path is the archive's.
    fn part(&self, entry: &mut tar::Entry<'_, impl Read>) -> Result<Part, ImageError> {
        let theirs = |error| ImageError::io(std::path::Path::new(""), error);
        let wanted = entry.header().size().map_err(theirs)?;
        let mut writer = self.layout.writer(DigestAlgorithm::Sha256)?;
        let mut buffer = vec![0; 64 << 10];
        let (mut size, mut compression) = (0, Compression::None);
        loop {
            let count = entry.read(&mut buffer).map_err(theirs)?;
            if count == 0 {
                break;
            }
            if size == 0 {
                compression = detect(&buffer[..count]);
            }
            writer.write(&buffer[..count])?;
            size += count as u64;
        }
        if size < wanted {
            return Err(theirs(io::ErrorKind::UnexpectedEof.into()));
        }
        let blob = writer.done();
        let digest = blob.digest();
        if !self.layout.has(&digest) {
            blob.keep_now()?;
        }
        Ok(Part { digest, size, compression })
    }

    fn found(&self, parts: &Parts) -> Result<Vec<Found>, ImageError> {
        if let (Some(index), true) = (parts.files.get(INDEX), parts.files.contains_key(OCI_LAYOUT)) {
            let bytes = self.layout.read(&index.digest, MANIFEST_MAX_BYTES)?;
            let entries = parse_index(&bytes)
                .map_err(|error| ImageError::Malformed(format!("its index.json is malformed: {error}")))?;
            if !entries.is_empty() {
                return entries.into_iter().map(|entry| self.found_by_oci(entry)).collect();
            }
        }
        let Some(manifest) = parts.files.get(DOCKER_MANIFEST) else {
            return Err(ImageError::Malformed(
                "it is no archive of images: it has neither index.json nor manifest.json".to_owned(),
            ));
        };
        let bytes = self.layout.read(&manifest.digest, MANIFEST_MAX_BYTES)?;
        let images: Vec<DockerImage> = serde_json::from_slice(&bytes)
            .map_err(|error| ImageError::Malformed(format!("its manifest.json is malformed: {error}")))?;
        images.iter().map(|image| self.found_by_docker(image, parts)).collect()
    }

    fn found_by_oci(&self, mut entry: Descriptor) -> Result<Found, ImageError> {
        let names = name_of(&entry).into_iter().collect();
        let (digest, manifest, bytes) = self.manifest(&entry.digest)?;
        let config = manifest.config.as_ref();
        let config =
            config.ok_or_else(|| ImageError::Malformed("its manifest names no configuration".to_owned()))?;
        // Everything that it needs has come, and the sizes are those that it says.
        for part in manifest.layers.iter().chain([config]) {
            let path = self.layout.path(&part.digest);
            let file = self.layout.open(&part.digest)?;
            let found = file.metadata().map_err(|error| ImageError::io(&path, error))?.len();
            if found != part.size {
                let found = found.to_string();
                return Err(crate::PullError::Size { expected: part.size, found }.into());
            }
        }
        let text = self.layout.read(&config.digest, CONFIG_MAX_BYTES)?;
        plan(&digest, &manifest, &text)?;
        if digest != entry.digest {
            entry.media_type = MANIFEST.to_owned();
            entry.size = bytes.len() as u64;
            entry.digest = digest;
        }
        entry.annotations = BTreeMap::new();
        Ok(Found { described: entry, names })
    }

    /// Makes a manifest for what has none.
    fn found_by_docker(&self, image: &DockerImage, parts: &Parts) -> Result<Found, ImageError> {
        let config = parts.get(&image.config)?;
        let mut layers = Vec::new();
        for name in image.layers.iter().flatten() {
            let layer = parts.get(name)?;
            let kind = match layer.compression {
                Compression::None => "application/vnd.oci.image.layer.v1.tar",
                Compression::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
                Compression::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
            };
            layers.push(json!({ "mediaType": kind, "digest": layer.digest.to_string(), "size": layer.size }));
        }
        if layers.len() > LAYERS_MAX {
            return Err(ImageError::Malformed(format!("it has more than {LAYERS_MAX} layers")));
        }
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": config.digest.to_string(),
                "size": config.size,
            },
            "layers": layers,
        });
        let bytes = manifest.to_string().into_bytes();
        let digest = self.layout.put(&bytes)?;
        if let Document::Manifest(manifest) = document(&bytes)? {
            plan(&digest, &manifest, &self.layout.read(&config.digest, CONFIG_MAX_BYTES)?)?;
        }
        let names = image.repo_tags.iter().flatten().map(|text| parse(text)).collect::<Result<_, _>>()?;
        let described = Descriptor {
            media_type: MANIFEST.to_owned(),
            digest,
            size: bytes.len() as u64,
            platform: None,
            annotations: BTreeMap::new(),
        };
        Ok(Found { described, names })
    }
}

impl Parts {
    /// A file, or that to which a link leads.
    fn get(&self, name: &str) -> Result<&Part, ImageError> {
        let mut name = name.to_owned();
        for _ in 0..LINKS_MAX {
            if let Some(part) = self.files.get(&name) {
                return Ok(part);
            }
            let Some(target) = self.links.get(&name) else { break };
            let mut path: Vec<&str> = name.split('/').collect();
            path.pop();
            for step in target.split('/') {
                match step {
                    "" | "." => {}
                    ".." => drop(path.pop()),
                    step => path.push(step),
                }
            }
            name = path.join("/");
        }
        Err(ImageError::Malformed(format!("the archive names {name:?}, which is not in it")))
    }
}

/// The name that an index gives an image. Tools write the whole, or only the tag, which would be no name.
fn name_of(entry: &Descriptor) -> Option<Reference> {
    let whole = entry.annotations.get(CONTAINERD_NAME);
    let name = whole.or_else(|| entry.annotations.get(REF_NAME).filter(|name| name.contains([':', '/'])))?;
    name.parse().ok()
}

fn parse(text: &str) -> Result<Reference, ImageError> {
    text.parse().map_err(|error: crate::ParseReferenceError| ImageError::Name {
        text: text.to_owned(),
        what: error.what,
        help: error.help,
    })
}
