//! Containers of other users than root, as clusters want them to be.

use crate::{containerd, image, run, status, wait_until};
use sampan_testing::oci::Image;
use sampan_testing::{guest_for, target};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;

const USER: u32 = 10_001;

/// The native code that is kept for the user: each file's number, and whose it is.
fn kept() -> BTreeMap<String, (u64, u32)> {
    let folder = target().join(format!("tests/shim-cache/users/{USER}/artifacts/code"));
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    let one = |file: fs::DirEntry| {
        let metadata = file.metadata().ok()?;
        Some((file.file_name().into_string().ok()?, (metadata.ino(), metadata.uid())))
    };
    files.filter_map(one).collect()
}

#[test]
fn what_serves_as_another_user_is_compiled_once() {
    let _ = fs::remove_dir_all(target().join("tests/shim-cache/users"));
    let Some(server) = containerd(&[]) else { return };
    let user = USER.to_string();
    server.import(&Image {
        name: &image("served"),
        files: vec![("hello.wasm", fs::read(guest_for("wasm32-wasip2", "serve-hello")).unwrap())],
        entrypoint: vec!["/hello.wasm"],
        exposed: vec!["8080/tcp"],
        user: &user,
        ..Image::default()
    });
    let serve = |id: &str| {
        let log = server.folder.path().join(id);
        let uri = format!("file://{}", log.display());
        let flags = ["--detach", "--log-uri", &uri, "--annotation", "dev.sampan.exposed=8080/tcp"];
        let started = server.ctr(&run(&flags, &image("served"), &[id]));
        assert_eq!(started.code, 0, "{started:?}");
        let said = || fs::read_to_string(&log).unwrap_or_default();
        wait_until("it listens", || said().contains("listening on"));
        assert_eq!(server.ctr(&["task", "kill", "--signal", "SIGKILL", id]).code, 0);
        wait_until("the end", || status(&server, id).is_some_and(|(_, status)| status == "STOPPED"));
        said()
    };
    serve("user-1");
    let first = kept();
    assert!(first.len() >= 2 && first.values().all(|(_, owner)| *owner == USER), "{first:?}");
    let said = serve("user-2");
    assert_eq!(kept(), first, "compiled again");
    assert!(!said.contains("compiling"), "{said}");
}
