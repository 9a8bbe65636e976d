//! Mounts: what is refused and in which words, the order of preopens, and where files are found.

use super::path::{absolute, beneath, normalise, parent};
use super::{Files, Redirect};
use crate::{Explain, GrantError};
use sampan_app::Mount;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use wasmtime_wasi::WasiCtx;

fn mount(host: impl AsRef<Path>, guest: &str, read_only: bool) -> Mount {
    Mount { host: host.as_ref().to_owned(), guest: guest.to_owned(), read_only }
}

fn files(mounts: &[Mount], workdir: Option<&str>) -> Result<Files, GrantError> {
    Files::new(mounts, workdir, &mut WasiCtx::builder(), &Explain::default())
}

fn refused(mounts: &[Mount], workdir: Option<&str>) -> String {
    let error = files(mounts, workdir).err().expect("the mounts are refused");
    assert!(error.help.as_ref().is_some_and(|help| !help.is_empty()), "{error} has no help");
    error.to_string()
}

#[test]
fn what_cannot_be_mounted_is_said_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("file"), "").unwrap();
    symlink(at("b"), at("a")).unwrap();
    symlink(at("a"), at("b")).unwrap();
    symlink("gone", at("dangling")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
        .unwrap();
    let _listener = UnixListener::bind(at("socket")).unwrap();

    let sentence = |name: &str| {
        let all = refused(&[mount(at(name), "/x", false)], None);
        all.replace(&folder.path().display().to_string(), "DIR")
    };
    assert_eq!(sentence("missing"), "cannot mount DIR/missing: it does not exist");
    assert_eq!(sentence("dangling"), "cannot mount DIR/dangling: it does not exist");
    assert_eq!(sentence("file/below"), "cannot mount DIR/file/below: Not a directory (os error 20)");
    assert_eq!(sentence("a"), "cannot mount DIR/a: its symbolic links lead in a circle");
    assert_eq!(sentence("pipe"), "cannot mount DIR/pipe: it is a named pipe");
    assert_eq!(sentence("socket"), "cannot mount DIR/socket: it is a socket");
    assert_eq!(refused(&[mount("/dev/null", "/x", false)], None), "cannot mount /dev/null: it is a device");
    for root in ["/", "."] {
        let what = refused(&[mount(at("file"), root, false)], None);
        assert!(what.ends_with(&format!("file at {root}")), "{what}");
    }
}

#[test]
fn what_may_not_be_read_is_not_mounted() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, "").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).unwrap();
    // The superuser reads everything.
    let readable = fs::File::open(&secret).is_ok();
    let result = files(&[mount(&secret, "/secret", true)], None);
    assert_eq!(result.is_ok(), readable);
    if let Err(error) = result {
        assert!(error.to_string().ends_with("permission denied"), "{error}");
    }
}

#[test]
fn mounts_that_contradict_each_other_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (one, sub) = (folder.path().join("one"), folder.path().join("one/sub"));
    fs::create_dir_all(&sub).unwrap();
    fs::write(sub.join("file"), "").unwrap();

    let twice = refused(&[mount(&one, "/x", false), mount(&sub, "/x", true)], None);
    assert!(twice.ends_with("are both mounted at /x"), "{twice}");

    // The same place, read-only inside and writable outside: the promise could not be kept.
    let outer = mount(&one, "/x", false);
    let what = refused(&[mount(&sub, "/x/sub", true), outer.clone()], None);
    assert!(what.starts_with("/x/sub cannot be read-only"), "{what}");
    let what = refused(&[mount(sub.join("file"), "/x/sub/file", true), outer.clone()], None);
    assert!(what.starts_with("/x/sub/file cannot be read-only"), "{what}");
    // Elsewhere in the guest it is plain that there are two ways.
    files(&[mount(&sub, "/y", true), outer.clone()], None).unwrap();
    files(&[mount(&sub, "/x/sub", false), outer], None).unwrap();
}

#[test]
fn preopens_come_in_the_order_of_their_descriptors() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("dir/app")).unwrap();
    for name in ["one", "two"] {
        fs::write(at(name), "").unwrap();
    }
    let mounts = [
        mount(at("one"), "/etc/a", true),
        mount(at("dir"), "/data", false),
        mount(at("two"), "/etc/conf/b", true),
        mount(at("one"), "/data/app/c", true),
    ];
    let all = files(&mounts, Some("/data//app/")).unwrap();
    assert_eq!(all.shown().collect::<Vec<_>>(), [".", "/data", "/etc"]);

    let hidden = |preopen: usize, name: &str| Redirect { preopen, name: name.to_owned() };
    assert_eq!(all.intercept(2, "a"), Some(&hidden(3, "one")));
    assert_eq!(all.intercept(2, "conf/b"), Some(&hidden(4, "two")));
    assert_eq!(all.intercept(1, "app/c"), Some(&hidden(5, "one")));
    assert_eq!(all.intercept(0, "./c"), Some(&hidden(5, "one")));
    for (preopen, path) in [(0, "a"), (1, "c"), (1, "app"), (2, "one"), (3, "one"), (3, "a"), (9, "a")] {
        assert_eq!(all.intercept(preopen, path), None, "{preopen} {path}");
    }
}

#[test]
fn a_working_directory_lies_in_a_mount_and_no_link_leads_it_out() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    fs::create_dir_all(root.join("deep/down")).unwrap();
    symlink("deep/down", root.join("fine")).unwrap();
    symlink("..", root.join("out")).unwrap();
    symlink("/", root.join("top")).unwrap();
    let mounts = [mount(&root, "/app", false)];

    for inside in ["/app", "/app/deep", "/app/./deep//down/", "/app/fine"] {
        assert_eq!(files(&mounts, Some(inside)).unwrap().shown().next(), Some("."), "{inside}");
    }
    for outside in ["/app/out", "/app/top", "/app/out/root", "/app/missing"] {
        let what = refused(&mounts, Some(outside));
        assert!(what.contains("cannot be opened"), "{outside}: {what}");
    }
    for elsewhere in ["/other", "/appendix"] {
        assert!(refused(&mounts, Some(elsewhere)).ends_with("lies in no mounted directory"));
    }
    for odd in ["app", "/app/../app", ""] {
        assert!(refused(&mounts, Some(odd)).contains("is not an absolute path"), "{odd}");
    }
    assert_eq!(files(&[], Some("/")).unwrap().shown().len(), 0);
}

#[test]
fn guest_paths() {
    assert_eq!(normalise("a/./b//c/../d").as_deref(), Some("a/b/d"));
    for none in ["", ".", "a/..", "/a", "a/", "..", "../a", "a/../../b"] {
        assert_eq!(normalise(none), None, "{none}");
    }
    assert_eq!(absolute("//a/./b/").as_deref(), Some("/a/b"));
    assert_eq!(absolute("/a/../b"), None);
    assert_eq!(absolute("a"), None);
    assert_eq!(beneath("/a/b", "/"), Some("a/b"));
    assert_eq!(beneath("/a/b", "/a"), Some("b"));
    assert_eq!(beneath("/a", "/a"), Some(""));
    assert_eq!(beneath("/ab", "/a"), None);
    assert_eq!(beneath("/a", "."), None);
    assert_eq!((parent("/a"), parent("/a/b/c")), ("/", "/a/b"));
}
