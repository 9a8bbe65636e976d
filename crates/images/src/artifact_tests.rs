//! Artifacts of another store, which here is a list of blobs.

use super::*;
use crate::made::{CONFIG, TAR, Tar, config, described, digest, images};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io;

/// Another store, and what was asked of it.
#[derive(Default)]
struct Other {
    blobs: HashMap<String, Vec<u8>>,
    asked: Vec<String>,
}

impl Other {
    fn put(&mut self, kind: &str, bytes: &[u8]) -> Value {
        self.blobs.insert(digest(bytes).to_string(), bytes.to_vec());
        described(kind, bytes)
    }

    fn image(&mut self, config: &Value, layers: &[(&str, &[u8])]) -> Descriptor {
        let config = self.put(CONFIG, config.to_string().as_bytes());
        let layers: Vec<Value> = layers.iter().map(|(kind, bytes)| self.put(kind, bytes)).collect();
        let manifest = json!({ "schemaVersion": 2, "config": config, "layers": layers });
        self.target(crate::document::MANIFEST, &manifest)
    }

    fn target(&mut self, kind: &str, document: &Value) -> Descriptor {
        serde_json::from_value(self.put(kind, document.to_string().as_bytes())).unwrap()
    }

    fn artifact(&mut self, images: &Images, target: &Descriptor) -> Result<Option<Artifact>, ImageError> {
        self.asked.clear();
        images.artifact(target, &mut |one| {
            self.asked.push(one.media_type.clone());
            let bytes = self.blobs.get(&one.digest.to_string()).cloned();
            bytes
                .map(|bytes| Box::new(io::Cursor::new(bytes)) as _)
                .ok_or_else(|| io::ErrorKind::NotFound.into())
        })
    }
}

const WASM: &str = "application/wasm";
const MANIFEST: &str = crate::document::MANIFEST;

#[test]
fn a_wasm_file_is_taken_once() {
    let (_folder, images) = images();
    let mut other = Other::default();
    let layer = Tar::default().file("data", "of the archive").done();
    let config = config(json!({ "Entrypoint": ["/app.wasm", "x"] }), &[&layer]);
    let target = other.image(&config, &[(TAR, &layer), (WASM, b"code")]);
    let artifact = other.artifact(&images, &target).unwrap().unwrap();
    assert_eq!(artifact.entry, "/app.wasm");
    assert_eq!(fs::read(artifact.folder.join("app.wasm")).unwrap(), b"code");
    assert_eq!(fs::read_dir(&artifact.folder).unwrap().count(), 1);
    assert_eq!(other.asked, [MANIFEST, CONFIG, WASM]);
    assert_eq!(fs::read_dir(images.layout.root.join("blobs/sha256")).unwrap().count(), 0);

    let again = other.artifact(&images, &target).unwrap().unwrap();
    assert_eq!((again.folder, again.entry), (artifact.folder, artifact.entry));
    assert_eq!(other.asked, [MANIFEST, CONFIG]);
}

#[test]
fn an_index_names_it() {
    let (_folder, images) = images();
    let mut other = Other::default();
    let target = other.image(&config(json!({}), &[]), &[(WASM, b"code")]);
    let one = |os: &str, architecture: &str| {
        let mut one = serde_json::to_value(&target).unwrap();
        one["platform"] = json!({ "os": os, "architecture": architecture });
        one
    };
    for (platforms, expected) in [
        (vec![one("linux", "amd64"), one("wasi", "wasm")], Some("/module.wasm")),
        (vec![one("linux", "amd64")], None),
    ] {
        let index = json!({ "schemaVersion": 2, "manifests": platforms });
        let target = other.target(crate::document::INDEX, &index);
        let artifact = other.artifact(&images, &target).unwrap();
        assert_eq!(artifact.map(|artifact| artifact.entry).as_deref(), expected);
    }
}

#[test]
fn what_is_all_archives_is_left_alone() {
    let (_folder, images) = images();
    let mut other = Other::default();
    let layer = Tar::default().file("app.wasm", "code").done();
    let target = other.image(&config(json!({}), &[&layer]), &[(TAR, &layer)]);
    assert!(other.artifact(&images, &target).unwrap().is_none());
    assert_eq!(other.asked, [MANIFEST]);
}

#[test]
fn what_is_wrong_leaves_nothing() {
    let (_folder, images) = images();
    let mut other = Other::default();
    let target = other.image(&config(json!({}), &[]), &[(WASM, b"code")]);
    let code = digest(b"code").to_string();
    for (bytes, what) in [
        (Some(b"evil".to_vec()), "layer"),
        (Some(b"longer".to_vec()), "longer than its manifest says"),
        (Some(b"cod".to_vec()), "layer"),
        (None, "not found"),
    ] {
        match bytes {
            Some(bytes) => drop(other.blobs.insert(code.clone(), bytes)),
            None => drop(other.blobs.remove(&code)),
        }
        let error = other.artifact(&images, &target).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
        let left = |name: &str| fs::read_dir(images.layout.root.join(name)).into_iter().flatten().count();
        assert_eq!((left("roots"), left("blobs/sha256")), (0, 0), "{error}");
    }
    let two = other.image(&config(json!({}), &[]), &[(WASM, b"one"), (WASM, b"two")]);
    let error = other.artifact(&images, &two).unwrap_err().to_string();
    assert!(error.contains("several wasm files"), "{error}");
}

#[test]
fn the_longest_unused_go_first_and_never_what_is_in_use() {
    let at = |s| SystemTime::UNIX_EPOCH + Duration::from_secs(s);
    let kept = || vec![(at(30), 5, "c".to_owned()), (at(10), 5, "a".to_owned()), (at(20), 5, "b".to_owned())];
    for (max_bytes, old, gone) in [
        (15, at(100), vec![]),
        (14, at(100), vec!["a"]),
        (5, at(100), vec!["a", "b"]),
        (0, at(20), vec!["a"]),
    ] {
        assert_eq!(too_many(kept(), max_bytes, old), gone);
    }
}
