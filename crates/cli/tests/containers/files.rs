//! A container's files, mounts, volumes and environment, and copying in and out.

use crate::{Place, idle};
use sampan_testing::{finish, guest, temp_dir};
use std::fs;
use std::os::unix::fs::symlink;

#[test]
fn a_guest_sees_its_root_and_its_mounts() {
    let place = Place::new();
    let folder = temp_dir();
    fs::write(folder.path().join("there"), "from the host").unwrap();
    let bind = format!("{}:/data", folder.path().display());
    let files = guest("files");
    let files = files.to_str().unwrap();
    let seen = place.ok(&[
        "run",
        "--rm",
        "--name",
        "f",
        "-v",
        &bind,
        files,
        "cat",
        "/data/there",
        "--",
        "write",
        "/data/new",
        "by the guest",
        "--",
        "write",
        "/own",
        "x",
        "--",
        "ls",
        "/",
    ]);
    assert!(seen.contains("from the host") && seen.contains("data") && seen.contains("own"), "{seen}");
    assert_eq!(fs::read_to_string(folder.path().join("new")).unwrap(), "by the guest");
    let read_only = format!("{bind}:ro");
    let refused =
        place.sampan(&["run", "--rm", "--name", "f", "-v", &read_only, files, "write", "/data/no", "x"]);
    assert_eq!(refused.code, 1, "{}", refused.stdout);
    assert!(!folder.path().join("no").exists());
    let refused = place.sampan(&["run", "--rm", "--name", "f", "--read-only", files, "write", "/no", "x"]);
    assert_eq!(refused.code, 1, "{}", refused.stdout);
}

#[test]
fn volumes_outlive_containers() {
    let place = Place::new();
    let files = guest("files");
    let files = files.to_str().unwrap();
    place.ok(&["run", "--rm", "--name", "w", "-v", "kept:/data", files, "write", "/data/x", "still here"]);
    let read = place.ok(&["run", "--rm", "--name", "r", "-v", "kept:/data", files, "cat", "/data/x"]);
    assert_eq!(read, "cat: still here");
    assert_eq!(place.ok(&["volume", "ls", "-q"]), "kept");
    place.ok(&["create", "--name", "user", "-v", "kept:/data", files]);
    place.fails(&["volume", "rm", "kept"], 1, "is used by the container");
    place.ok(&["rm", "user"]);
    place.ok(&["volume", "rm", "kept"]);
    place.fails(&["volume", "inspect", "kept"], 1, "there is no volume kept");
    // A temporary folder is empty at each start.
    place
        .ok(&["create", "--name", "t", "--tmpfs", "/tmp", files, "write", "/tmp/x", "1", "--", "ls", "/tmp"]);
    for _ in 0..2 {
        assert!(place.ok(&["start", "-a", "t"]).contains("write: ok"));
    }
}

#[test]
fn an_empty_volume_gets_the_images_files() {
    let place = Place::new();
    let context = temp_dir();
    fs::create_dir_all(context.path().join("data/sub")).unwrap();
    fs::write(context.path().join("data/sub/file"), "of the image").unwrap();
    fs::copy(guest("files"), context.path().join("files.wasm")).unwrap();
    let dockerfile = "FROM scratch\nCOPY . /\nVOLUME /data\nENTRYPOINT [\"/files.wasm\"]\n";
    fs::write(context.path().join("Dockerfile"), dockerfile).unwrap();
    place.ok(&["build", "-t", "filled", context.path().to_str().unwrap()]);
    let run = |arguments: &[&str]| place.ok(&[&["run", "--rm", "-v", "kept:/data"], arguments].concat());
    assert_eq!(run(&["filled", "cat", "/data/sub/file"]), "cat: of the image");
    // What it has is the user's, also where the image is shared.
    assert_eq!(run(&["filled", "write", "/data/sub/file", "changed"]), "write: ok");
    assert_eq!(run(&["--read-only", "filled", "cat", "/data/sub/file"]), "cat: changed");
    // Other images and folders that the image does not have find it as it is.
    place.ok(&["volume", "create", "empty"]);
    let read = ["run", "--rm", "-v", "empty:/elsewhere", "filled", "cat", "/elsewhere/sub/file"];
    assert_eq!(place.sampan(&read).stdout, "cat: NotFound\n");
    // A volume that nobody named, of an image's VOLUME.
    assert_eq!(place.ok(&["run", "--rm", "filled", "cat", "/data/sub/file"]), "cat: of the image");
}

#[test]
fn the_environment_is_the_users_and_path_and_hostname() {
    let place = Place::new();
    let env = guest("env");
    let id = place.ok(&["create", "--name", "e", "-e", "A=1", "-e", "B=x=y", env.to_str().unwrap()]);
    let seen = place.ok(&["start", "-a", "e"]);
    let mut lines: Vec<&str> = seen.lines().collect();
    lines.sort_unstable();
    let hostname = format!("HOSTNAME={}", &id[..12]);
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(lines, ["A=1", "B=x=y", hostname.as_str(), path]);
}

#[test]
fn copying_in_and_out() {
    let place = Place::new();
    place.start("c", &[], &idle(), &[]);
    let here = temp_dir();
    let tree = here.path().join("tree");
    fs::create_dir_all(tree.join("sub")).unwrap();
    fs::write(tree.join("sub/file"), "text").unwrap();
    symlink("sub/file", tree.join("link")).unwrap();
    place.ok(&["cp", tree.to_str().unwrap(), "c:/"]);
    let back = here.path().join("back");
    place.ok(&["cp", "c:/tree", back.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(back.join("sub/file")).unwrap(), "text");
    assert_eq!(fs::read_link(back.join("link")).unwrap().to_str(), Some("sub/file"));
    // A file under another name, over one that is there.
    fs::write(here.path().join("one"), "1").unwrap();
    place.ok(&["cp", here.path().join("one").to_str().unwrap(), "c:/tree/sub/file"]);
    place.ok(&["cp", "c:/tree/sub/file", here.path().join("two").to_str().unwrap()]);
    assert_eq!(fs::read_to_string(here.path().join("two")).unwrap(), "1");
    place.fails(&["cp", "c:/nothing", here.path().to_str().unwrap()], 1, "has no /nothing");
    place.fails(&["cp", "nobody:/x", here.path().to_str().unwrap()], 1, "there is no container nobody");
    // As an archive, in both directions.
    let archive = place.command(["cp", "c:/tree/sub", "-"]).output().unwrap().stdout;
    assert!(archive.len() > 512 && archive.starts_with(b"sub"), "{}", archive.len());
    assert_eq!(finish(&mut place.command(["cp", "-", "c:/tree/sub"]), &archive).code, 0);
    place.ok(&["cp", "c:/tree/sub/sub/file", here.path().join("three").to_str().unwrap()]);
    assert_eq!(fs::read_to_string(here.path().join("three")).unwrap(), "1");
}

/// Links that a guest, or an archive, puts where they lead out of its root lead nowhere.
#[test]
fn no_link_leads_out() {
    let place = Place::new();
    place.start("c", &[], &idle(), &[]);
    let outside = temp_dir();
    fs::write(outside.path().join("secret"), "of the host").unwrap();
    let root = place.folder("c").join("rootfs");
    symlink(outside.path(), root.join("out")).unwrap();
    symlink(outside.path().join("secret"), root.join("file")).unwrap();
    let here = temp_dir();
    place.fails(&["cp", "c:/out/secret", here.path().to_str().unwrap()], 1, "has no /out/secret");
    let mine = here.path().join("mine");
    fs::write(&mine, "x").unwrap();
    let into = place.sampan(&["cp", mine.to_str().unwrap(), "c:/out/secret"]);
    assert_ne!(into.code, 0);
    assert_eq!(fs::read_to_string(outside.path().join("secret")).unwrap(), "of the host");
    // The link itself may be copied, and is replaced by what is copied onto it.
    place.ok(&["cp", "c:/file", here.path().join("link").to_str().unwrap()]);
    assert!(fs::symlink_metadata(here.path().join("link")).unwrap().is_symlink());
    // An entry that would be written through a link of the same archive.
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    builder.append_link(&mut header, "evil", outside.path()).unwrap();
    let mut header = tar::Header::new_gnu();
    header.set_size(1);
    header.set_mode(0o644);
    builder.append_data(&mut header, "evil/written", &b"x"[..]).unwrap();
    let archive = builder.into_inner().unwrap();
    assert_ne!(finish(&mut place.command(["cp", "-", "c:/"]), &archive).code, 0);
    assert!(!outside.path().join("written").exists());
}
