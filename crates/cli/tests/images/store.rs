//! What is here: listed, named, described, saved, loaded and removed.

use crate::{User, hello, is_file};
use sampan_testing::finish;
use serde_json::Value;

#[test]
fn names_and_ids() {
    let user = User::new(&[]);
    assert_eq!(user.good(&["images"]), "REPOSITORY   TAG   IMAGE ID   CREATED   SIZE\n");
    let id = hello(&user, "hello:1");
    let short = &id["sha256:".len()..][..12];
    user.good(&["tag", "hello:1", "ghcr.io/acme/hello"]);
    let table = user.good(&["images"]);
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[1][..3], ["ghcr.io/acme/hello", "latest", short], "{table}");
    assert_eq!(rows[2][..3], ["hello", "1", short], "{table}");
    assert_eq!(user.good(&["images", "-q"]), format!("{short}\n"));
    assert_eq!(user.good(&["images", "-q", "--no-trunc", "hello"]), format!("{id}\n"));
    assert_eq!(user.good(&["images", "-q", "hello:2"]), "");
    assert!(user.good(&["images", "--digests"]).contains("sha256:"));
    let rows: Vec<Value> =
        user.good(&["images", "--json"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (rows.len(), &rows[1]["ID"], &rows[1]["Tag"]),
        (2, &Value::from(id.as_str()), &Value::from("1"))
    );
    for name in ["hello:1", short, "ghcr.io/acme/hello"] {
        let described: Value = serde_json::from_str(&user.good(&["inspect", name])).unwrap();
        assert_eq!(described[0]["Id"], id.as_str(), "{name}");
        assert_eq!(described[0]["Config"]["Entrypoint"][0], "/hello.wasm");
        assert_eq!(described[0]["Os"], "wasi");
    }
    assert!(user.bad(&["tag", "no:1", "x"]).contains("there is no image no:1 here"));
    assert!(user.bad(&["tag", "hello:1", "UPPER"]).contains("is no name of an image"));
    assert!(user.bad(&["tag", "hello:1", &format!("x@{id}")]).contains("has a digest"));
}

#[test]
fn removal() {
    let user = User::new(&[]);
    let id = hello(&user, "hello:1");
    user.good(&["tag", "hello:1", "other:1"]);
    assert!(user.bad(&["rmi", &id]).contains("has 2 names"));
    assert_eq!(user.good(&["rmi", "other:1"]), "Untagged: other:1\n");
    let finished = user.run(&["rmi", "no:1", "hello:1", "no:2"]);
    assert_eq!((finished.code, finished.stdout), (1, format!("Untagged: hello:1\nDeleted: {id}\n")));
    assert!(finished.stderr.contains("no:1") && finished.stderr.contains("no:2"), "{}", finished.stderr);
    assert_eq!(user.good(&["images", "-q"]), "");
}

#[test]
fn archives() {
    let (user, other) = (User::new(&[]), User::new(&[]));
    let id = hello(&user, "hello:1");
    let file = user.files.path().join("hello.tar").display().to_string();
    user.good(&["save", "-o", &file, "hello:1"]);
    assert_eq!(other.good(&["load", "-i", &file]), "Loaded image: hello:1\n");
    assert_eq!(other.good(&["images", "-q", "--no-trunc"]), format!("{id}\n"));
    let bytes = std::fs::read(&file).unwrap();
    let loaded = finish(&mut User::new(&[]).command(&["load"]), &bytes);
    assert_eq!((loaded.code, loaded.stdout.as_str()), (0, "Loaded image: hello:1\n"), "{}", loaded.stderr);
    std::fs::write(&file, &bytes[..bytes.len() / 2 + 77]).unwrap();
    let third = User::new(&[]);
    assert!(third.bad(&["load", "-i", &file]).contains("the archive cannot be read"));
    assert_eq!(third.good(&["images", "-q"]), "");
    let nothing = user.files.path().join("nothing.tar");
    assert!(user.bad(&["save", "-o", &nothing.display().to_string(), "no:1"]).contains("no image no:1"));
    assert!(!is_file(&nothing), "no half of an archive");
    assert!(user.bad(&["load", "-i", "no.tar"]).contains("no.tar: No such file"));
}

/// Whatever a user's environment says, images have a place or a reason.
#[test]
fn a_place_for_images() {
    let user = User::new(&[]);
    let mut command = user.command(&["images"]);
    command.env("SAMPAN_DATA_DIR", user.files.path().join("file/below"));
    user.write("file", "");
    let finished = finish(&mut command, "");
    assert!(finished.code == 0 || finished.stderr.contains("file/below"), "{finished:?}");
    let mut command = user.command(&["load"]);
    command.env("SAMPAN_DATA_DIR", user.files.path().join("file/below"));
    let finished = finish(&mut command, "x");
    assert!(finished.code == 1 && finished.stderr.contains("file/below"), "{finished:?}");
}
