//! What the cache accepts, refuses and removes.

use super::*;
use std::os::unix::fs::PermissionsExt;

const MODULE: Facts = Facts { form: Form::Module, starts: true };
const COMPONENT: Facts = Facts { form: Form::Component, starts: false };

fn key(digest: &str) -> Key {
    Key { digest: digest.to_owned(), code_key: "engine-1.2-program".to_owned() }
}

fn cache(max_bytes: u64) -> (tempfile::TempDir, Cache) {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::at(dir.path().join("artifacts"), max_bytes);
    (dir, cache)
}

fn content(entry: Entry) -> Vec<u8> {
    let mut bytes = Vec::new();
    (&entry.file).read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn finds_what_was_kept() {
    let (_dir, cache) = cache(1000);
    assert!(cache.lookup(&key("aa")).is_none());
    cache.insert(&key("aa"), COMPONENT, b"code").unwrap();
    let entry = cache.lookup(&key("aa")).unwrap();
    assert_eq!(entry.facts, COMPONENT);
    assert_eq!(content(entry), b"code");
    assert!(cache.lookup(&key("bb")).is_none());
    assert_eq!(cache.list().unwrap().len(), 1);
    assert_eq!(cache.clear().unwrap(), (1, 4));
    assert!(cache.lookup(&key("aa")).is_none());
}

#[test]
fn a_file_is_found_by_its_identity_until_it_changes() {
    let (dir, cache) = cache(1000);
    let path = dir.path().join("app.wasm");
    fs::write(&path, "v1").unwrap();
    let long_ago = SystemTime::now() - Duration::from_secs(100);
    File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
    cache.insert(&key("aa"), MODULE, b"code").unwrap();

    // Changed just now (its change time is new): not remembered.
    cache.remember_file(&fs::metadata(&path).unwrap(), &key("aa")).unwrap();
    assert!(cache.lookup_file(&fs::metadata(&path).unwrap(), &key("aa").code_key).is_none());

    // A settled file of the system stands in for one that was written long ago.
    let settled = fs::metadata("/etc/passwd").unwrap();
    cache.remember_file(&settled, &key("aa")).unwrap();
    assert_eq!(content(cache.lookup_file(&settled, &key("aa").code_key).unwrap()), b"code");
    assert!(cache.lookup_file(&settled, "other-settings").is_none());
    assert!(cache.lookup_file(&fs::metadata(&path).unwrap(), &key("aa").code_key).is_none());
}

#[test]
fn truncated_or_foreign_entries_do_not_count() {
    let (_dir, cache) = cache(1000);
    let code = cache.root.join("code").join("aa-engine-1_2-program");
    let fresh = || {
        cache.insert(&key("aa"), MODULE, b"code").unwrap();
        assert!(cache.lookup(&key("aa")).is_some());
    };

    fresh();
    fs::write(&code, "cod").unwrap();
    assert!(cache.lookup(&key("aa")).is_none(), "truncated");

    fresh();
    fs::set_permissions(&code, fs::Permissions::from_mode(0o620)).unwrap();
    assert!(cache.lookup(&key("aa")).is_none(), "writable by the group");

    fresh();
    fs::set_permissions(code.parent().unwrap(), fs::Permissions::from_mode(0o702)).unwrap();
    assert!(cache.lookup(&key("aa")).is_none(), "folder writable by others");
    assert!(cache.insert(&key("aa"), MODULE, b"code").is_err(), "nor is anything kept there");
    fs::set_permissions(code.parent().unwrap(), fs::Permissions::from_mode(0o700)).unwrap();

    fresh();
    let elsewhere = cache.root.join("elsewhere");
    fs::rename(&code, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &code).unwrap();
    assert!(cache.lookup(&key("aa")).is_none(), "a symbolic link");

    if rustix::process::geteuid().is_root() {
        fresh();
        std::os::unix::fs::chown(&code, Some(12345), None).unwrap();
        assert!(cache.lookup(&key("aa")).is_none(), "owned by another user");
    }
}

#[test]
fn the_least_recently_used_goes_first() {
    let (_dir, cache) = cache(25);
    for (age_s, digest) in [(300, "aa"), (200, "bb")] {
        cache.insert(&key(digest), MODULE, &[0; 10]).unwrap();
        let used = SystemTime::now() - Duration::from_secs(age_s);
        File::open(cache.code_path(&key(digest))).unwrap().set_modified(used).unwrap();
    }
    cache.insert(&key("cc"), MODULE, &[0; 10]).unwrap();
    let left: Vec<_> = cache.list().unwrap().into_iter().map(|listed| listed.digest).collect();
    assert_eq!(left, ["cc", "bb"]);

    // One that is larger than the whole cache still serves until the next comes.
    cache.insert(&key("dd"), MODULE, &[0; 100]).unwrap();
    assert!(cache.lookup(&key("dd")).is_some());
}

#[test]
fn what_a_killed_process_left_is_removed_in_time() {
    let (_dir, cache) = cache(1000);
    cache.insert(&key("aa"), MODULE, b"code").unwrap();
    let (old, new) = (cache.root.join("code/.tmpOld"), cache.root.join("code/.tmpNew"));
    for path in [&old, &new] {
        fs::write(path, "half").unwrap();
    }
    let long_ago = SystemTime::now() - 2 * ABANDONED_AFTER;
    File::options().write(true).open(&old).unwrap().set_modified(long_ago).unwrap();
    cache.insert(&key("bb"), MODULE, b"code").unwrap();
    assert!(!old.exists() && new.exists());
    assert_eq!(cache.list().unwrap().len(), 2);
}
