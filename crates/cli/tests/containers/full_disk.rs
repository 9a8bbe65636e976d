//! A full disk: an error that says so, nothing half-written, what runs goes on, and all is well when there is room again.

use crate::{Place, idle};
use sampan_testing::servers::{Registry, sha256};
use sampan_testing::{PATIENCE, SmallDisk, finish, guest};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

const FULL: &str = "No space left on device";

/// All files below a folder, but those on which locks are taken.
fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else if entry.file_type().unwrap().is_file()
                && !entry.file_name().to_string_lossy().contains("lock")
            {
                found.insert(entry.path());
            }
        }
    }
    found
}

/// The sources of an image of some MiB that do not compress.
fn context(place: &Place) -> PathBuf {
    let folder = place.data.path().join("context");
    fs::create_dir(&folder).unwrap();
    fs::copy(guest("hello"), folder.join("hello.wasm")).unwrap();
    let mut state = 1_u32;
    let noise = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    });
    fs::write(folder.join("noise"), noise.take(3 << 20).collect::<Vec<_>>()).unwrap();
    fs::write(folder.join("Dockerfile"), "FROM scratch\nCOPY . /\nENTRYPOINT [\"/hello.wasm\"]\n").unwrap();
    folder
}

#[test]
fn images_come_whole_or_not_at_all() {
    let Some(disk) = SmallDisk::mount(32) else { return };
    let Some(registry) = Registry::start() else { return };
    let (maker, place) = (Place::new(), Place::inside(disk.path()));
    let name = registry.reference("acme/large:1");
    let (context, archive) = (context(&maker), maker.data.path().join("image.tar"));
    let (context, archive) = (context.to_str().unwrap(), archive.to_str().unwrap());
    maker.ok(&["build", "-q", "-t", &name, context]);
    maker.ok(&["save", "-o", archive, &name]);
    maker.ok(&["push", "-q", &name]);

    for left_kib in [0, 1024] {
        disk.fill_but(left_kib);
        for args in
            [&["load", "-i", archive][..], &["pull", "-q", &name], &["build", "-q", "-t", "built", context]]
        {
            let before = files(place.data.path());
            let failed = place.sampan(args);
            assert!(failed.code == 1 && failed.stderr.contains(FULL), "{args:?}: {failed:?}");
            assert!(failed.stderr.contains("help: make room on the disk"), "{failed:?}");
            assert_eq!(place.ok(&["images", "-q"]), "");
            // What of a pull is there is whole, for the next attempt.
            for file in files(place.data.path()).difference(&before) {
                let digest = sha256(&fs::read(file).unwrap());
                let is_whole = digest.ends_with(&*file.file_name().unwrap().to_string_lossy());
                assert!(args[0] == "pull" && is_whole, "{args:?}: {}", file.display());
            }
        }
        disk.free();
    }
    // There is room for the image, but not for its files.
    place.ok(&["load", "-i", archive]);
    disk.fill_but(1024);
    place.fails(&["run", "--rm", &name], 125, FULL);
    assert_eq!(place.ok(&["ps", "-aq"]), "");
    disk.free();
    assert_eq!(place.ok(&["run", "--rm", &name]), "Hello from a guest!");
    place.ok(&["rmi", "-f", &name]);
    for args in [&["pull", "-q", &name][..], &["build", "-q", "-t", &name, context]] {
        place.ok(args);
        assert_eq!(place.ok(&["run", "--rm", &name]), "Hello from a guest!");
    }
}

#[test]
fn containers_live_on_and_can_be_ended() {
    let Some(disk) = SmallDisk::mount(16) else { return };
    let place = Place::inside(disk.path());
    place.start("a", &[], &idle(), &[]);
    place.start("b", &[], &idle(), &[]);
    disk.fill();
    let before = files(&place.data.path().join("containers"));
    let another = idle();
    place.fails(&["run", "-d", another.to_str().unwrap()], 125, FULL);
    place.fails(&["create", another.to_str().unwrap()], 1, FULL);
    assert_eq!(files(&place.data.path().join("containers")), before);
    assert_eq!(place.ok(&["ps", "-q"]).lines().count(), 2);
    // How it ended is known, and it can be started again.
    place.ok(&["stop", "a"]);
    let state = place.inspect("a")["State"].clone();
    assert_eq!((state["Status"].as_str(), state["ExitCode"].as_i64()), (Some("exited"), Some(143)));
    assert_eq!(place.ok(&["ps", "-aq"]).lines().count(), 2);
    place.ok(&["start", "a"]);
    assert_eq!(place.status("a"), "running");
    // Removing makes room, so it takes none.
    place.ok(&["rm", "-f", "b"]);
    assert_eq!(place.ok(&["ps", "-aq"]).lines().count(), 1);
    disk.free();
    place.start("c", &[], &idle(), &[]);
    assert_eq!(place.status("c"), "running");
}

#[test]
fn a_guest_writes_on_when_its_log_cannot() {
    let Some(disk) = SmallDisk::mount(16) else { return };
    let place = Place::inside(disk.path());
    let streams = guest("streams");
    let create = ["create", "-i", "--name", "a", streams.to_str().unwrap(), "upper"];
    place.ok(&create);
    // Some megabytes go through, far more than there is room for.
    disk.fill_but(256);
    let lines = "a line of some length, so that the log has something to do\n".repeat(50_000);
    let finished = finish(&mut place.command(["start", "-ai", "a"]), &lines);
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert_eq!(finished.stdout.len(), lines.len(), "who is attached gets everything");
    assert_eq!(place.inspect("a")["State"]["ExitCode"], 0);
    let logged = place.ok(&["logs", "a"]).lines().count();
    assert!(logged > 0 && logged < 50_000, "{logged}");
    disk.free();
    // Every line that is there is whole, and there are more again.
    let finished = finish(&mut place.command(["start", "-ai", "a"]), "at the end\n");
    assert_eq!(finished.stdout, "AT THE END\n");
    let begun = Instant::now();
    while !place.ok(&["logs", "a"]).ends_with("AT THE END") {
        assert!(begun.elapsed() < PATIENCE, "the log goes on");
    }
}
