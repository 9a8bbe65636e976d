//! The binding of a folder: what it keeps, and that nothing leads out of it.

use crate::with::{invoke, output, run};
use sampan_capabilities::bindings::BindingError;
use std::fs;
use std::os::unix::fs::symlink;

#[test]
fn files_are_created_read_listed_and_deleted() {
    run(async {
        let outer = sampan_testing::temp_dir();
        let root = outer.path().canonicalize().expect("our own folder").join("new/files");
        let storage = output("bindings.localstorage", &[("rootPath", root.to_str().expect("UTF-8"))]).await;
        assert_eq!(storage.operations(), ["create", "get", "list", "delete"]);
        let list = async |folder| {
            let done = invoke(&storage, "list", b"", &[("fileName", folder)]).await.expect("a list");
            serde_json::from_slice::<Vec<String>>(&done.data.expect("a list")).expect("JSON")
        };
        assert_eq!(list("").await, [""; 0]);

        // A JSON text, base64, and anything else.
        let cases: [(&str, &[u8], &[u8]); 5] = [
            ("text", b"\"hello \\\"you\\\"\"", b"hello \"you\""),
            ("base64", b"\"AP8=\"", b"\x00\xff"),
            ("object", b"{\"a\": 1}", b"{\"a\": 1}"),
            ("bytes", b"\x00\xff\"", b"\x00\xff\""),
            ("empty", b"", b""),
        ];
        for (name, sent, kept) in cases {
            let path = format!("a/b/{name}");
            let done = invoke(&storage, "create", sent, &[("fileName", &path)]).await.expect("a file");
            assert_eq!(done.data, Some(format!("{{\"fileName\":\"{path}\"}}").into_bytes()));
            assert_eq!(fs::read(root.join(&path)).expect("a file"), kept, "{name}");
            let got = invoke(&storage, "get", b"", &[("fileName", &path)]).await.expect("a file");
            assert_eq!(got.data.as_deref(), Some(kept), "{name}");
        }
        invoke(&storage, "create", b"short", &[("fileName", "a/b/text")]).await.expect("a file");
        assert_eq!(fs::read(root.join("a/b/text")).expect("a file"), b"short", "what was there is gone");

        let done = invoke(&storage, "create", b"1", &[]).await.expect("a file");
        let answer: serde_json::Value = serde_json::from_slice(&done.data.expect("a name")).expect("JSON");
        let chosen = answer["fileName"].as_str().expect("a name").to_owned();
        assert_eq!(chosen.len(), 36, "a UUID: {chosen}");
        let all = list("").await;
        assert_eq!(all.len(), 6);
        assert!(all.contains(&root.join(&chosen).display().to_string()), "{all:?}");
        assert_eq!(list("a/b").await.len(), 5);

        invoke(&storage, "delete", b"", &[("fileName", &chosen)]).await.expect("a deletion");
        assert!(!root.join(&chosen).exists());
        fs::create_dir(root.join("folder")).expect("a folder");
        invoke(&storage, "delete", b"", &[("fileName", "folder")]).await.expect("an empty folder goes");
    });
}

#[test]
fn what_is_wrong_is_said() {
    run(async {
        let folder = sampan_testing::temp_dir();
        let root = folder.path().canonicalize().expect("our own folder");
        let storage = output("bindings.localstorage", &[("rootPath", root.to_str().expect("UTF-8"))]).await;
        fs::create_dir_all(root.join("full/x")).expect("a folder");
        fs::write(root.join("file"), "text").expect("a file");
        let absent = format!("file not found: {}/absent", root.display());
        let table = [
            ("get", "absent", &*absent),
            ("get", "full", "error reading file"),
            ("get", "", "fileName is no name"),
            ("get", "a\0b", "fileName is no name"),
            ("get", "file/x", "Not a directory"),
            ("list", "file", "unable to list files as the file specified is not a directory"),
            ("list", "absent", "error getting stats for path"),
            ("delete", "absent", "error deleting file"),
            ("delete", "full", "error deleting file"),
            ("delete", "..", "fileName is no name"),
            ("create", "file/x", "error creating directory"),
            ("create", "full", "error creating file"),
            ("copy", "file", "invalid operation: copy; this binding has create, get, list, delete"),
        ];
        for (operation, name, expected) in table {
            let error = invoke(&storage, operation, b"", &[("fileName", name)]).await.expect_err(operation);
            assert!(error.to_string().contains(expected), "{operation} {name:?}: {error}");
        }
        assert!(root.join("full/x").exists() && root.join("file").exists());
    });
}

#[test]
fn nothing_leads_out_of_the_folder() {
    run(async {
        let outer = sampan_testing::temp_dir();
        let outer = outer.path().canonicalize().expect("our own folder");
        let root = outer.join("root");
        fs::create_dir_all(root.join("sub")).expect("a folder");
        fs::write(outer.join("secret"), "hunter2").expect("a file");
        symlink("../secret", root.join("relative")).expect("a link");
        symlink(outer.join("secret"), root.join("absolute")).expect("a link");
        symlink("..", root.join("parent")).expect("a link");
        symlink("../new", root.join("dangling")).expect("a link");
        symlink("sub", root.join("inside")).expect("a link");
        let storage = output("bindings.localstorage", &[("rootPath", root.to_str().expect("UTF-8"))]).await;
        for name in ["relative", "absolute", "parent/secret"] {
            for operation in ["get", "create"] {
                let refused = invoke(&storage, operation, b"mine", &[("fileName", name)]).await;
                assert!(matches!(refused, Err(BindingError::Other(_))), "{operation} {name}: {refused:?}");
            }
        }
        for name in ["parent/new", "dangling", "parent/deep/new"] {
            assert!(invoke(&storage, "create", b"mine", &[("fileName", name)]).await.is_err(), "{name}");
        }
        for (operation, name) in [("list", "parent"), ("delete", "parent/secret")] {
            assert!(
                invoke(&storage, operation, b"", &[("fileName", name)]).await.is_err(),
                "{operation} {name}"
            );
        }
        assert_eq!(fs::read(outer.join("secret")).expect("a file"), b"hunter2");
        let mut left: Vec<_> =
            fs::read_dir(&outer).expect("our own folder").flatten().map(|one| one.file_name()).collect();
        left.sort();
        assert_eq!(left, ["root", "secret"]);

        // A `..` at the folder stays there, and links within it are followed.
        for (name, path) in
            [("../../up", "up"), ("/etc/x", "etc/x"), ("sub/../y", "y"), ("inside/z", "sub/z")]
        {
            invoke(&storage, "create", b"1", &[("fileName", name)])
                .await
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(root.join(path).is_file(), "{name}");
        }
        let done = invoke(&storage, "list", b"", &[]).await.expect("a list").data.expect("a list");
        let listed = String::from_utf8(done).expect("JSON");
        assert!(!listed.contains("secret"), "links are not followed: {listed}");
    });
}
