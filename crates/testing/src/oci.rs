//! Small images for tests: archives in OCI's layout, made of files that a test has.

use crate::servers::{Registry, sha256};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

/// An image with one layer.
#[derive(Default)]
pub struct Image<'a> {
    pub name: &'a str,
    /// Paths in the image, and what they hold. All can be executed.
    pub files: Vec<(&'a str, Vec<u8>)>,
    pub entrypoint: Vec<&'a str>,
    pub env: Vec<&'a str>,
    /// `8080/tcp`.
    pub exposed: Vec<&'a str>,
    /// `1000:1000`; root where it is empty.
    pub user: &'a str,
}

impl Image<'_> {
    /// Writes the archive (OCI image layout in a tar file), for `ctr image import` or `docker load`.
    pub fn write(&self, archive: &Path) {
        let layer = tar(self.files.iter().map(|(path, bytes)| (*path, bytes.as_slice())));
        let exposed: serde_json::Map<_, _> =
            self.exposed.iter().map(|port| ((*port).to_owned(), json!({}))).collect();
        let config = json!({
            "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
            "os": "linux",
            "config": {
                "Entrypoint": self.entrypoint, "Env": self.env, "ExposedPorts": exposed, "User": self.user,
            },
            "rootfs": { "type": "layers", "diff_ids": [sha256(&layer)] },
        })
        .to_string()
        .into_bytes();
        let of = |kind: &str, bytes: &[u8]| {
            json!({
                "mediaType": format!("application/vnd.oci.image.{kind}"),
                "digest": sha256(bytes),
                "size": bytes.len(),
            })
        };
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": of("config.v1+json", &config),
            "layers": [of("layer.v1.tar", &layer)],
        });
        layout(self.name, &manifest, &[&layer, &config], archive);
    }
}

/// An image whose layers are not only archives, as registries have it: an artifact of wasm, an app of Spin.
#[derive(Default)]
pub struct Artifact {
    /// Media type and bytes.
    pub config: (String, Vec<u8>),
    pub layers: Vec<(String, Vec<u8>)>,
}

impl Artifact {
    /// runwasi's: an image's configuration, and wasm files as layers (containerd/runwasi, `docs/src/oci-decision-flow.md`).
    pub fn wasm(entrypoint: &[&str], wasm: &[u8]) -> Artifact {
        let layer = "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm";
        Artifact { config: config(entrypoint), layers: vec![(layer.to_owned(), wasm.to_vec())] }
    }

    /// An app with one component and its files, as `spin registry push` makes it (spinframework/spin,
    /// `crates/oci/src/client.rs`, `crates/locked-app/src/locked.rs`).
    pub fn spin(wasm: &[u8], files: &[(&str, &[u8])]) -> Artifact {
        const INLINE_MAX_BYTES: usize = 128;
        let mut layers = vec![("application/vnd.wasm.content.layer.v1+wasm".to_owned(), wasm.to_vec())];
        let mut content = Vec::new();
        for (path, bytes) in files {
            let mut file = json!({ "path": path, "digest": sha256(bytes) });
            if bytes.len() <= INLINE_MAX_BYTES {
                file["inline"] = STANDARD.encode(bytes).into();
            } else {
                layers.push(("application/vnd.wasm.content.layer.v1+data".to_owned(), bytes.to_vec()));
            }
            content.push(file);
        }
        let app = json!({
            "spin_lock_version": 0,
            "metadata": { "name": "packed", "version": "1.0.0", "trigger": { "type": "http" }, "triggers": {} },
            "variables": { "greeting": { "default": "hello" } },
            "triggers": [{ "id": "trigger--web", "trigger_type": "http",
                           "trigger_config": { "component": "web", "executor": null, "route": "/..." } }],
            "components": [{
                "id": "web",
                "source": { "content_type": "application/wasm", "digest": sha256(wasm) },
                "metadata": { "key_value_stores": ["default"], "build": { "command": "cargo build" } },
                "config": { "greeting": "{{ greeting }}" },
                "files": content,
            }],
        });
        layers.push((
            "application/vnd.fermyon.spin.application.v1+config".to_owned(),
            app.to_string().into_bytes(),
        ));
        Artifact { config: config(&[]), layers }
    }

    /// Its manifest, and the bytes of all that this names.
    fn parts(&self) -> (Value, Vec<&[u8]>) {
        let described = |(kind, bytes): &(String, Vec<u8>)| json!({ "mediaType": kind, "digest": sha256(bytes), "size": bytes.len() });
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": described(&self.config),
            "layers": self.layers.iter().map(described).collect::<Vec<_>>(),
        });
        (manifest, self.blobs().map(|(_, bytes)| bytes.as_slice()).collect())
    }

    fn blobs(&self) -> impl Iterator<Item = &(String, Vec<u8>)> {
        [&self.config].into_iter().chain(&self.layers)
    }

    /// Pushes it; returns the digest of its manifest.
    #[track_caller]
    pub fn push(&self, registry: &Registry, repository: &str, tag: &str) -> String {
        let (manifest, _) = self.parts();
        for (kind, bytes) in self.blobs() {
            registry.push_blob(repository, kind, bytes, &sha256(bytes));
        }
        registry.push_manifest(repository, tag, &manifest)
    }

    /// Writes it as an archive (OCI image layout in a tar file) under a name.
    pub fn write(&self, name: &str, archive: &Path) {
        let (manifest, blobs) = self.parts();
        layout(name, &manifest, &blobs, archive);
    }
}

/// As Spin and runwasi have it, for no platform of machines.
fn config(entrypoint: &[&str]) -> (String, Vec<u8>) {
    let config = json!({
        "architecture": "wasm",
        "os": "wasip1",
        "config": { "Entrypoint": entrypoint },
        "rootfs": { "type": "layers", "diff_ids": [] },
    });
    ("application/vnd.oci.image.config.v1+json".to_owned(), config.to_string().into_bytes())
}

/// An archive of an image layout with one image.
fn layout(name: &str, manifest: &Value, blobs: &[&[u8]], archive: &Path) {
    let text = manifest.to_string().into_bytes();
    let listed = json!({
        "mediaType": manifest["mediaType"],
        "digest": sha256(&text),
        "size": text.len(),
        "annotations": { "io.containerd.image.name": name },
    });
    let index = json!({ "schemaVersion": 2, "manifests": [listed] }).to_string().into_bytes();
    let blobs = blobs.iter().copied().chain([text.as_slice()]);
    let blobs: Vec<_> =
        blobs.map(|bytes| (sha256(bytes).replace("sha256:", "blobs/sha256/"), bytes)).collect();
    let mut files =
        vec![("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#.as_slice()), ("index.json", &index)];
    files.extend(blobs.iter().map(|(path, bytes)| (path.as_str(), *bytes)));
    File::create(archive).and_then(|mut file| file.write_all(&tar(files.into_iter()))).expect("an archive");
}

fn tar<'a>(files: impl Iterator<Item = (&'a str, &'a [u8])>) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o755);
        tar.append_data(&mut header, path, bytes).expect("a file in an archive");
    }
    tar.into_inner().expect("an archive")
}

/// Debian's `busybox-static`: every program of a small native image.
pub fn busybox() -> Option<Vec<u8>> {
    let read = ["/bin/busybox", "/usr/bin/busybox"].iter().find_map(|path| fs::read(path).ok());
    read.or_else(|| crate::skip("busybox is not installed (Debian: apt-get install busybox-static)"))
}
