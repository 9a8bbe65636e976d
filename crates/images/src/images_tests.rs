//! Names, ids, removal, and what is garbage then.

use super::*;
use crate::made::images;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

fn blobs(images: &Images) -> usize {
    fs::read_dir(images.layout.root.join("blobs/sha256")).map_or(0, Iterator::count)
}

#[test]
fn images_are_found_by_all_their_names() {
    let (_folder, images) = images();
    assert_eq!(images.list().unwrap().len(), 0);
    let one = images.make_hello("hello:1", "one");
    let two = images.make_hello("localhost:5000/two", "two");
    assert_eq!(one.names, ["docker.io/library/hello:1"]);
    assert_eq!(two.digests, [format!("localhost:5000/two@{}", two.manifest)]);
    let by_digest = format!("hello@{}", one.manifest);
    for name in [
        "hello:1",
        "docker.io/library/hello:1",
        &one.id.hex,
        &one.id.to_string(),
        &one.id.hex[..4],
        &by_digest,
    ] {
        assert_eq!(images.find(name).unwrap().id, one.id, "{name}");
    }
    assert_eq!(images.find("localhost:5000/two:latest").unwrap().manifest, two.manifest);
    for name in
        ["hello", "hello:2", &one.id.hex[..3], &"0".repeat(64), "", "Ä", &format!("other@{}", one.manifest)]
    {
        let error = images.find(name).unwrap_err();
        assert!(matches!(error, ImageError::NotFound(_)), "{name}: {error}");
    }
    assert_eq!(images.list().unwrap().len(), 2);
    assert_eq!(one.platform.to_string(), "wasi/wasm");
    assert_eq!(images.command(&one).unwrap(), ["/hello.wasm"]);
}

#[test]
fn beginnings_that_could_be_many() {
    let (_folder, images) = images();
    let mut seen = std::collections::HashMap::new();
    // Of ids that begin with any of 65,536 digits, two begin alike soon.
    let (one, two) = (0..)
        .find_map(|at| {
            let text = format!("{at}");
            let layer = crate::made::Tar::default().file("hello.wasm", &text).done();
            let config = crate::made::config(serde_json::json!({}), &[&layer]).to_string();
            let id = crate::made::digest(config.as_bytes()).hex;
            seen.insert(id[..4].to_owned(), text.clone()).map(|other| (other, text))
        })
        .unwrap();
    for text in [one, two] {
        let layer = crate::made::Tar::default().file("hello.wasm", &text).done();
        let config = crate::made::config(serde_json::json!({}), &[&layer]);
        images
            .make(&format!("x:{text}"), (crate::made::CONFIG, &config), &[(crate::made::TAR, &layer)])
            .unwrap();
    }
    let id = images.list().unwrap()[0].id.hex.clone();
    assert!(matches!(images.find(&id[..4]), Err(ImageError::Ambiguous { count: 2, .. })));
    assert_eq!(images.find(&id).unwrap().id.hex, id);
}

#[test]
fn a_name_belongs_to_one_image() {
    let (_folder, images) = images();
    let one = images.make_hello("a:1", "one");
    images.tag(&one, &"b:1".parse().unwrap()).unwrap();
    images.tag(&one, &"b:1".parse().unwrap()).unwrap();
    assert_eq!(images.find("a:1").unwrap().names, ["docker.io/library/a:1", "docker.io/library/b:1"]);
    let two = images.make_hello("a:1", "two");
    images.tag(&two, &"b:1".parse().unwrap()).unwrap();
    assert_eq!(images.find("b:1").unwrap().id, two.id);
    // The other one is still here, without a name.
    assert_eq!(images.find(&one.id.hex).unwrap().names.len(), 0);
    assert_eq!(images.list().unwrap().len(), 2);
    images.tag(&one, &"c:1".parse().unwrap()).unwrap();
    let entries = images.layout.entries().unwrap();
    assert_eq!(entries.len(), 3, "no entry without a name is left: {entries:?}");
    images.remove("a:1", false, &|_| false).unwrap();
    images.remove("b:1", false, &|_| false).unwrap();
    let error = images.tag(&two, &"d:1".parse().unwrap()).unwrap_err();
    assert!(matches!(error, ImageError::NotFound(_)), "{error}");
}

#[test]
fn removal_takes_names_first() {
    let (_folder, images) = images();
    let one = images.make_hello("a:1", "one");
    images.tag(&one, &"b:1".parse().unwrap()).unwrap();
    let root = images.rootfs(&one).unwrap();
    let unused = |_: &Digest| false;
    let error = images.remove(&one.id.hex[..12], false, &unused).unwrap_err();
    assert!(matches!(error, ImageError::ManyNames { count: 2, .. }), "{error}");
    let removed = images.remove("a:1", false, &|_| true).unwrap();
    assert_eq!(
        (removed.untagged.as_slice(), removed.deleted.len()),
        (&["docker.io/library/a:1".to_owned()][..], 0)
    );
    let error = images.remove("b:1", false, &|id| *id == one.id).unwrap_err();
    assert!(matches!(error, ImageError::InUse { .. }), "{error}");
    let removed = images.remove("b:1", true, &|_| true).unwrap();
    assert_eq!(removed.deleted, [], "it is in use");
    assert!(root.exists() && images.find(&one.id.hex).unwrap().names.is_empty());
    assert_eq!(images.prune(&|_| true).unwrap(), Removed::default());
    assert_eq!(images.prune(&unused).unwrap().deleted, std::slice::from_ref(&one.id));
    assert!(!root.exists());
    assert_eq!((blobs(&images), images.list().unwrap().len()), (0, 0));
    images.make_hello("a:1", "one");
    images.tag(&one, &"b:1".parse().unwrap()).unwrap();
    assert_eq!(images.remove(&one.id.hex, true, &unused).unwrap().untagged.len(), 2);
    assert_eq!(blobs(&images), 0);
}

#[test]
fn what_another_image_needs_is_no_garbage() {
    let (_folder, images) = images();
    let one = images.make_hello("a:1", "same");
    let layer = one.layers[0].digest.clone();
    let mut config = serde_json::to_value(&one.config).unwrap();
    config["author"] = "me".into();
    let bytes = fs::read(images.layout.path(&layer)).unwrap();
    let two = images.make("b:1", (crate::made::CONFIG, &config), &[(crate::made::TAR_GZIP, &bytes)]).unwrap();
    assert_eq!(images.rootfs(&one).unwrap(), images.rootfs(&two).unwrap());
    images.remove("a:1", false, &|_| false).unwrap();
    assert!(images.rootfs(&two).unwrap().join("hello.wasm").exists());
    assert_eq!(blobs(&images), 3);
}

#[test]
fn nothing_is_collected_while_somebody_adds() {
    let (_folder, images) = images();
    let held = images.layout.adding().unwrap();
    images.layout.put(b"not named yet").unwrap();
    assert_eq!(images.collect_garbage().unwrap().bytes, 0);
    drop(held);
    assert_eq!(images.collect_garbage().unwrap().bytes, 13);
}

#[test]
fn an_index_that_is_damaged() {
    let (_folder, images) = images();
    let one = images.make_hello("a:1", "one");
    let index = images.layout.root.join("index.json");
    let good = fs::read(&index).unwrap();
    fs::write(&index, "{").unwrap();
    let error = images.list().unwrap_err();
    assert!(error.to_string().contains("index.json is malformed"), "{error}");
    assert!(images.collect_garbage().is_err(), "what is not known is not garbage");
    fs::write(&index, good).unwrap();
    fs::write(images.layout.path(&one.id), "{}").unwrap();
    let error = images.find("a:1").unwrap_err();
    assert!(matches!(error, ImageError::Damaged { .. }), "{error}");
    fs::remove_file(images.layout.path(&one.id)).unwrap();
    assert!(matches!(images.find("a:1").unwrap_err(), ImageError::Missing(_)));
    assert_eq!(images.list().unwrap().len(), 0);
}

/// As other tools write it: a tag of an index, whose manifest for WebAssembly is here.
#[test]
fn an_index_of_an_index() {
    let (_folder, images) = images();
    let one = images.make_hello("a:1", "one");
    let index = serde_json::json!({ "schemaVersion": 2, "manifests": [
        { "mediaType": crate::document::MANIFEST, "digest": format!("sha256:{}", "0".repeat(64)), "size": 1,
          "platform": { "os": "linux", "architecture": "amd64" } },
        { "mediaType": crate::document::MANIFEST, "digest": one.manifest.to_string(), "size": 1 },
    ] });
    images.keep("b:1", &index, &[]).unwrap();
    let two = images.find("b:1").unwrap();
    assert_eq!((two.id, two.names), (one.id, vec!["docker.io/library/b:1".to_owned()]));
    images.remove("a:1", false, &|_| false).unwrap();
    assert!(images.rootfs(&images.find("b:1").unwrap()).is_ok(), "the index leads to it");
}

#[test]
fn who_removes_an_image_waits_for_who_makes_a_container_of_it() {
    let (_folder, images) = images();
    let image = images.make_hello("a:1", "one");
    let (root, held) = images.held(&image).unwrap();
    let is_used = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let removing = scope.spawn(|| images.remove("a:1", false, &|_| is_used.load(SeqCst)));
        is_used.store(true, SeqCst);
        drop(held);
        assert!(matches!(removing.join().unwrap(), Err(ImageError::InUse { .. })));
    });
    assert!(root.join("hello.wasm").exists());

    images.remove("a:1", false, &|_| false).unwrap();
    assert!(matches!(images.held(&image), Err(ImageError::NotFound(_))));
}
