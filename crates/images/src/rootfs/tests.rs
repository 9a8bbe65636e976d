//! What is unpacked, and what is not.

use super::*;
use crate::made::{CONFIG, TAR, TAR_GZIP, Tar, config, digest, gzip, images};
use serde_json::json;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use tar::EntryType;

/// Unpacks layers on top of each other.
fn unpacked(images: &Images, layers: &[Vec<u8>]) -> Result<PathBuf, ImageError> {
    let plain: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
    let parts: Vec<(&str, &[u8])> = plain.iter().map(|layer| (TAR, *layer)).collect();
    let image = images.make("x:1", (CONFIG, &config(json!({}), &plain)), &parts)?;
    images.rootfs(&image)
}

/// All names below a folder.
fn names(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            found.push(entry.path().strip_prefix(root).unwrap().display().to_string());
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

#[test]
fn an_archive_of_everything() {
    let (_folder, images) = images();
    let long = "long/".repeat(40) + "name";
    let pax = format!("path={long}\n");
    let pax = format!("{} {pax}", pax.len() + 4);
    let layer = Tar::default()
        .folder("./bin/")
        .file("bin/one", "1")
        .entry(EntryType::Regular, b"bin/suid", b"", 0o6755, b"x")
        .entry(EntryType::Regular, b"/absolute", b"", 0o400, b"")
        .symlink("sbin", "bin")
        .file("sbin/two", "2")
        .link("three", "bin/one")
        .symlink("out", "../../../etc/passwd")
        .entry(EntryType::Directory, b"locked", b"", 0o055, b"")
        .file("locked/file", "")
        .entry(EntryType::Char, b"null", b"", 0o666, b"")
        .entry(EntryType::Block, b"disk", b"", 0o666, b"")
        .entry(EntryType::Fifo, b"pipe", b"", 0o666, b"")
        .entry(EntryType::XHeader, b"pax", b"", 0, pax.as_bytes())
        .file("short", "long")
        .entry(EntryType::GNULongName, b"@", b"", 0, b"gnu\0")
        .file("short", "gnu")
        .entry(EntryType::XGlobalHeader, b"pax_global_header", b"", 0, b"18 comment=abcdef\n")
        .done();
    let root = unpacked(&images, &[layer]).unwrap();
    let mut expected = vec![
        "absolute",
        "bin",
        "bin/one",
        "bin/suid",
        "bin/two",
        "gnu",
        "locked",
        "locked/file",
        "out",
        "sbin",
        "three",
    ];
    let folders: Vec<String> =
        (1..=40).map(|count| "long/".repeat(count).trim_end_matches('/').to_owned()).collect();
    expected.extend(folders.iter().map(String::as_str).chain([long.as_str()]));
    expected.sort();
    assert_eq!(names(&root), expected);
    let mode = |name: &str| fs::metadata(root.join(name)).unwrap().mode() & 0o7777;
    assert_eq!((mode("bin/suid"), mode("absolute"), mode("locked")), (0o755, 0o400, 0o755));
    assert_eq!(
        fs::metadata(root.join("three")).unwrap().ino(),
        fs::metadata(root.join("bin/one")).unwrap().ino()
    );
    assert_eq!(fs::metadata(root.join("bin")).unwrap().mtime(), 1_000_000_000);
    assert_eq!(fs::metadata(root.join("bin/one")).unwrap().mtime(), 1_000_000_000);
    assert_eq!(fs::read_link(root.join("out")).unwrap(), Path::new("../../../etc/passwd"));
}

#[test]
fn layers_hide_what_is_below() {
    let (_folder, images) = images();
    let lower = Tar::default().file("a/1", "").file("a/2", "").file("b/1", "").file("c", "lower").folder("d");
    let upper = Tar::default()
        .file("a/.wh.1", "")
        .file("b/2", "")
        .file("b/.wh..wh..opq", "")
        .folder("c")
        .file("c/new", "")
        .file("d", "upper")
        .file(".wh.nothing", "")
        .folder(".wh..wh.plnk")
        // Its own file is not meant.
        .file("e/kept", "")
        .file(".wh.e", "");
    let root = unpacked(&images, &[lower.done(), upper.done()]).unwrap();
    assert_eq!(names(&root), ["a", "a/2", "b", "b/2", "c", "c/new", "d", "e", "e/kept"]);
    assert_eq!(fs::read(root.join("d")).unwrap(), b"upper");
}

#[test]
fn nothing_is_written_elsewhere() {
    for (what, layers) in [
        ("would be outside", vec![Tar::default().file("../evil", "x")]),
        ("would be outside", vec![Tar::default().file("a/../../evil", "x")]),
        ("would be outside", vec![Tar::default().link("a", "../../../../etc/passwd")]),
        ("is not there", vec![Tar::default().link("a", "/etc/passwd")]),
        ("is not there", vec![Tar::default().symlink("l", "/etc").link("a", "l/passwd")]),
        ("link to a folder", vec![Tar::default().folder("f").link("a", "f")]),
        ("link to nothing", vec![Tar::default().symlink("a", "")]),
        ("too many links", vec![Tar::default().symlink("a", "b").symlink("b", "a").file("a/x", "")]),
        ("marks nothing", vec![Tar::default().file("a/.wh..", "")]),
        ("marks nothing", vec![Tar::default().file("a/.wh.", "")]),
        ("sparse", vec![Tar::default().entry(EntryType::GNUSparse, b"a", b"", 0, b"")]),
        ("of a kind", vec![Tar::default().entry(EntryType::new(b'Z'), b"a", b"", 0, b"")]),
        ("the root itself", vec![Tar::default().symlink("a", ".").link("/", "a")]),
    ] {
        let (folder, images) = images();
        let layers: Vec<_> = layers.into_iter().map(Tar::done).collect();
        match unpacked(&images, &layers) {
            Err(error) => assert!(error.to_string().contains(what), "{what}: {error}"),
            Ok(root) if what == "the root itself" => assert_eq!(names(&root), ["a"]),
            Ok(root) => panic!("{what}: {:?}", names(&root)),
        }
        assert!(!folder.path().join("images/roots/evil").exists() && !folder.path().join("evil").exists());
    }
    // Through links, names mean what they mean inside.
    let (folder, images) = images();
    let outside = folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let away = outside.display().to_string();
    let layer = Tar::default()
        .symlink("up", "../../..")
        .file("up/one", "")
        .symlink("away", &away)
        .file("away/two", "")
        .symlink("file", "/one")
        .file("file", "not through it")
        .file("old", "")
        .symlink("gone", &away)
        .folder("gone");
    let next = Tar::default().file("away/.wh..wh..opq", "").file(".wh.up", "").file("up2/x", "");
    let root = unpacked(&images, &[layer.done(), next.done()]).unwrap();
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "nothing was written there");
    assert!(root.join("one").is_file() && root.join("gone").is_dir() && root.join("file").is_file());
    assert_eq!(fs::read(root.join("one")).unwrap(), b"");
    assert!(!root.join(away.trim_start_matches('/')).join("two").exists(), "the upper layer hides it");
}

#[test]
fn limits_hold() {
    let (_folder, mut images) = images();
    images.limits = Limits { bytes_max: 20_000, entries_max: 10 };
    let many = (0..11).fold(Tar::default(), |tar, at| tar.file(&format!("f{at}"), "")).done();
    let deep = Tar::default().file(&"d/".repeat(11), "").done();
    let large = Tar::default().file("f", &"x".repeat(30_000)).done();
    for (what, layers) in [
        ("more files", vec![many]),
        ("more files", vec![deep]),
        ("more bytes", vec![large]),
        ("more bytes", vec![Tar::default().file("f", &"x".repeat(11_000)).done(); 2]),
    ] {
        let error = unpacked(&images, &layers).unwrap_err();
        assert!(error.to_string().contains(what), "{what}: {error}");
    }
    // What comes after the archive's end counts, too.
    let mut padded = Tar::default().file("f", "").done();
    padded.resize(30_000, 0);
    let error = unpacked(&images, &[padded]).unwrap_err();
    assert!(error.to_string().contains("more bytes"), "{error}");
    assert_eq!(fs::read_dir(images.layout.root.join("roots")).unwrap().count(), 0, "nothing stays");

    let header = (0..100)
        .fold(Tar::default(), |tar, _| tar.entry(EntryType::GNULongName, b"@", b"", 0, &vec![b'n'; 2 << 20]));
    let (_folder, images) = crate::made::images();
    let error = unpacked(&images, &[header.done()]).unwrap_err();
    assert!(error.to_string().contains("too long"), "{error}");
    let long = Tar::default().entry(EntryType::GNULongName, b"@", b"", 0, &[b'n'; 5000]).file("f", "");
    let error = unpacked(&images, &[long.done()]).unwrap_err();
    assert!(error.to_string().contains("too long a name"), "{error}");
}

#[test]
fn both_digests_are_checked() {
    let (_folder, images) = images();
    let layer = Tar::default().file("a", "1").done();
    let packed = gzip(&layer);
    let good = config(json!({}), &[&layer]);
    let image = images.make("good", (CONFIG, &good), &[(TAR_GZIP, &packed)]).unwrap();
    // As it lies there.
    let path = images.layout.path(&digest(&packed));
    fs::write(&path, gzip(&Tar::default().file("a", "2").done())).unwrap();
    let error = images.rootfs(&image).unwrap_err();
    assert!(matches!(error, ImageError::Damaged { what: "the layer", .. }), "{error}");
    fs::write(&path, &packed[..packed.len() - 9]).unwrap();
    let error = images.rootfs(&image).unwrap_err();
    assert!(error.to_string().contains("cannot be unpacked"), "{error}");
    fs::remove_file(&path).unwrap();
    assert!(matches!(images.rootfs(&image).unwrap_err(), ImageError::Missing(_)));
    fs::write(&path, &packed).unwrap();
    assert!(images.rootfs(&image).is_ok());
    // Of other plain bytes than the configuration says.
    let other = config(json!({}), &[b"other"]);
    let image = images.make("other", (CONFIG, &other), &[(TAR_GZIP, &packed)]).unwrap();
    let error = images.rootfs(&image).unwrap_err();
    assert!(matches!(error, ImageError::Damaged { what: "the unpacked layer", .. }), "{error}");
    // It names more layers than there are.
    let more = config(json!({}), &[&layer, &layer]);
    let error = images.make("more", (CONFIG, &more), &[(TAR_GZIP, &packed)]).unwrap_err();
    assert!(error.to_string().contains("tells of 2"), "{error}");
}

#[test]
fn many_at_once_share_one() {
    let (_folder, images) = images();
    let image = images.make_hello("a:1", "hello");
    let paths: Vec<PathBuf> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..8).map(|_| scope.spawn(|| images.rootfs(&image).unwrap())).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(paths.iter().all(|path| *path == paths[0]));
    assert_eq!(fs::read_dir(images.layout.root.join("roots")).unwrap().count(), 1);
}

#[test]
fn a_hundred_thousand_files() {
    // In memory where that can be: how long a disk takes is not ours.
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    let images = Images::at(folder.path().to_owned());
    let mut tar = Tar::default();
    for folder in 0..100 {
        tar = tar.folder(&format!("d{folder}"));
        for file in 0..1000 {
            tar = tar.file(&format!("d{folder}/f{file}"), "");
        }
    }
    let root = unpacked(&images, &[tar.done()]).unwrap();
    assert_eq!(fs::read_dir(root.join("d99")).unwrap().count(), 1000);
}

#[test]
fn forms_of_images() {
    let wasm = "application/wasm";
    let component = "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm";
    let empty = config(json!({}), &[]);
    let named = config(json!({ "Entrypoint": ["/app.wasm", "serve"] }), &[]);
    let start = config(json!({ "Entrypoint": ["_start"] }), &[]);
    let artifact = json!({ "architecture": "wasm", "os": "wasip2", "created": "2024-05-06T07:08:09Z" });
    for (kind, config, layer, file, command) in [
        ("application/vnd.wasm.config.v0+json", &artifact, wasm, "module.wasm", &["/module.wasm"][..]),
        ("application/vnd.oci.empty.v1+json", &json!({}), wasm, "module.wasm", &["/module.wasm"]),
        (CONFIG, &named, component, "app.wasm", &["/app.wasm", "serve"]),
        (CONFIG, &start, component, "module.wasm", &["/module.wasm"]),
        (CONFIG, &empty, component, "module.wasm", &["/module.wasm"]),
    ] {
        let (_folder, images) = images();
        let image = images.make("x:1", (kind, config), &[(layer, b"code")]).unwrap();
        assert_eq!(image.form, crate::Form::Wasm, "{kind}");
        let root = images.rootfs(&image).unwrap();
        assert_eq!(fs::read(root.join(file)).unwrap(), b"code", "{kind}");
        assert_eq!(images.command(&image).unwrap(), command, "{kind}");
        assert_eq!(image.id == image.manifest, kind != CONFIG, "{kind}: an artifact's id");
    }
    let (_folder, images) = images();
    let image =
        images.make("x:1", ("application/vnd.wasm.config.v0+json", &artifact), &[(wasm, b"code")]).unwrap();
    assert_eq!((image.platform.to_string().as_str(), image.created.is_some()), ("wasip2/wasm", true));
    let two = images.make("y:1", ("a/b", &json!({})), &[(wasm, b"one"), (wasm, b"two")]).unwrap();
    let error = images.command(&two).unwrap_err();
    assert!(error.to_string().contains("module-0.wasm, module-1.wasm"), "{error}");
    let error = images.make("z:1", ("a/b", &json!({})), &[("text/plain", b"one")]).unwrap_err();
    assert!(error.to_string().contains("text/plain"), "{error}");
}

#[test]
fn images_that_say_that_they_are_wasm() {
    let (_folder, images) = images();
    let layer = Tar::default().file("plugin.wasm", "code").done();
    let config = config(json!({}), &[&layer]).to_string();
    let manifest = json!({
        "schemaVersion": 2, "config": crate::made::described(CONFIG, config.as_bytes()),
        "layers": [crate::made::described(TAR, &layer)], "annotations": { "module.wasm.image/variant": "compat" },
    });
    let image = images.keep("x:1", &manifest, &[config.as_bytes(), &layer]).unwrap();
    assert_eq!(images.command(&image).unwrap(), ["/plugin.wasm"]);
}

/// An app of Spin with one component, some layers, and these files.
fn spin_app(files: serde_json::Value) -> serde_json::Value {
    let code = digest(b"code").to_string();
    json!({ "spin_lock_version": 1, "components": [
        { "id": "web", "source": { "content_type": "application/wasm", "digest": code }, "files": files },
    ] })
}

/// Keeps it as Spin pushes it; before Spin 2, the app was the image's configuration.
fn keep_spin(images: &Images, app: &serde_json::Value, is_old: bool) -> Image {
    const APP: &str = crate::form::SPIN_APP;
    let packed = gzip(&Tar::default().file("x/b.txt", "in the archive").done());
    let (app, config) = (app.to_string(), config(json!({}), &[]).to_string());
    let parts: Vec<(&str, &[u8])> = vec![
        ("application/vnd.wasm.content.layer.v1+wasm", b"code"),
        ("application/vnd.wasm.content.layer.v1+data", b"text"),
        (crate::form::SPIN_ARCHIVE, &packed),
    ];
    let mut layers: Vec<_> = parts.iter().map(|(kind, bytes)| crate::made::described(kind, bytes)).collect();
    let mut described = crate::made::described(CONFIG, config.as_bytes());
    let its = crate::made::described(APP, app.as_bytes());
    if is_old {
        described = its
    } else {
        layers.push(its)
    }
    let manifest = json!({ "schemaVersion": 2, "config": described, "layers": layers });
    images.keep("x:1", &manifest, &[config.as_bytes(), app.as_bytes(), b"code", b"text", &packed]).unwrap()
}

#[test]
fn apps_of_spin() {
    let (code, text) = (digest(b"code").to_string(), digest(b"text").to_string());
    let app = spin_app(json!([
        { "digest": text, "path": "a/a.txt" },
        { "digest": digest(b"in the archive").to_string(), "path": "b.txt" },
        { "inline": "c21hbGw=", "digest": "sha256:00", "path": "small.txt" },
    ]));
    for is_old in [false, true] {
        let (_folder, images) = images();
        let image = keep_spin(&images, &app, is_old);
        assert_eq!(
            (image.form, images.command(&image).unwrap()),
            (crate::Form::Spin, vec!["/spin.toml".to_owned()])
        );
        let root = images.rootfs(&image).unwrap();
        let read = |name: &str| {
            fs::read_to_string(root.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
        };
        assert_eq!(read(&format!("content/sha256/{}", &code[7..])), "code");
        assert_eq!(
            (read("assets/web/a/a.txt"), read("assets/web/b.txt")),
            ("text".into(), "in the archive".into())
        );
        assert_eq!(read("assets/web/small.txt"), "small");
        let source = format!("\"source\" = \"content/sha256/{}\"", &code[7..]);
        assert!(read("spin.toml").contains(&source), "{}", read("spin.toml"));
        assert_eq!(fs::read_dir(&root).unwrap().count(), 3);
    }
}

#[test]
fn apps_of_spin_that_are_wrong() {
    let (text, nowhere) = (digest(b"text").to_string(), format!("sha256:{}", "0".repeat(64)));
    let refused = |app: &serde_json::Value, what: &str| {
        let (_folder, images) = images();
        let image = keep_spin(&images, app, false);
        let error = images.rootfs(&image).unwrap_err();
        assert!(error.to_string().contains(what), "{app}: {error}");
    };
    for (file, what) in [
        (json!({ "digest": text, "path": "../evil" }), "elsewhere"),
        (json!({ "digest": text, "path": "/evil" }), "elsewhere"),
        (json!({ "digest": nowhere, "path": "a" }), "not in the image"),
        (json!({ "path": "a" }), "without content"),
        (json!({ "inline": "%", "path": "a" }), "base64"),
    ] {
        refused(&spin_app(json!([file])), what);
    }
    let mut other = spin_app(json!([]));
    other["components"][0]["dependencies"] = json!({ "a:b/c": { "source": {} } });
    refused(&other, "skip-compose");
    other["components"][0] = json!({ "id": "web", "source": { "digest": nowhere } });
    refused(&other, "whose code is not in the image");
}

#[test]
fn a_folder_that_others_may_write_to_is_not_used() {
    let (folder, images) = images();
    images.make_hello("a:1", "one");
    let root = folder.path().join("images");
    fs::set_permissions(&root, fs::Permissions::from_mode(0o777)).unwrap();
    let error = images.layout.adding().unwrap_err();
    assert!(error.to_string().contains("writable by others"), "{error}");
}
