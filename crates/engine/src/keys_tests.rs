//! Keys on a disk where others may have written, and texts that others sent.

use super::*;
use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;

fn keys() -> (tempfile::TempDir, Keys) {
    let root = tempfile::tempdir().unwrap();
    let keys = Keys::at(root.path().join("config/sampan/keys"));
    (root, keys)
}

fn chmod(path: &Path, mode: u32) {
    set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().mode() & 0o777
}

const TEXT: &str =
    "sampan-ed25519 00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF build server\n";

#[test]
fn a_machine_key_is_made_once_and_kept() {
    let (_root, keys) = keys();
    assert!(keys.list().keys.is_empty());
    assert!(!keys.folder().exists(), "listing makes nothing");
    let first = PublicKey::of(&keys.load_or_create().unwrap());
    assert_eq!(PublicKey::of(&keys.load_or_create().unwrap()), first);
    assert!(matches!(keys.make(), Err(KeyError::Exists(_))));
    assert_eq!(mode(&keys.folder().join(MACHINE_KEY)), 0o600);
    assert_eq!(mode(keys.folder()), 0o700);
    let listed = keys.list();
    assert_eq!(listed.public_keys(), [first]);
    assert_eq!(listed.keys[0].name, MACHINE);
    let left: Vec<_> = std::fs::read_dir(keys.folder()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, [MACHINE_KEY], "no temporary file is left");
}

#[test]
fn processes_that_start_together_agree_on_one_key() {
    let (_root, keys) = keys();
    let made: Vec<PublicKey> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..8).map(|_| scope.spawn(|| PublicKey::of(&keys.load_or_create().unwrap()))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(made.iter().all(|key| *key == made[0]));
}

#[test]
fn trust_is_given_listed_and_taken_back() {
    let (_root, keys) = keys();
    let trusted = keys.trust("build", TEXT).unwrap();
    assert_eq!(trusted.comment, "build server");
    assert_eq!(trusted.key.0[..3], [0x00, 0x11, 0x22]);
    assert_eq!(keys.trust("build", TEXT).unwrap(), trusted, "twice is no error");
    keys.trust("a.b-c_1", TEXT).unwrap();
    let names: Vec<_> = keys.list().keys.into_iter().map(|key| key.name).collect();
    assert_eq!(names, ["a.b-c_1", "build"]);
    let other = format_public_key(&PublicKey([7; 32]), "");
    assert!(matches!(keys.trust("build", &other), Err(KeyError::Taken(_))));
    keys.untrust("build").unwrap();
    assert!(matches!(keys.untrust("build"), Err(KeyError::Unknown(_))));
    assert_eq!(keys.list().keys.len(), 1);
    assert!(keys.list().problems.is_empty());
}

#[test]
fn names_cannot_leave_the_folder() {
    let (_root, keys) = keys();
    let long = "x".repeat(MAX_NAME_BYTES + 1);
    for name in ["", ".", "..", "../machine", "a/b", ".hidden", "a b", "a\n", "ä", MACHINE, &long] {
        assert!(matches!(keys.trust(name, TEXT), Err(KeyError::Name(_))), "{name}");
        assert!(matches!(keys.untrust(name), Err(KeyError::Name(_))), "{name}");
    }
}

#[test]
fn public_keys_as_text() {
    let key = PublicKey([0xab; 32]);
    for (comment, kept) in [("", ""), ("alice's laptop", "alice's laptop"), ("  spaces  ", "spaces")] {
        let text = format_public_key(&key, comment);
        assert_eq!(parse_public_key(&text), Ok((key, kept.to_owned())), "{text}");
    }
    let hex = "ab".repeat(32);
    for text in [
        "".to_owned(),
        hex.clone(),
        format!("ssh-ed25519 {hex}"),
        format!("sampan-ed25519{hex}"),
        format!("sampan-ed25519 {}", &hex[1..]),
        format!("sampan-ed25519 {hex}00"),
        format!("sampan-ed25519 {}", "é".repeat(32)),
        format!("sampan-ed25519 {}", "+f".repeat(32)),
    ] {
        assert_eq!(parse_public_key(&text), Err(PublicKeyError::Form), "{text}");
    }
    for comment in ["two\nlines", "\x1b[31m"] {
        let text = format!("sampan-ed25519 {hex} {comment}");
        assert_eq!(parse_public_key(&text), Err(PublicKeyError::Comment), "{text}");
    }
}

#[test]
fn a_signing_key_that_others_can_touch_is_refused() {
    let (_root, keys) = keys();
    keys.load_or_create().unwrap();
    let path = keys.folder().join(MACHINE_KEY);
    for (bad, words) in
        [(0o640, "others may read"), (0o620, "others may write to"), (0o602, "others may write to")]
    {
        chmod(&path, bad);
        let error = keys.load_or_create().unwrap_err();
        assert!(error.to_string().starts_with(words), "{error}");
        let listed = keys.list();
        assert!(listed.keys.is_empty() && listed.problems.len() == 1, "{listed:?}");
    }
    chmod(&path, 0o600);
    std::fs::write(&path, b"not a key").unwrap();
    assert!(matches!(keys.load_or_create(), Err(KeyError::SigningKey(_))));
}

#[test]
fn trusted_keys_that_others_can_write_are_refused() {
    let (_root, keys) = keys();
    keys.trust("good", TEXT).unwrap();
    keys.trust("bad", TEXT).unwrap();
    let names = || keys.list().keys.into_iter().map(|key| key.name).collect::<Vec<_>>();
    chmod(&keys.trusted_path("bad"), 0o666);
    assert_eq!(names(), ["good"]);
    let problem = keys.list().problems.remove(0).to_string();
    assert!(problem.contains("chmod go-w") && problem.contains("bad.pub"), "{problem}");
    chmod(&keys.trusted_path("bad"), 0o644);
    assert_eq!(names(), ["bad", "good"]);
    for folder in [keys.folder().join(TRUSTED), keys.folder().to_owned()] {
        chmod(&folder, 0o770);
        assert_eq!(names(), [""; 0], "{}", folder.display());
        assert!(matches!(keys.trust("new", TEXT), Err(KeyError::Mode { .. })));
        chmod(&folder, 0o700);
    }
}

#[test]
fn files_of_other_users_are_refused() {
    if !rustix::process::geteuid().is_root() {
        return; // Only the superuser can give files away.
    }
    let (_root, keys) = keys();
    keys.load_or_create().unwrap();
    keys.trust("bad", TEXT).unwrap();
    for path in [keys.folder().join(MACHINE_KEY), keys.trusted_path("bad")] {
        std::os::unix::fs::chown(&path, Some(12345), None).unwrap();
    }
    let listed = keys.list();
    assert!(listed.keys.is_empty(), "{listed:?}");
    assert!(
        listed.problems.iter().all(|problem| matches!(problem, KeyError::Owner { uid: 12345, .. })),
        "{listed:?}"
    );
}

#[test]
fn odd_files_in_the_folder_do_no_harm() {
    let (_root, keys) = keys();
    keys.trust("good", TEXT).unwrap();
    let folder = keys.folder().join(TRUSTED);
    std::fs::write(folder.join("README"), "hello").unwrap();
    std::fs::write(folder.join("broken.pub"), b"\xff\xfe").unwrap();
    chmod(&folder.join("broken.pub"), 0o600);
    std::fs::create_dir(folder.join("folder.pub")).unwrap();
    chmod(&folder.join("folder.pub"), 0o700);
    // A pipe that nobody writes to: opening it must not wait.
    rustix::fs::mkfifoat(rustix::fs::CWD, folder.join("pipe.pub"), rustix::fs::Mode::RWXU).unwrap();
    let listed = keys.list();
    assert_eq!(listed.keys.len(), 1);
    assert_eq!(listed.problems.len(), 3, "{listed:?}");
}

#[test]
fn the_users_folder() {
    let case =
        |config: Option<&str>, home: Option<&str>| user_folder(config.map(Into::into), home.map(Into::into));
    assert_eq!(case(Some("/c"), Some("/h")), Some("/c/sampan/keys".into()));
    assert_eq!(case(None, Some("/h")), Some("/h/.config/sampan/keys".into()));
    assert_eq!(case(Some("relative"), Some("/h")), Some("/h/.config/sampan/keys".into()));
    assert_eq!(case(Some(""), Some("")), None);
    assert_eq!(case(None, None), None);
}
