//! What the store keeps, and what it does not take for kept.

use super::*;
use crate::blob::ABANDONED_AFTER;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use tempfile::TempDir;

fn store(max_bytes: u64) -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::at(folder.path().join("images"), max_bytes);
    (folder, store)
}

fn wait<T>(what: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(what)
}

fn kept(store: &Store, bytes: &[u8]) -> (Digest, PathBuf) {
    let mut writer = store.writer(DigestAlgorithm::Sha256).unwrap();
    writer.write(bytes).unwrap();
    let blob = writer.done();
    (blob.digest(), wait(blob.keep()).unwrap())
}

#[test]
fn digests_are_those_of_the_standard() {
    // FIPS 180-2, appendices B.1 and C.1.
    let sha256 = Hasher::digest(DigestAlgorithm::Sha256, b"abc");
    assert_eq!(sha256.hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    let sha512 = Hasher::digest(DigestAlgorithm::Sha512, b"abc");
    assert!(sha512.hex.starts_with("ddaf35a193617abacc417349ae20413112e6fa4e89a97ea2"));
}

#[test]
fn finds_what_was_kept_until_it_is_damaged() {
    let (_folder, store) = store(1000);
    let (code, path) = kept(&store, b"code");
    let manifest = Hasher::digest(DigestAlgorithm::Sha256, b"manifest");
    assert_eq!(wait(store.module(&manifest)).unwrap(), None);
    store.set_module(&manifest, &code).unwrap();
    assert_eq!(wait(store.module(&manifest)).unwrap(), Some(path.clone()));

    fs::write(&path, "evil").unwrap();
    assert_eq!(wait(store.module(&manifest)).unwrap(), None, "other bytes");
    fs::remove_file(&path).unwrap();
    assert_eq!(wait(store.module(&manifest)).unwrap(), None, "gone");
    let (_, again) = kept(&store, b"code");
    let elsewhere = store.root.join("elsewhere");
    fs::rename(&again, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &again).unwrap();
    assert_eq!(wait(store.module(&manifest)).unwrap(), None, "a symbolic link");

    kept(&store, b"code");
    fs::set_permissions(path.parent().unwrap(), fs::Permissions::from_mode(0o702)).unwrap();
    let error = wait(store.module(&manifest)).unwrap_err();
    assert!(error.to_string().contains("writable by others"), "{error}");
}

#[test]
fn tags_remember_what_they_meant() {
    let (_folder, store) = store(1000);
    let [one, other]: [Reference; 2] = ["a.b/c:1", "a.b/c:2"].map(|text| text.parse().unwrap());
    let digest = Hasher::digest(DigestAlgorithm::Sha512, b"manifest");
    assert_eq!(store.tag(&one).unwrap(), None);
    store.set_tag(&one, &digest).unwrap();
    assert_eq!((store.tag(&one).unwrap(), store.tag(&other).unwrap()), (Some(digest), None));
    fs::write(store.root.join("tags").join(tag_name(&one)), b"\xff").unwrap();
    assert_eq!(store.tag(&one).unwrap(), None);
}

#[test]
fn a_blob_that_never_comes_leaves_nothing() {
    let (_folder, store) = store(1000);
    let mut writer = store.writer(DigestAlgorithm::Sha256).unwrap();
    writer.write(b"half").unwrap();
    drop(writer);
    let mut writer = store.writer(DigestAlgorithm::Sha256).unwrap();
    writer.write(b"whole, but wrong").unwrap();
    drop(writer.done());
    assert_eq!(fs::read_dir(store.root.join("blobs/sha256")).unwrap().count(), 0);
    // Of a process that was killed.
    let left = store.root.join("blobs/sha256/.tmpabc");
    fs::write(&left, "half").unwrap();
    let long_ago = SystemTime::now() - ABANDONED_AFTER * 2;
    File::options().append(true).open(&left).unwrap().set_modified(long_ago).unwrap();
    drop(store.writer(DigestAlgorithm::Sha256).unwrap());
    assert!(!left.exists());
}

#[test]
fn what_was_not_used_for_longest_goes_first() {
    let (_folder, store) = store(8);
    let pieces = [b"aaaa", b"bbbb", b"cccc"].map(|bytes| kept(&store, bytes));
    let long_ago = SystemTime::now() - Duration::from_secs(100);
    for (at, (code, path)) in pieces.iter().enumerate() {
        File::options().append(true).open(path).unwrap().set_modified(long_ago).unwrap();
        store.set_module(&Hasher::digest(DigestAlgorithm::Sha256, &[at as u8]), code).unwrap();
        let known = store
            .root
            .join("modules")
            .join(module_name(&Hasher::digest(DigestAlgorithm::Sha256, &[at as u8])));
        let used = long_ago + Duration::from_secs(at as u64);
        File::options().append(true).open(known).unwrap().set_modified(used).unwrap();
    }
    // Using the first one makes it the last to go.
    let first = Hasher::digest(DigestAlgorithm::Sha256, &[0]);
    assert!(wait(store.module(&first)).unwrap().is_some());
    store.shrink(&pieces[2].1);
    let there: Vec<bool> = pieces.iter().map(|(_, path)| path.exists()).collect();
    assert_eq!(there, [true, false, true]);
}

#[test]
fn what_is_used_by_its_own_digest_stays_longer() {
    let (_folder, store) = store(8);
    let pieces = [b"aaaa", b"bbbb", b"cccc"].map(|bytes| kept(&store, bytes));
    let long_ago = SystemTime::now() - Duration::from_secs(100);
    for (_, path) in &pieces {
        File::options().append(true).open(path).unwrap().set_modified(long_ago).unwrap();
    }
    // Once more than once makes no difference.
    for at in [0, 0] {
        store.note_use(&pieces[at].0).unwrap();
    }
    store.shrink(&pieces[2].1);
    let there: Vec<bool> = pieces.iter().map(|(_, path)| path.exists()).collect();
    assert_eq!(there, [true, false, true]);
    let changed = std::fs::metadata(&pieces[0].1).unwrap().modified().unwrap();
    assert_eq!(changed, long_ago, "by it a server sees that the file is the same");
}
