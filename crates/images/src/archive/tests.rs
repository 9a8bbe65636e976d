//! What is saved is loaded, also by and from other tools.

use crate::ImageError;
use crate::made::{CONFIG, TAR_GZIP, Tar, config, digest, gzip, images};
use serde_json::{Value, json};
use std::fs;
use std::io::Read;

#[test]
fn what_is_saved_is_loaded() {
    let (_one, from) = images();
    let (_two, to) = images();
    let hello = from.make_hello("hello:1", "hello");
    from.tag(&hello, &"ghcr.io/acme/hello:2".parse().unwrap()).unwrap();
    let artifact = from.make("code:1", ("a/b", &json!({})), &[("application/wasm", b"code")]).unwrap();
    let save = |wanted: &[&str]| {
        let mut bytes = Vec::new();
        from.save(&Vec::from_iter(wanted.iter().map(|one| (*one).to_owned())), &mut bytes).unwrap();
        bytes
    };
    let archive = save(&["hello:1", "code:1"]);
    assert_eq!(archive, save(&["hello:1", "code:1"]), "the same archive");
    for archive in [archive.clone(), gzip(&archive)] {
        let loaded = to.load(&archive[..]).unwrap();
        let ids: Vec<_> = loaded.iter().map(|one| (one.id.clone(), one.manifest.clone())).collect();
        assert_eq!(
            ids,
            [(hello.id.clone(), hello.manifest.clone()), (artifact.id.clone(), artifact.manifest.clone())]
        );
        assert_eq!(loaded[0].names, ["docker.io/library/hello:1"], "only the name that was wanted");
    }
    assert!(to.rootfs(&to.find("hello:1").unwrap()).is_ok());
    to.load(&save(&[&hello.id.hex])[..]).unwrap();
    assert_eq!(to.find("hello:1").unwrap().names.len(), 2, "an id has all its names");
    // For Docker there is its own list, without what it could not run.
    let mut archive = tar::Archive::new(&archive[..]);
    let mut manifest = archive.entries().unwrap().map(Result::unwrap);
    let mut manifest = manifest.find(|entry| *entry.path_bytes() == b"manifest.json"[..]).unwrap();
    let mut text = String::new();
    manifest.read_to_string(&mut text).unwrap();
    let read: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(read.as_array().unwrap().len(), 1);
    assert_eq!(read[0]["RepoTags"], json!(["hello:1"]));
    assert_eq!(read[0]["Config"], format!("blobs/sha256/{}", hello.id.hex));
}

#[test]
fn an_archive_of_old_docker() {
    let layer = Tar::default().file("hello.wasm", "hello").done();
    let text = config(json!({ "Entrypoint": ["/hello.wasm"] }), &[&layer, &layer]).to_string();
    let id = digest(text.as_bytes()).hex;
    let manifest = json!([{ "Config": format!("{id}.json"), "RepoTags": ["old:1"], "Layers": ["a/layer.tar", "b/layer.tar"] }]);
    let layer = String::from_utf8(layer).unwrap();
    let archive = Tar::default()
        .folder("a/")
        .file("a/VERSION", "1.0")
        .file("a/layer.tar", &layer)
        .symlink("b/layer.tar", "../a/layer.tar")
        .file(&format!("{id}.json"), &text)
        .file("manifest.json", &manifest.to_string())
        .file("repositories", "{}")
        .done();
    let (_folder, images) = images();
    let loaded = images.load(&archive[..]).unwrap();
    assert_eq!(
        (loaded[0].id.hex.as_str(), loaded[0].names[0].as_str()),
        (id.as_str(), "docker.io/library/old:1")
    );
    assert_eq!(fs::read(images.rootfs(&loaded[0]).unwrap().join("hello.wasm")).unwrap(), b"hello");
}

/// As buildah and skopeo name an image in an archive: by its tag alone, which is no name.
#[test]
fn a_tag_alone_is_no_name() {
    let (_one, from) = images();
    let (_two, to) = images();
    from.make_hello("hello:1", "hello");
    let mut bytes = Vec::new();
    from.save(&["hello:1".to_owned()], &mut bytes).unwrap();
    let text = String::from_utf8_lossy(&bytes).contains("io.containerd.image.name");
    assert!(text);
    let id = from.find("hello:1").unwrap().id;
    from.remove("hello:1", true, &|_| true).unwrap();
    bytes.clear();
    from.save(std::slice::from_ref(&id.hex), &mut bytes).unwrap();
    assert_eq!(to.load(&bytes[..]).unwrap()[0].names.len(), 0);
    assert_eq!(to.find(&id.hex).unwrap().id, id);
}

#[test]
fn archives_that_are_not_whole() {
    let (_one, from) = images();
    from.make_hello("hello:1", "hello");
    let mut good = Vec::new();
    from.save(&["hello:1".to_owned()], &mut good).unwrap();
    let layer = gzip(b"x");
    let text = config(json!({}), &[b"x"]).to_string();
    let manifest = |config: &str, layers: Value| {
        json!([{ "Config": config, "RepoTags": ["x:1"], "Layers": layers }]).to_string()
    };
    let docker = |manifest: &str| {
        let zipped = Tar::default().entry(tar::EntryType::Regular, b"layer", b"", 0o644, &layer);
        zipped.file("config", &text).file("manifest.json", manifest).done()
    };
    let changed = {
        let at = good.windows(4).rposition(|four| four == [0x1f, 0x8b, 8, 0]).unwrap();
        let mut changed = good.clone();
        changed[at + 12] ^= 1;
        changed
    };
    for (bytes, what) in [
        (good[..good.len() / 2].to_vec(), "is not here"),
        (good[..good.len() - 1024 - 500].to_vec(), "cannot be read"),
        (b"<html>".to_vec(), "cannot be read"),
        (Vec::new(), "neither index.json"),
        (gzip(b"text"), "cannot be read"),
        (changed, "is not what its digest says"),
        (docker(&manifest("config", json!(["layer", "other"]))), "\"other\", which is not in it"),
        (docker(&manifest("../config", json!([]))), "not in it"),
        (docker(&manifest("config", json!(["layer", "layer"]))), "has 2 layers"),
        (docker(&manifest("layer", json!(["layer"]))), "malformed"),
        (docker("[{}]"), "manifest.json is malformed"),
        (
            docker(&json!([{ "Config": "config", "Layers": ["layer"], "RepoTags": ["X"] }]).to_string()),
            "no name",
        ),
        (Tar::default().file("oci-layout", "{}").file("index.json", "[").done(), "index.json is malformed"),
    ] {
        let (_two, to) = images();
        let error = to.load(&bytes[..]).unwrap_err();
        assert!(error.to_string().contains(what), "{what}: {error}");
        assert!(!error.help().is_empty());
        assert_eq!(to.list().unwrap().len(), 0, "{what}");
        let left = fs::read_dir(to.layout.root.join("blobs/sha256")).map_or(0, Iterator::count);
        assert_eq!(left, 0, "{what}: nothing stays");
    }
    let (_three, images) = images();
    assert!(matches!(images.save(&["no:1".to_owned()], Vec::new()), Err(ImageError::NotFound(_))));
    let image = images.make("x", (CONFIG, &config(json!({}), &[b"x"])), &[(TAR_GZIP, &layer)]).unwrap();
    fs::write(images.layout.path(&image.layers[0].digest), b"other").unwrap();
    let error = images.save(&["x".to_owned()], Vec::new()).unwrap_err();
    assert!(matches!(error, ImageError::Damaged { .. }), "{error}");
}
