//! Small images for tests: archives in OCI's layout, made of files that a test has.

use crate::servers::sha256;
use serde_json::json;
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
        })
        .to_string()
        .into_bytes();
        let mut listed = of("manifest.v1+json", &manifest);
        listed["annotations"] = json!({ "io.containerd.image.name": self.name });
        let index = json!({ "schemaVersion": 2, "manifests": [listed] }).to_string().into_bytes();

        let blobs = [&layer, &config, &manifest]
            .map(|bytes| (sha256(bytes).replace("sha256:", "blobs/sha256/"), bytes));
        let mut files =
            vec![("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#.as_slice()), ("index.json", &index)];
        files.extend(blobs.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())));
        File::create(archive)
            .and_then(|mut file| file.write_all(&tar(files.into_iter())))
            .expect("an archive");
    }
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
