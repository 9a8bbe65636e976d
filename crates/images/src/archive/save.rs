//! `save`: the same images make the same archive.

use super::{DOCKER_MANIFEST, DockerImage, INDEX, OCI_LAYOUT};
use crate::document::Descriptor;
use crate::form::Form;
use crate::images::{Image, Images};
use crate::layout::{CONTAINERD_NAME, REF_NAME, index};
use crate::rootfs::Hashing;
use crate::{Digest, DigestAlgorithm, ImageError, Reference};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::path::Path;
use tar::{Builder, EntryType, Header};

impl Images {
    /// Writes images with everything that they consist of. A name keeps its name; an id has none, or all that it has.
    pub fn save(&self, wanted: &[String], out: impl Write) -> Result<(), ImageError> {
        let _held = self.layout.adding()?;
        let (mut manifests, mut docker, mut blobs) = (Vec::new(), Vec::new(), BTreeSet::new());
        for name in wanted {
            let image = self.find(name)?;
            let names = match name.parse::<Reference>().map(|reference| reference.to_string()) {
                Ok(full) if image.names.contains(&full) => vec![full],
                _ => image.names.clone(),
            };
            let (_, manifest, bytes) = self.manifest(&image.manifest)?;
            let config = manifest.config.map(|config| config.digest);
            let parts = image.layers.iter().map(|layer| layer.digest.clone()).chain(config.clone());
            blobs.extend(parts.chain([image.manifest.clone()]).map(|digest| digest.to_string()));
            let described = Descriptor {
                media_type: crate::document::MANIFEST.to_owned(),
                digest: image.manifest.clone(),
                size: bytes.len() as u64,
                platform: Some(image.platform.clone()),
                annotations: BTreeMap::new(),
            };
            manifests.extend(named(&described, &names));
            if let (Form::Layers, Some(config)) = (image.form, config) {
                docker.push(for_docker(&image, &config, names));
            }
        }
        let mut archive = Archive { builder: Builder::new(out) };
        archive.bytes(OCI_LAYOUT, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        archive.bytes(INDEX, &index(manifests)?)?;
        if !docker.is_empty() {
            let text =
                serde_json::to_vec(&docker).map_err(|error| ImageError::Malformed(error.to_string()))?;
            archive.bytes(DOCKER_MANIFEST, &text)?;
        }
        archive.folder("blobs/")?;
        for algorithm in [DigestAlgorithm::Sha256, DigestAlgorithm::Sha512] {
            let mut its = blobs.iter().filter(|one| one.starts_with(algorithm.name())).peekable();
            if its.peek().is_some() {
                archive.folder(&format!("blobs/{}/", algorithm.name()))?;
            }
            for digest in its {
                let digest: Digest = digest.parse().map_err(|_| ImageError::Malformed(digest.clone()))?;
                archive.blob(self, &digest)?;
            }
        }
        let mut out = archive.builder.into_inner().map_err(failed)?;
        out.flush().map_err(failed)
    }
}

/// An entry for each name.
fn named(described: &Descriptor, names: &[String]) -> Vec<Descriptor> {
    if names.is_empty() {
        return vec![described.clone()];
    }
    let one = |name: &String| {
        let annotations = [(REF_NAME, name), (CONTAINERD_NAME, name)];
        let annotations =
            annotations.into_iter().map(|(key, value)| (key.to_owned(), value.clone())).collect();
        Descriptor { annotations, ..described.clone() }
    };
    names.iter().map(one).collect()
}

fn for_docker(image: &Image, config: &Digest, names: Vec<String>) -> DockerImage {
    let path = |digest: &Digest| format!("blobs/{}/{}", digest.algorithm.name(), digest.hex);
    // Docker shows names as they stand here.
    let names = names.into_iter().map(|name| crate::images::familiar(&name).to_owned()).collect();
    DockerImage {
        config: path(config),
        repo_tags: Some(names),
        layers: Some(image.layers.iter().map(|layer| path(&layer.digest)).collect()),
    }
}

fn failed(error: io::Error) -> ImageError {
    ImageError::io(Path::new("the archive"), error)
}

struct Archive<W: Write> {
    builder: Builder<W>,
}

impl<W: Write> Archive<W> {
    fn bytes(&mut self, name: &str, bytes: &[u8]) -> Result<(), ImageError> {
        let mut header = header(EntryType::Regular, bytes.len() as u64);
        self.builder.append_data(&mut header, name, bytes).map_err(failed)
    }

    fn folder(&mut self, name: &str) -> Result<(), ImageError> {
        self.builder.append_data(&mut header(EntryType::Directory, 0), name, io::empty()).map_err(failed)
    }

    fn blob(&mut self, images: &Images, digest: &Digest) -> Result<(), ImageError> {
        let path = images.layout.path(digest);
        let file = images.layout.open(digest)?;
        let size = file.metadata().map_err(|error| ImageError::io(&path, error))?.len();
        let mut content = Hashing::new(file.take(size), digest.algorithm);
        let name = format!("blobs/{}/{}", digest.algorithm.name(), digest.hex);
        self.builder
            .append_data(&mut header(EntryType::Regular, size), name, &mut content)
            .map_err(failed)?;
        let found = content.hasher.finish();
        if found == *digest {
            return Ok(());
        }
        Err(ImageError::Damaged { what: "the blob", expected: digest.clone(), found })
    }
}

fn header(kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o644 });
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}
