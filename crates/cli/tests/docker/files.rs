//! Files into containers and out of them.

use crate::{Engine, dockers};
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

#[test]
fn copies_in_both_directions() {
    let engine = Engine::start();
    let at = |name: &str| engine.path().join(name).display().to_string();
    fs::create_dir_all(engine.path().join("tree/sub")).unwrap();
    fs::write(engine.path().join("tree/sub/file"), "text").unwrap();
    for docker in dockers() {
        let id = engine
            .good(&docker, &["create", "--entrypoint", "/files.wasm", "guests", "cat", "/tree/sub/file"]);
        engine.good(&docker, &["cp", &at("tree"), &format!("{id}:/")]);
        assert_eq!(engine.good(&docker, &["start", "-a", &id]), "cat: text");
        engine.good(&docker, &["cp", &format!("{id}:/tree/sub/file"), &at("back")]);
        assert_eq!(fs::read_to_string(engine.path().join("back")).unwrap(), "text");
        engine.good(&docker, &["cp", &format!("{id}:/tree"), &at("copied")]);
        assert_eq!(fs::read_to_string(engine.path().join("copied/sub/file")).unwrap(), "text");
        fs::remove_dir_all(engine.path().join("copied")).unwrap();
        for path in ["/missing", "/tree/missing/x"] {
            let missing = engine.docker(&docker, &["cp", &format!("{id}:{path}"), &at("none")]);
            let is_told =
                ["Could not find", "No such container:path"].iter().any(|text| missing.stderr.contains(text));
            assert!(missing.code != 0 && is_told, "{}", missing.stderr);
        }
        engine.good(&docker, &["rm", &id]);
    }
}

/// A guest's links lead to its own files, whoever follows them.
#[test]
fn links_lead_nowhere_else() {
    let engine = Engine::start();
    let Some(docker) = dockers().pop() else { return };
    let id = engine.good(&docker, &["create", "guests"]);
    let rootfs = engine.path().join("data/containers").join(&id).join("rootfs");
    symlink("/etc", rootfs.join("out")).unwrap();
    let target = engine.path().join("hostname").display().to_string();
    let read = engine.docker(&docker, &["cp", "-L", &format!("{id}:/out/passwd"), &target]);
    assert!(read.code != 0 && !engine.path().join("hostname").exists(), "{}", read.stdout);
    fs::write(engine.path().join("planted-by-test"), "x").unwrap();
    let source = engine.path().join("planted-by-test").display().to_string();
    engine.docker(&docker, &["cp", &source, &format!("{id}:/out/")]);
    assert!(!std::path::Path::new("/etc/planted-by-test").exists());
}

#[test]
fn all_files_of_a_container() {
    let engine = Engine::start();
    let Some(docker) = dockers().pop() else { return };
    let id = engine.good(&docker, &["create", "guests"]);
    let archive = engine.path().join("all.tar").display().to_string();
    engine.good(&docker, &["export", "-o", &archive, &id]);
    let listed = Command::new("tar").args(["-tf", &archive]).output().unwrap();
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.lines().any(|line| line.ends_with("streams.wasm")), "{listed}");
}
