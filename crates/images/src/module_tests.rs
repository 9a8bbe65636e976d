//! Which layer, which platform, and which file of an archive is taken.

use super::*;
use crate::document::{Document, document_of};
use crate::{DigestAlgorithm, Store};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use std::io::Write;

const OCI_ARCHIVE: &str = ARCHIVES[1];

fn digest() -> String {
    format!("sha256:{}", "0".repeat(64))
}

fn manifest(types: &[&str]) -> Manifest {
    let layers: Vec<_> = types
        .iter()
        .map(|media_type| json!({ "mediaType": media_type, "digest": digest(), "size": 1 }))
        .collect();
    let config = json!({ "mediaType": "application/vnd.wasm.config.v0+json", "digest": digest(), "size": 2 });
    match document_of(&json!({ "schemaVersion": 2, "config": config, "layers": layers })) {
        Ok(Document::Manifest(manifest)) => manifest,
        other => panic!("{other:?}"),
    }
}

#[test]
fn layers_are_known_by_their_types() {
    for (types, expected) in [
        (&["application/wasm"][..], Some((0, Packing::Plain))),
        (&["application/json", MODULES[1]], Some((1, Packing::Plain))),
        (&[MODULES[2]], Some((0, Packing::Plain))),
        (&[ARCHIVES[0]], Some((0, Packing::Archive))),
        (&[OCI_ARCHIVE], Some((0, Packing::Archive))),
        (&[OCI_ARCHIVE, "application/wasm"], Some((1, Packing::Plain))),
        (&[OCI_ARCHIVE, OCI_ARCHIVE], None),
        (&["application/wasm", "application/wasm"], None),
        (&["application/vnd.oci.image.layer.v1.tar+zstd"], None),
        (&[], None),
    ] {
        let manifest = manifest(types);
        let found = layer(&manifest);
        match (expected, found) {
            (Some((at, form)), Ok((layer, found))) => {
                assert!(std::ptr::eq(layer, &raw const manifest.layers[at]) && form == found, "{types:?}");
            }
            (None, Err(error)) => {
                let said = error.to_string();
                assert!(types.iter().all(|one| said.contains(one)), "{types:?}: {said}");
                assert!(said.contains("vnd.wasm.config"), "{said}");
            }
            (_, found) => panic!("{types:?}: {found:?}"),
        }
    }
}

#[test]
fn platforms() {
    let index = |platforms: &[&str]| {
        let one = |text: &&str| {
            let (os, architecture) = text.split_once('/').unwrap();
            let platform = json!({ "os": os, "architecture": architecture });
            json!({ "digest": digest(), "size": 1, "platform": platform })
        };
        let manifests: Vec<_> = platforms.iter().map(one).collect();
        match document_of(&json!({ "schemaVersion": 2, "manifests": manifests })) {
            Ok(Document::Index(index)) => index,
            other => panic!("{other:?}"),
        }
    };
    for (platforms, expected) in [
        (&["linux/amd64", "wasi/wasm"][..], Some(1)),
        (&["wasip2/wasm", "wasip1/wasm"], Some(1)),
        (&["wasip2/wasm"], Some(0)),
        (&["wasi/wasm32"], Some(0)),
        (&["linux/amd64", "wasi/arm64"], None),
        (&[], None),
    ] {
        let index = index(platforms);
        match (expected, platform(&index)) {
            (Some(at), Ok(found)) => {
                assert!(std::ptr::eq(found, &raw const index.manifests[at]), "{platforms:?}")
            }
            (None, Err(error)) => {
                let said = error.to_string();
                assert!(platforms.iter().all(|one| said.contains(one)), "{said}");
            }
            (_, found) => panic!("{platforms:?}: {found:?}"),
        }
    }
    let many = index(&["linux/amd64"; 500]);
    assert!(platform(&many).unwrap_err().to_string().ends_with("490 more"));
}

/// A gzipped archive of these files.
fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        match name.strip_suffix('/') {
            Some(_) => header.set_entry_type(tar::EntryType::Directory),
            None => header.set_entry_type(tar::EntryType::Regular),
        }
        // As a stranger may write it: the builder refuses such names.
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        tar.append(&header, *content).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

fn unpacked(bytes: &[u8], max_bytes: u64) -> Result<Vec<u8>, PullError> {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::at(folder.path().join("images"), 1 << 30);
    let mut writer = store.writer(DigestAlgorithm::Sha256)?;
    writer.write(bytes)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let module = runtime.block_on(unpack(writer.done(), store.writer(DigestAlgorithm::Sha256)?, max_bytes));
    let module = std::fs::read(runtime.block_on(module?.keep())?).unwrap();
    let kept = std::fs::read_dir(folder.path().join("images/blobs/sha256")).unwrap().count();
    assert_eq!(kept, 1, "only the module stays");
    Ok(module)
}

#[test]
fn the_module_of_an_archive() {
    let large = vec![b'x'; 3000];
    let long_name = "d/".repeat(49) + "a.wasm";
    for (files, max_bytes, expected) in [
        (&[("plugin.wasm", &b"code"[..])][..], 1 << 20, Ok("code")),
        (&[("./plugin.wasm", b"code")], 1 << 20, Ok("code")),
        (
            &[("etc/", b""), ("a.wasm", b"no"), ("plugin.wasm", b"code"), ("b.wasm", b"no")],
            1 << 20,
            Ok("code"),
        ),
        (&[("etc/passwd", b"no"), ("opt/filter.wasm", b"code")], 1 << 20, Ok("code")),
        (&[("../../../tmp/x.wasm", b"code")], 1 << 20, Ok("code")),
        (&[(&long_name, b"no")], 1 << 20, Err("the files: d/")),
        (&[("a.wasm", b"no"), ("b.wasm", b"no")], 1 << 20, Err("a.wasm, b.wasm")),
        (&[("plugin.wasm/", b"")], 1 << 20, Err("the files: nothing")),
        (&[("plugin.wasm", &large)], 2999, Err("3000 bytes")),
        (&[("zeros", &large), ("zeros", &large), ("plugin.wasm", b"code")], 2999, Err("no archive")),
    ] {
        let found = unpacked(&archive(files), max_bytes);
        match (expected, found) {
            (Ok(code), Ok(found)) => assert_eq!(found, code.as_bytes(), "{files:?}"),
            (Err(what), Err(error)) => assert!(error.to_string().contains(what), "{files:?}: {error}"),
            (_, found) => panic!("{files:?}: {found:?}"),
        }
    }
}

#[test]
fn damaged_archives() {
    let whole = archive(&[("a", &[b'x'; 2000]), ("plugin.wasm", b"code")]);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&[b'x'; 5000]).unwrap();
    for bytes in [&whole[..whole.len() / 2], b"", b"\0asm\x01\0\0\0", &gzip.finish().unwrap()] {
        let error = unpacked(bytes, 1 << 20).expect_err("damaged").to_string();
        assert!(error.contains("no archive") || error.contains("nothing"), "{error}");
    }
}
