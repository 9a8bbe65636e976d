//! Archives of layers: whatever the bytes, nothing is written outside of the root, and what is there is within the
//! limits and has no rights of others.

#![no_main]
// The files are included whole, and not all of them is used here.
#![allow(dead_code)]

#[path = "."]
mod rootfs {
    #[path = "../../crates/images/src/rootfs/tree.rs"]
    pub mod tree;
    #[path = "../../crates/images/src/rootfs/unpack.rs"]
    pub mod unpack;
}

use rootfs::unpack::{Budget, unpack};
use std::fs;
use std::os::unix::fs::MetadataExt;

const ENTRIES: u64 = 100;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // In memory, where there is such a folder.
    let parent = if std::path::Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" };
    let folder = tempfile::tempdir_in(parent).expect("a folder of our own");
    let (outside, root) = (folder.path().join("outside"), folder.path().join("a/root"));
    fs::create_dir_all(&root).expect("a folder in it");
    fs::write(&outside, "mine").expect("a file in it");
    let mut budget = Budget { bytes: 1 << 20, entries: ENTRIES };
    // The second is a layer on top of the first.
    let (first, second) = bytes.split_at(bytes.len() / 2 / 512 * 512);
    for layer in [first, second] {
        // Whether it is understood does not matter here.
        let _ = unpack(layer, &root, &mut budget);
    }
    assert_eq!(fs::read(&outside).expect("it is still there"), b"mine");
    assert_eq!(fs::read_dir(folder.path()).expect("our folder").count(), 2);
    assert_eq!(fs::read_dir(folder.path().join("a")).expect("our folder").count(), 1);
    let (mut count, mut folders) = (0, vec![root]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder that was unpacked").flatten() {
            let found = entry.metadata().expect("it is there");
            assert!(found.is_dir() || found.is_file() || found.is_symlink());
            assert!(found.is_symlink() || found.mode() & 0o6000 == 0);
            count += 1;
            if found.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    assert!(count <= ENTRIES + 256);
});
