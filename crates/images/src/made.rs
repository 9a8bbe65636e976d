//! For tests: a store in a folder of its own, and images that are put there byte by byte.

use crate::blob::Hasher;
use crate::document::{Descriptor, MANIFEST};
use crate::images::{Image, Images, name};
use crate::{Digest, DigestAlgorithm, ImageError};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use tar::{EntryType, Header};
use tempfile::TempDir;

pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
pub const TAR_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

pub fn images() -> (TempDir, Images) {
    let folder = tempfile::tempdir().unwrap();
    let images = Images::at(folder.path().to_owned());
    (folder, images)
}

pub fn digest(bytes: &[u8]) -> Digest {
    Hasher::digest(DigestAlgorithm::Sha256, bytes)
}

/// An archive in the making.
#[derive(Default)]
pub struct Tar(Vec<u8>);

impl Tar {
    pub fn entry(mut self, kind: EntryType, name: &[u8], link: &[u8], mode: u32, content: &[u8]) -> Tar {
        let mut header = Header::new_ustar();
        let raw = header.as_mut_bytes();
        assert!(name.len() <= 100 && link.len() <= 100, "as it stands in a header");
        raw[..name.len()].copy_from_slice(name);
        raw[157..157 + link.len()].copy_from_slice(link);
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000_000);
        header.set_size(content.len() as u64);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub fn file(self, name: &str, content: &str) -> Tar {
        self.entry(EntryType::Regular, name.as_bytes(), b"", 0o644, content.as_bytes())
    }

    pub fn folder(self, name: &str) -> Tar {
        self.entry(EntryType::Directory, name.as_bytes(), b"", 0o755, b"")
    }

    pub fn symlink(self, name: &str, target: &str) -> Tar {
        self.entry(EntryType::Symlink, name.as_bytes(), target.as_bytes(), 0o777, b"")
    }

    pub fn link(self, name: &str, target: &str) -> Tar {
        self.entry(EntryType::Link, name.as_bytes(), target.as_bytes(), 0o644, b"")
    }

    pub fn done(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn described(kind: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": kind, "digest": digest(bytes).to_string(), "size": bytes.len() })
}

/// A configuration for layers that are given plain.
pub fn config(inner: Value, layers: &[&[u8]]) -> Value {
    let diff_ids: Vec<String> = layers.iter().map(|layer| digest(layer).to_string()).collect();
    json!({
        "architecture": "wasm", "os": "wasi", "config": inner, "rootfs": { "type": "layers", "diff_ids": diff_ids },
    })
}

impl Images {
    /// Keeps an image with a configuration, and layers of these types and bytes.
    pub fn make(
        &self,
        full: &str,
        config: (&str, &Value),
        layers: &[(&str, &[u8])],
    ) -> Result<Image, ImageError> {
        let text = config.1.to_string();
        let parts: Vec<Value> = layers.iter().map(|(kind, bytes)| described(kind, bytes)).collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": described(config.0, text.as_bytes()), "layers": parts,
        });
        self.keep(
            full,
            &manifest,
            &[&[text.as_bytes()], &Vec::from_iter(layers.iter().map(|one| one.1))[..]].concat(),
        )
    }

    pub fn keep(&self, full: &str, manifest: &Value, blobs: &[&[u8]]) -> Result<Image, ImageError> {
        let _held = self.layout.adding()?;
        for blob in blobs {
            self.layout.put(blob)?;
        }
        let text = manifest.to_string();
        let entry = Descriptor {
            media_type: MANIFEST.to_owned(),
            digest: self.layout.put(text.as_bytes())?,
            size: text.len() as u64,
            platform: None,
            annotations: BTreeMap::new(),
        };
        self.layout.change(|entries| {
            let digest = entry.digest.clone();
            name(entries, entry, Some(&full.parse().unwrap()));
            self.image(&digest, entries)
        })
    }

    /// One layer with one file, which the entrypoint names.
    pub fn make_hello(&self, full: &str, content: &str) -> Image {
        let layer = Tar::default().file("hello.wasm", content).done();
        let config = config(json!({ "Entrypoint": ["/hello.wasm"] }), &[&layer]);
        self.make(full, (CONFIG, &config), &[(TAR_GZIP, &gzip(&layer))]).unwrap()
    }
}
