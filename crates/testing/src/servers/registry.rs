//! A registry of OCI images, from Debian's package `docker-registry`, and pushing to it.

use crate::{Response, Running, free_port, http_send, skip, temp_dir};
use serde_json::{Value, json};
use std::fs;
use std::process::{Command, Stdio};

/// The user and the password of a registry that wants to know.
pub const REGISTRY_USER: &str = "sampan";
pub const REGISTRY_PASSWORD: &str = "secret";
/// The password by bcrypt with the least cost, as `htpasswd -B -C 4` writes it.
const HTPASSWD: &str = "sampan:$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n";
/// The two in base64, for `Authorization`.
pub const REGISTRY_BASIC: &str = "c2FtcGFuOnNlY3JldA==";

/// A registry on 127.0.0.1 that keeps its images in a folder. It is killed when the value is dropped.
pub struct Registry {
    pub port: u16,
    is_closed: bool,
    running: Option<Running>,
    folder: tempfile::TempDir,
}

impl Registry {
    /// Starts one that anybody may use; `None` (after saying so) where it is not installed.
    #[track_caller]
    pub fn start() -> Option<Registry> {
        Registry::start_with(false, None)
    }

    /// Starts one that wants a user and a password.
    #[track_caller]
    pub fn start_closed() -> Option<Registry> {
        Registry::start_with(true, None)
    }

    /// Starts one that wants TLS, a user and a password; its certificate and key are PEM.
    #[track_caller]
    pub fn start_tls(certificate: &str, key: &str) -> Option<Registry> {
        Registry::start_with(true, Some((certificate, key)))
    }

    #[track_caller]
    fn start_with(is_closed: bool, tls: Option<(&str, &str)>) -> Option<Registry> {
        let installed = Command::new("docker-registry").arg("--version").stdout(Stdio::null()).status();
        if !installed.is_ok_and(|status| status.success()) {
            return skip("docker-registry is not installed (Debian: apt-get install docker-registry)");
        }
        let (port, folder) = (free_port(), temp_dir());
        let at = folder.path().display();
        let auth = match is_closed {
            true => format!("auth:\n  htpasswd:\n    realm: test\n    path: {at}/htpasswd\n"),
            false => String::new(),
        };
        let tls_config = match tls {
            Some((certificate, key)) => {
                fs::write(folder.path().join("cert.pem"), certificate).expect("a file in our own folder");
                fs::write(folder.path().join("key.pem"), key).expect("a file in our own folder");
                format!("  tls:\n    certificate: {at}/cert.pem\n    key: {at}/key.pem\n")
            }
            None => String::new(),
        };
        let config = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {at}/images\n\
             http:\n  addr: 127.0.0.1:{port}\n{tls_config}{auth}"
        );
        fs::write(folder.path().join("config.yml"), config).expect("a file in our own folder");
        fs::write(folder.path().join("htpasswd"), HTPASSWD).expect("a file in our own folder");
        let mut registry = Registry { port, is_closed, running: None, folder };
        registry.restart();
        Some(registry)
    }

    /// A reference into this registry: `REST` is `name:tag` or `name@digest`.
    pub fn reference(&self, rest: &str) -> String {
        format!("127.0.0.1:{}/{rest}", self.port)
    }

    /// Kills it, as a crash would.
    pub fn kill(&mut self) {
        self.running = None;
    }

    /// Starts it again on the same port, with its images.
    #[track_caller]
    pub fn restart(&mut self) {
        self.kill();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(self.folder.path().join("config.yml"));
        self.running = Some(Running::start(&mut command).listening("docker-registry", self.port));
    }

    #[track_caller]
    fn send(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> Response {
        let basic = format!("Basic {REGISTRY_BASIC}");
        let mut headers = vec![("Content-Type", kind)];
        if self.is_closed {
            headers.push(("Authorization", basic.as_str()));
        }
        let sent = http_send(("127.0.0.1", self.port), method, path, &headers, body);
        sent.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// Puts a blob into a repository; returns its descriptor.
    #[track_caller]
    pub fn push_blob(&self, repository: &str, kind: &str, bytes: &[u8], digest: &str) -> Value {
        let begun = self.send("POST", &format!("/v2/{repository}/blobs/uploads/"), kind, b"");
        assert_eq!(begun.status, 202, "{}", begun.text());
        let location = begun.header("location").expect("where to upload");
        let path = location
            .split_once("//")
            .map_or(location, |(_, rest)| &rest[rest.find('/').expect("a path of the upload")..]);
        let separator = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{separator}digest={digest}");
        let put = self.send("PUT", &path, "application/octet-stream", bytes);
        assert_eq!(put.status, 201, "{}", put.text());
        json!({ "mediaType": kind, "digest": digest, "size": bytes.len() })
    }

    /// Puts a manifest or an index under a tag or a digest; returns its digest.
    #[track_caller]
    pub fn push_manifest(&self, repository: &str, tag: &str, manifest: &Value) -> String {
        let kind = manifest["mediaType"].as_str().expect("a media type").to_owned();
        let path = format!("/v2/{repository}/manifests/{tag}");
        let put = self.send("PUT", &path, &kind, manifest.to_string().as_bytes());
        assert_eq!(put.status, 201, "{}", put.text());
        put.header("docker-content-digest").expect("the digest of the manifest").to_owned()
    }

    /// Pushes code as CNCF's artifact: one layer `application/wasm`. Returns the digest of the manifest.
    #[track_caller]
    pub fn push_wasm(&self, repository: &str, tag: &str, wasm: &[u8]) -> String {
        let config = self.push_blob(repository, "application/vnd.wasm.config.v0+json", b"{}", &sha256(b"{}"));
        let layer = self.push_blob(repository, "application/wasm", wasm, &sha256(wasm));
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config,
            "layers": [layer],
        });
        self.push_manifest(repository, tag, &manifest)
    }
}

/// `sha256:…` of some bytes.
pub fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
