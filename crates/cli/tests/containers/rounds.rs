//! Run and remove, many times: nothing stays behind.

use crate::Place;
use sampan_testing::guest;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The processes whose command lines name this folder.
fn processes(folder: &str) -> usize {
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let lines = pids.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).contains(folder)).count()
}

/// Of all containers that there were, as what happened to them says.
fn ids(data: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(data.join("containers/events.json")).unwrap();
    let events = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    events.filter_map(|event| Some(event["id"].as_str()?.to_owned())).collect()
}

/// Control groups have their containers' identities as names.
fn cgroups(ids: &BTreeSet<String>) -> Vec<PathBuf> {
    let folders = files(Path::new("/sys/fs/cgroup")).into_iter();
    folders
        .filter(|path| path.file_name().is_some_and(|name| ids.contains(&*name.to_string_lossy())))
        .collect()
}

/// Everything below a folder.
fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        // What others remove meanwhile is not there.
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            }
            found.insert(entry.path());
        }
    }
    found
}

/// A thousand take a minute or two: `SAMPAN_TEST_ROUNDS=1000` runs as many.
#[test]
fn rounds_leave_nothing_behind() {
    let rounds = std::env::var("SAMPAN_TEST_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(100);
    let place = Place::new();
    let context = place.data.path().join("context");
    fs::create_dir(&context).unwrap();
    fs::copy(guest("hello"), context.join("hello.wasm")).unwrap();
    fs::write(context.join("Dockerfile"), "FROM scratch\nCOPY hello.wasm /\nENTRYPOINT [\"/hello.wasm\"]\n")
        .unwrap();
    place.ok(&["build", "-q", "-t", "hello", context.to_str().unwrap()]);
    assert_eq!(place.ok(&["run", "--rm", "hello"]), "Hello from a guest!");

    let before = files(place.data.path());
    for round in 0..rounds {
        let finished = place.sampan(&["run", "--rm", "-m", "64m", "hello"]);
        let (code, output) = (finished.code, finished.stdout.as_str());
        assert_eq!((code, output), (0, "Hello from a guest!\n"), "{round}: {finished:?}");
    }
    assert_eq!(place.ok(&["ps", "-aq"]), "");
    assert_eq!(files(place.data.path()), before, "files, sockets");
    let data = place.data.path().to_str().unwrap();
    assert_eq!(processes(data), 0);
    let ids = ids(place.data.path());
    assert!(ids.len() > rounds);
    assert_eq!(cgroups(&ids), Vec::<PathBuf>::new());
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    assert!(!mounts.contains(data), "{mounts}");
}
