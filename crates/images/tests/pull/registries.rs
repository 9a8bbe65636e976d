//! Pulling from docker-registry.

use crate::User;
use flate2::Compression;
use flate2::write::GzEncoder;
use sampan_images::Progress;
use sampan_testing::servers::{REGISTRY_BASIC, Registry, sha256};
use serde_json::{Value, json};
use std::io::Write;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn image(config: Value, layers: &[Value]) -> Value {
    json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers })
}

#[test]
fn a_tag_moves_and_a_digest_does_not() {
    let Some(registry) = Registry::start() else { return };
    let user = User::new();
    let tag = registry.reference("acme/filter:1");
    let first = registry.push_wasm("acme/filter", "1", b"one");
    assert_eq!(user.code(&tag), b"one");
    assert_eq!(user.steps(), [Progress::PullBegins { bytes: 3 }, Progress::PullEnds]);
    assert_eq!(user.code(&tag), b"one");
    assert_eq!(user.steps(), [], "it is here");

    registry.push_wasm("acme/filter", "1", b"two");
    assert_eq!(user.code(&tag), b"two");
    let pinned = registry.reference(&format!("acme/filter@{first}"));
    assert_eq!(user.code(&pinned), b"one");
    // Another user has nothing yet.
    assert_eq!(User::new().code(&pinned), b"one");
}

#[test]
fn code_that_is_here_is_not_pulled_for_another_image() {
    let Some(registry) = Registry::start() else { return };
    registry.push_wasm("f", "1", b"code");
    let config = registry.push_blob("g", "application/vnd.acme.config", b"{}", &sha256(b"{}"));
    let layer = registry.push_blob("g", "application/wasm", b"code", &sha256(b"code"));
    registry.push_manifest("g", "1", &image(config, &[layer]));
    let user = User::new();
    let first = user.path(&registry.reference("f:1")).unwrap();
    assert_eq!(user.steps().len(), 2);
    assert_eq!(user.path(&registry.reference("g:1")).unwrap(), first);
    assert_eq!(user.steps(), []);
}

#[test]
fn a_registry_that_is_down_after_a_pull() {
    let Some(mut registry) = Registry::start() else { return };
    let user = User::new();
    let digest = registry.push_wasm("f", "1", b"one");
    let (tag, pinned) = (registry.reference("f:1"), registry.reference(&format!("f@{digest}")));
    assert_eq!(user.code(&tag), b"one");
    user.steps();
    registry.kill();
    assert_eq!(user.code(&pinned), b"one");
    assert_eq!(user.steps(), [], "a digest needs no registry");
    assert_eq!(user.code(&tag), b"one");
    let steps = user.steps();
    let [Progress::LastKnown { digest: last, why }] = steps.as_slice() else { panic!("{steps:?}") };
    assert_eq!(last.to_string(), digest);
    assert!(why.contains("does not answer"), "{why}");
    let error = user.path(&registry.reference("f:2")).unwrap_err();
    assert!(error.to_string().contains("does not answer"), "{error}");
    assert!(error.help().contains("check the name of the registry"), "{}", error.help());

    // What is damaged meanwhile is not used, and is repaired when there is somebody to ask.
    std::fs::write(user.path(&pinned).unwrap(), "evil").unwrap();
    assert!(user.path(&pinned).is_err());
    registry.restart();
    assert_eq!(user.code(&pinned), b"one");
}

#[test]
fn a_registry_that_wants_to_know_who_asks() {
    let Some(registry) = Registry::start_closed() else { return };
    registry.push_wasm("f", "1", b"code");
    let reference = registry.reference("f:1");
    let user = User::new();
    let error = user.path(&reference).unwrap_err();
    assert!(error.to_string().contains("401"), "{error}");
    assert!(error.help().contains("docker login"), "{}", error.help());

    let host = format!("127.0.0.1:{}", registry.port);
    // sampan:wrong
    user.write_config(&json!({ "auths": { &host: { "auth": "c2FtcGFuOndyb25n" } } }).to_string());
    let error = user.path(&reference).unwrap_err();
    assert!(error.help().contains("may pull"), "{error}: {}", error.help());

    user.write_config(&json!({ "auths": { &host: { "auth": REGISTRY_BASIC } } }).to_string());
    assert_eq!(user.code(&reference), b"code");
}

#[test]
fn what_there_is_not() {
    let Some(registry) = Registry::start() else { return };
    registry.push_wasm("f", "1", b"code");
    let user = User::new();
    for reference in ["f:2", "g:1", &format!("f@sha256:{}", "0".repeat(64))] {
        let error = user.path(&registry.reference(reference)).unwrap_err();
        assert!(error.to_string().contains("no such image"), "{reference}: {error}");
        assert!(error.help().contains("was pushed"), "{}", error.help());
    }
    assert_eq!(user.kept(), 0);
}

/// As Istio's and Envoy Gateway's users push filters: an image whose layer holds `plugin.wasm`, for one platform of
/// an index.
#[test]
fn an_archive_for_one_platform_of_an_index() {
    let Some(registry) = Registry::start() else { return };
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let mut header = tar::Header::new_gnu();
    header.set_size(4);
    header.set_mode(0o644);
    tar.append_data(&mut header, "plugin.wasm", &b"code"[..]).unwrap();
    let archive = tar.into_inner().unwrap().finish().unwrap();
    let config = registry.push_blob("f", "application/vnd.oci.image.config.v1+json", b"{}", &sha256(b"{}"));
    let kind = "application/vnd.oci.image.layer.v1.tar+gzip";
    let layer = registry.push_blob("f", kind, &archive, &sha256(&archive));
    let wasm = image(config.clone(), &[layer]);
    let native = image(config, &[]);
    let entry = |manifest: &Value, os: &str, architecture: &str| {
        let digest = registry.push_manifest("f", &sha256(manifest.to_string().as_bytes()), manifest);
        let platform = json!({ "os": os, "architecture": architecture });
        json!({ "mediaType": MANIFEST, "digest": digest, "size": manifest.to_string().len(), "platform": platform })
    };
    let index = |manifests: &[Value]| {
        let kind = "application/vnd.oci.image.index.v1+json";
        json!({ "schemaVersion": 2, "mediaType": kind, "manifests": manifests })
    };
    let (wasm, native) = (entry(&wasm, "wasi", "wasm"), entry(&native, "linux", "amd64"));
    let digest = registry.push_manifest("f", "both", &index(&[native.clone(), wasm]));
    registry.push_manifest("f", "native", &index(&[native]));

    let user = User::new();
    assert_eq!(user.code(&registry.reference("f:both")), b"code");
    assert_eq!(user.code(&registry.reference(&format!("f@{digest}"))), b"code");
    let error = user.path(&registry.reference("f:native")).unwrap_err();
    assert!(error.to_string().contains("linux/amd64"), "{error}");
}

#[test]
fn an_image_of_something_else_says_what_it_is() {
    let Some(registry) = Registry::start() else { return };
    let config = registry.push_blob("f", "application/vnd.acme.config", b"{}", &sha256(b"{}"));
    let mut zipped = GzEncoder::new(Vec::new(), Compression::fast());
    zipped.write_all(b"text").unwrap();
    let zipped = zipped.finish().unwrap();
    let layer = registry.push_blob("f", "application/vnd.acme.data+gzip", &zipped, &sha256(&zipped));
    registry.push_manifest("f", "1", &image(config, &[layer]));
    let error = User::new().path(&registry.reference("f:1")).unwrap_err();
    let said = error.to_string();
    assert!(said.contains("vnd.acme.config") && said.contains("vnd.acme.data+gzip"), "{said}");
}

#[test]
fn too_large_is_said_before_anything_is_fetched() {
    let Some(registry) = Registry::start() else { return };
    registry.push_wasm("f", "1", &vec![b'x'; 3000]);
    let mut user = User::new();
    user.settings.module_max_bytes = 2999;
    let error = user.path(&registry.reference("f:1")).unwrap_err();
    assert!(error.to_string().contains("3000 bytes, and at most 2999"), "{error}");
    assert_eq!(user.steps(), []);
    user.settings.module_max_bytes = 3000;
    assert_eq!(user.code(&registry.reference("f:1")).len(), 3000);
}
