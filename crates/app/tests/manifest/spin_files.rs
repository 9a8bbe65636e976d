//! `files` of Spin's components, `runtime-config.toml`, and the old name of a target, in folders that exist.

use crate::{Folder, component};
use sampan_app::*;

fn manifest(keys: &str) -> String {
    format!(
        "spin_manifest_version = 2\n[application]\nname = \"a\"\n[[trigger.http]]\nroute = \"/\"\ncomponent = \"a\"\n\
         [component.a]\nsource = \"a.wasm\"\n{keys}\n"
    )
}

fn folder(keys: &str) -> Folder {
    Folder::new(&[
        ("spin.toml", &manifest(keys)),
        ("assets/a.txt", "a"),
        ("assets/b.png", "b"),
        ("assets/deep/c.txt", "c"),
        ("assets/deep/secret/key.txt", "k"),
        ("page.html", "p"),
    ])
}

/// What the guest sees of the files that the keys ask for.
#[track_caller]
fn guests(keys: &str) -> Vec<String> {
    let folder = folder(keys);
    let (app, _) = folder.read("spin.toml").unwrap_or_else(|findings| panic!("{keys}: {findings:#?}"));
    let assets = component(&app, "a").assets.clone();
    assert!(assets.iter().all(|asset| asset.source.is_absolute() && asset.source.is_file()), "{assets:?}");
    assets.into_iter().map(|asset| asset.guest).collect()
}

#[test]
fn patterns_paths_and_placements() {
    let all = ["/assets/a.txt", "/assets/b.png", "/assets/deep/c.txt", "/assets/deep/secret/key.txt"];
    assert_eq!(guests("files = [\"assets/*\"]"), all[..2]);
    assert_eq!(guests("files = [\"assets/**/*\"]"), all);
    assert_eq!(guests("files = [\"./assets/**/*.txt\"]"), [all[0], all[2], all[3]]);
    assert_eq!(guests("files = [\"assets\"]"), all);
    assert_eq!(guests("files = [\"assets/\", \"page.html\"]").len(), 5);
    assert_eq!(guests("files = [\"*.html\"]"), ["/page.html"]);
    assert_eq!(guests("files = [\"assets/?.png\"]"), [all[1]]);
    let placed = "files = [{ source = \"assets/deep\", destination = \"/x//./y\" }]";
    assert_eq!(guests(placed), ["/x/y/c.txt", "/x/y/secret/key.txt"]);
    assert_eq!(guests("files = [{ source = \"assets\", destination = \"/\" }]")[0], "/a.txt");
    let one = "files = [{ source = \"page.html\", destination = \"/index.html\" }]";
    assert_eq!(guests(one), ["/index.html"]);
    assert_eq!(guests("files = [\"assets/**/*\"]\nexclude_files = [\"assets/deep/*\"]"), all[..2]);
    assert_eq!(guests("files = [\"assets/**/*\"]\nexclude_files = [\"**/secret/*\"]"), all[..3]);
    assert_eq!(guests(""), Vec::<String>::new());
}

#[test]
fn what_is_not_there_or_not_inside() {
    for (keys, message) in [
        ("files = [\"nothing.txt\"]", "there is no file `nothing.txt`"),
        ("files = [\"../x\"]", "`../x` leads out of the app's folder"),
        ("files = [\"assets/../../*\"]", "leads out of the app's folder"),
        ("files = [\"/etc/passwd\"]", "`/etc/passwd` leads out of the app's folder"),
        ("files = [{ source = \"..\", destination = \"/\" }]", "`..` leads out of the app's folder"),
        ("files = [{ source = \"assets\", destination = \"x\" }]", "`x` is no destination in the guest"),
        ("files = [{ source = \"assets\", destination = \"/../x\" }]", "no destination in the guest"),
        ("files = [{ source = \"assets\" }]", "has no `destination`"),
        ("files = [\"{\"]", "not a pattern"),
        ("files = [5]", "expected a pattern, or { source, destination }, found an integer"),
        ("exclude_files = [\"[\"]", "`[` is not a pattern of files"),
    ] {
        let findings = folder(keys).read("spin.toml").expect_err(keys);
        assert!(findings[0].message.contains(message), "{keys}: {findings:#?}");
    }
    let (_, warnings) = folder("files = [\"*.css\"]").read("spin.toml").unwrap();
    assert!(warnings[0].message.contains("`*.css` matches no file"), "{warnings:?}");
}

#[test]
fn links_do_not_lead_out() {
    use std::os::unix::fs::symlink;
    let outside = Folder::new(&[("secret.txt", "s")]);
    let app = folder("files = [\"assets\"]");
    symlink(outside.path().join("secret.txt"), app.path().join("assets/link.txt")).unwrap();
    let findings = app.read("spin.toml").unwrap_err();
    assert!(findings[0].message.contains("`assets/link.txt` leads out"), "{findings:?}");

    std::fs::remove_file(app.path().join("assets/link.txt")).unwrap();
    symlink(outside.path(), app.path().join("assets/folder")).unwrap();
    let findings = app.read("spin.toml").unwrap_err();
    assert!(findings[0].message.contains("`assets/folder` leads out"), "{findings:?}");

    // Links within the app are followed, also when they lead in a circle.
    std::fs::remove_file(app.path().join("assets/folder")).unwrap();
    symlink(app.path().join("assets"), app.path().join("assets/deep/up")).unwrap();
    symlink(app.path().join("page.html"), app.path().join("assets/page.html")).unwrap();
    let (read, _) = app.read("spin.toml").unwrap();
    let guests: Vec<_> = read.components[0].assets.iter().map(|asset| asset.guest.as_str()).collect();
    assert!(guests.contains(&"/assets/page.html") && guests.len() == 5, "{guests:?}");
}

#[test]
fn stores_of_runtime_config() {
    let keys = "key_value_stores = [\"default\", \"cache\"]\nsqlite_databases = [\"default\", \"more\"]";
    let app = folder(keys);
    app.write(
        "runtime-config.toml",
        "state_dir = \"state\"\n[key_value_store.cache]\ntype = \"redis\"\nurl = \"redis://:hunter2@localhost\"\n\
         [key_value_store.default]\ntype = \"spin\"\npath = \"kv.db\"\n[sqlite_database.more]\ntype = \"spin\"\n\
         [[variables_provider]]\ntype = \"vault\"\n",
    );
    let (read, warnings) = app.read("spin.toml").unwrap();
    let path = app.path();
    let redis = KeyValueBackend::redis(Secret::new("redis://:hunter2@localhost"), "");
    assert_eq!(read.keyvalue["cache"].backend, redis);
    assert_eq!(read.keyvalue["default"].backend, KeyValueBackend::sqlite(path.join("kv.db")));
    assert_eq!(read.sql["more"].backend, SqlBackend::Sqlite { path: path.join("state/sql/more.db") });
    assert_eq!(read.sql["default"].backend, SqlBackend::Sqlite { path: path.join("state/sql/default.db") });
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].file.ends_with("runtime-config.toml"), "{warnings:?}");
    assert!(warnings[0].message.contains("`variables_provider` has no effect"), "{warnings:?}");

    for (text, message) in [
        (
            "[key_value_store.cache]\ntype = \"azure_cosmos\"\nkey = \"hunter2\"",
            "`azure_cosmos` is not supported yet",
        ),
        ("[sqlite_database.more]\ntype = \"libsql\"", "`libsql` is not supported yet"),
        ("[key_value_store.cache]\ntype = \"redis\"", "has no `url`"),
        ("[key_value_store.cache]\ntype = \"redis\"\nurl = \"hunter2\"", "not an address of Redis"),
        ("[key_value_store", "not TOML"),
    ] {
        app.write("runtime-config.toml", text);
        let findings = app.read("spin.toml").unwrap_err();
        let found = findings.iter().find(|one| one.message.contains(message));
        assert!(found.is_some_and(|one| one.file.ends_with("runtime-config.toml")), "{text}: {findings:#?}");
        assert!(!render(&findings, false).contains("hunter2"), "{}", render(&findings, false));
    }
}

#[test]
fn the_old_target_is_taken_for_the_new_one_where_it_must_be() {
    const OLD: &str = "target/wasm32-wasi/release/a.wasm";
    const NEW: &str = "target/wasm32-wasip1/release/a.wasm";
    let build = "[component.a.build]\ncommand = \"cargo build --target wasm32-wasi\"";
    for (build, files, source, warnings) in [
        ("", &[][..], OLD, 0),
        ("", &[OLD], OLD, 0),
        ("", &[NEW], NEW, 1),
        ("", &[OLD, NEW], OLD, 0),
        (build, &[], NEW, 1),
        (build, &[OLD], OLD, 1),
        (build, &[NEW], NEW, 1),
        (build, &[OLD, NEW], NEW, 1),
    ] {
        let app =
            Folder::new(&[("spin.toml", &manifest(build).replace("\"a.wasm\"", &format!("\"{OLD}\"")))]);
        for file in files {
            app.write(file, "");
        }
        let (read, said) = app.read("spin.toml").unwrap();
        assert_eq!(read.components[0].source, app.path().join(source), "{build} {files:?}");
        assert_eq!(said.len(), warnings, "{build} {files:?} {said:?}");
    }
}
