//! Registries that misbehave: small servers of the test's own.

use crate::User;
use sampan_images::{ImageError, Step};
use sampan_testing::servers::sha256;
use sampan_testing::{HttpServer, Request, Response};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const CODE: &[u8] = b"some code that comes in pieces";
const CONFIG: &str = "application/vnd.wasm.config.v0+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn described(kind: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": kind, "digest": sha256(bytes), "size": bytes.len() })
}

fn manifest() -> Value {
    let layers = [described("application/wasm", CODE)];
    json!({ "schemaVersion": 2, "config": described(CONFIG, b"{}"), "layers": layers })
}

/// A registry with one image, whose layer is answered by a function.
fn registry(layer: impl Fn(&Request, usize) -> Response + Send + Sync + 'static) -> HttpServer {
    let asked = AtomicUsize::new(0);
    HttpServer::start(move |request| {
        if request.target.contains("/manifests/") {
            Response::new(200, manifest().to_string())
        } else if request.target.ends_with(&sha256(b"{}").replace(':', "%3A")) {
            Response::new(200, "{}")
        } else {
            layer(request, asked.fetch_add(1, Ordering::Relaxed))
        }
    })
}

fn name(server: &HttpServer) -> String {
    format!("{}/f:1", server.address)
}

fn code(user: &User, name: &str) -> Vec<u8> {
    let image = user.pull(name).unwrap_or_else(|error| panic!("{error}"));
    std::fs::read(user.images.rootfs(&image).unwrap().join("module.wasm")).unwrap()
}

#[test]
fn what_breaks_off_goes_on() {
    // The first answer breaks off; the second begins where it did, or at the start, or is none.
    for kind in ["206", "200", "416"] {
        let server = registry(move |request, asked| {
            let range = request.header("range").map(str::to_owned);
            match (asked, range.as_deref()) {
                (0, None) => Response::new(200, &CODE[..10]).with("Content-Length", &CODE.len().to_string()),
                (1, Some("bytes=10-")) => match kind {
                    "206" => Response::new(206, &CODE[10..]).with("Content-Range", "bytes 10-29/30"),
                    "200" => Response::new(200, CODE),
                    _ => Response::new(416, ""),
                },
                (2, None) => Response::new(200, CODE),
                other => panic!("{other:?}"),
            }
        });
        let user = User::new();
        assert_eq!(code(&user, &name(&server)), CODE, "{kind}");
        let waits = user.steps().iter().filter(|step| matches!(step, Step::Waits { .. })).count();
        assert_eq!(waits, if kind == "416" { 2 } else { 1 }, "{kind}");
    }
}

/// As after a process that was killed.
#[test]
fn another_pull_goes_on_where_one_stopped() {
    let server = registry(|request, asked| match (asked, request.header("range")) {
        (0, None) => Response::new(200, &CODE[..10]).with("Content-Length", "30"),
        (1, Some("bytes=10-")) => Response::new(206, &CODE[10..]).with("Content-Range", "bytes 10-29/30"),
        other => panic!("{other:?}"),
    });
    let mut user = User::new();
    user.transfer.retries = 0;
    let error = user.pull(&name(&server)).unwrap_err();
    assert!(error.to_string().contains("does not answer"), "{error}");
    assert_eq!((user.kept("partial"), user.images.list().unwrap().len()), (1, 0));
    assert_eq!(code(&user, &name(&server)), CODE);
    assert_eq!(user.kept("partial"), 0);
}

#[test]
fn busy_registries_are_asked_again() {
    for status in [429, 500, 503] {
        let server = registry(move |_, asked| match asked {
            0 | 1 => Response::new(status, "").with("Retry-After", "0"),
            _ => Response::new(200, CODE),
        });
        let user = User::new();
        assert_eq!(code(&user, &name(&server)), CODE, "{status}");
        let server = registry(move |_, _| Response::new(status, "").with("Retry-After", "0"));
        let user = User::new();
        let error = user.pull(&name(&server)).unwrap_err();
        assert!(error.to_string().contains(&status.to_string()), "{status}: {error}");
        assert_eq!(
            server.requests().len(),
            5,
            "{status}: the manifest, the configuration, and thrice the layer"
        );
    }
    for status in [401, 403, 404] {
        let server = registry(move |_, _| Response::new(status, ""));
        let user = User::new();
        assert!(matches!(user.pull(&name(&server)), Err(ImageError::Registry(_))), "{status}");
        assert_eq!(server.requests().len(), 3, "{status}: asking again would not help");
        assert_eq!((user.kept("partial"), user.images.list().unwrap().len()), (0, 0), "{status}");
    }
}

#[test]
fn layers_that_are_not_what_was_named() {
    let other = CODE.to_ascii_uppercase();
    for (body, what) in [
        (other.clone(), "is not what its digest says"),
        ([CODE, b"more"].concat(), "its manifest says 30"),
        (CODE[..7].to_vec(), "it has 7 bytes"),
    ] {
        let server = registry(move |_, _| Response::new(200, body.clone()));
        let user = User::new();
        let error = user.pull(&name(&server)).unwrap_err();
        assert!(error.to_string().contains(what), "{what}: {error}");
        assert_eq!((user.kept("partial"), user.images.list().unwrap().len()), (0, 0), "{what}");
        user.images.collect_garbage().unwrap();
        assert_eq!(user.kept("blobs/sha256"), 0, "{what}");
    }
}

#[test]
fn platforms_of_an_index() {
    let image = |os: &str, architecture: &str| {
        let config =
            json!({ "os": os, "architecture": architecture, "rootfs": { "type": "layers", "diff_ids": [] } });
        let config = config.to_string();
        let kind = "application/vnd.oci.image.config.v1+json";
        (
            json!({ "schemaVersion": 2, "config": described(kind, config.as_bytes()), "layers": [] })
                .to_string(),
            config,
        )
    };
    let all = [("linux", "amd64"), ("wasip2", "wasm"), ("wasip1", "wasm")].map(|(os, architecture)| {
        let (manifest, config) = image(os, architecture);
        let mut entry = described(MANIFEST, manifest.as_bytes());
        entry["platform"] = json!({ "os": os, "architecture": architecture });
        (entry, manifest, config)
    });
    let entries: Vec<Value> = all.iter().map(|one| one.0.clone()).collect();
    let native = json!({ "schemaVersion": 2, "manifests": [&entries[0]] }).to_string();
    let index = json!({ "schemaVersion": 2, "manifests": entries }).to_string();
    let index_digest = sha256(index.as_bytes());
    let blobs: Vec<String> =
        all.iter().flat_map(|one| [one.1.clone(), one.2.clone()]).chain([index.clone()]).collect();
    let blobs = Arc::new(blobs);
    let server =
        HttpServer::start(move |request| match request.target.rsplit('/').next().unwrap_or_default() {
            "all" => Response::new(200, index.clone()),
            "native" => Response::new(200, native.clone()),
            "plain" => Response::new(200, blobs[0].clone()),
            digest => {
                let wanted = digest.replace("%3A", ":");
                let found = blobs.iter().find(|blob| sha256(blob.as_bytes()) == wanted);
                found.map_or(Response::new(404, ""), |blob| Response::new(200, blob.clone()))
            }
        });
    let of = |tag: &str| format!("{}/f:{tag}", server.address);
    let user = User::new();
    let image = user.pull(&of("all")).unwrap();
    assert_eq!(image.platform.to_string(), "wasip1/wasm");
    assert_eq!(image.digests, [format!("{}/f@{index_digest}", server.address)], "as the registry knows it");
    assert_eq!(user.images.find(&image.digests[0]).unwrap().id, image.id);
    assert_eq!(user.pull(&format!("{}/f@{index_digest}", server.address)).unwrap().id, image.id);
    let linux = user.pull_for(&of("all"), Some("linux/amd64")).unwrap();
    assert_eq!(linux.platform.to_string(), "linux/amd64");
    for (tag, platform, what) in [
        ("native", None, "but: linux/amd64"),
        ("plain", None, "is for linux/amd64, not for wasi/wasm"),
        ("all", Some("plan9/arm"), "is for linux/amd64, wasip2/wasm, wasip1/wasm, not for plan9/arm"),
        ("plain", Some("wasi/wasm"), "is for linux/amd64, not for wasi/wasm"),
    ] {
        let error = user.pull_for(&of(tag), platform).unwrap_err();
        assert!(error.to_string().contains(what), "{tag}: {error}");
        assert!(error.help().contains("wasi/wasm"), "{tag}: {}", error.help());
    }
}

#[test]
fn too_much_is_said_before_anything_is_fetched() {
    let mut large = manifest();
    large["layers"][0]["size"] = json!(5u64 << 30);
    let server = HttpServer::start(move |_| Response::new(200, large.to_string()));
    let error = User::new().pull(&name(&server)).unwrap_err();
    assert!(error.to_string().contains("at most 4294967296 are taken"), "{error}");
    assert_eq!(server.requests().len(), 1);
    let mut many = manifest();
    many["layers"] = json!(vec![many["layers"][0].clone(); 5000]);
    let server = HttpServer::start(move |_| Response::new(200, many.to_string()));
    let error = User::new().pull(&name(&server)).unwrap_err();
    assert!(error.to_string().contains("more than 4096 layers"), "{error}");
}

#[test]
fn uploads_that_go_wrong() {
    let user = User::new();
    for (status, what) in [(401, "401"), (404, "no such image"), (429, "429"), (500, "500"), (201, "201")] {
        let server = HttpServer::start(move |request| match request.method.as_str() {
            "HEAD" => Response::new(404, ""),
            _ => Response::new(status, "").with("Retry-After", "0"),
        });
        user.build(&name(&server), b"code");
        match user.push(&name(&server)) {
            // A registry that has everything already takes it so.
            Ok(_) => assert_eq!(status, 201),
            Err(error) => assert!(error.to_string().contains(what), "{status}: {error}"),
        }
    }
    // Nowhere to upload to, and an upload that is not taken.
    for (location, what) in [(None, "where to upload"), (Some("/upload"), "400")] {
        let server = HttpServer::start(move |request| match (request.method.as_str(), location) {
            ("HEAD", _) => Response::new(404, ""),
            ("POST", Some(location)) => Response::new(202, "").with("Location", location),
            ("POST", None) => Response::new(202, ""),
            _ => Response::new(400, "{\"errors\":[{\"code\":\"DIGEST_INVALID\"}]}"),
        });
        user.build(&name(&server), b"code");
        let error = user.push(&name(&server)).unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
    }
}
