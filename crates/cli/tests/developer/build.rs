//! `sampan build`: which commands run, where, and what is said when they fail.

use crate::{good, run};
use std::fs;
use std::path::Path;

/// An app of these components: name, and the text of its table beside `source`.
fn app(folder: &Path, components: &[(&str, &str)]) {
    let mut text = "[app]\nname = \"app\"\n".to_owned();
    for (name, rest) in components {
        text += &format!("[component.{name}]\nsource = \"{name}.wasm\"\n{rest}\n");
        text += &format!("[[route]]\npath = \"/{name}\"\nto = \"{name}\"\n");
    }
    fs::write(folder.join("sampan.toml"), text).unwrap();
}

#[test]
fn commands_run_in_order_and_in_their_folder() {
    let dir = sampan_testing::temp_dir();
    fs::create_dir(dir.path().join("sub")).unwrap();
    let one = r#"build = { command = ["echo 1 > ../log", "pwd >> ../log; echo seen", "touch ../one.wasm"], workdir = "sub" }"#;
    app(dir.path(), &[("one", one), ("ready", ""), ("two", r#"build = "echo 2 >> log; touch two.wasm""#)]);
    let built = good(dir.path(), &["build"]);
    let log = fs::read_to_string(dir.path().join("log")).unwrap();
    let sub = dir.path().join("sub").canonicalize().unwrap();
    assert_eq!(log, format!("1\n{}\n2\n", sub.display()));
    assert_eq!(built.stdout, "seen\n");
    let headers = Vec::from_iter(built.stderr.lines().filter(|line| line.starts_with("building ")));
    assert_eq!(headers.len(), 4, "{headers:?}");
    assert_eq!(headers[0], "building one: echo 1 > ../log");
    assert!(built.stderr.ends_with("built 2 components\n"), "{}", built.stderr);

    // Only the one that is named; from anywhere.
    let manifest = dir.path().join("sampan.toml").display().to_string();
    let built = good(Path::new("/"), &["build", "-f", &manifest, "two"]);
    assert!(built.stderr.ends_with("built 1 component\n") && !built.stderr.contains("building one"));
    let built = good(dir.path(), &["build", "ready"]);
    assert!(built.stderr.contains("nothing to build"), "{}", built.stderr);
}

#[test]
fn a_build_of_spins_manifest() {
    let dir = sampan_testing::temp_dir();
    let text = "spin_manifest_version = 2\n[application]\nname = \"app\"\n[[trigger.http]]\nroute = \"/...\"\n\
        component = \"a\"\n[component.a]\nsource = \"a.wasm\"\n[component.a.build]\ncommand = \"touch a.wasm\"\n";
    fs::write(dir.path().join("spin.toml"), text).unwrap();
    good(dir.path(), &["build"]);
    assert!(dir.path().join("a.wasm").exists());
}

#[test]
fn builds_that_fail() {
    let dir = sampan_testing::temp_dir();
    let table = [
        ("exit 3", "`exit 3` ended with exit status: 3", ""),
        ("kill -9 $$", "ended with signal: 9", ""),
        ("no-such-tool --x", "exit status: 127", "help: install `no-such-tool`, or put its folder into PATH"),
        ("A=1 no-such-tool", "exit status: 127", "help: install `no-such-tool`"),
        ("true && ./no-such-tool", "exit status: 127", "help: install `./no-such-tool`"),
        ("true", "made no ", "help: `source` names the file that the build writes"),
    ];
    for (command, message, help) in table {
        let after = r#"build = "touch after""#;
        app(dir.path(), &[("bad", &format!("build = {{ command = {command:?} }}")), ("later", after)]);
        let built = run(dir.path(), &["build"]);
        assert_eq!(built.code, 1, "{command}: {built:?}");
        assert!(built.stderr.contains(message) && built.stderr.contains(help), "{command}: {}", built.stderr);
        assert!(built.stderr.contains("of `bad` "), "{command}: {}", built.stderr);
        assert!(!dir.path().join("after").exists(), "{command}: the next one was built");
    }
    app(dir.path(), &[("lost", r#"build = { command = "true", workdir = "none" }"#)]);
    let built = run(dir.path(), &["build"]);
    assert!(built.code == 1 && built.stderr.contains("none is not a folder"), "{built:?}");
    assert!(built.stderr.contains("help: correct the `workdir`"), "{built:?}");
}

#[test]
fn manifests_that_cannot_be_built() {
    let dir = sampan_testing::temp_dir();
    let none = run(dir.path(), &["build"]);
    assert!(none.code == 1 && none.stderr.contains("no sampan.toml"), "{none:?}");
    app(dir.path(), &[("one", "")]);
    let nobody = run(dir.path(), &["build", "nobody"]);
    assert!(nobody.code == 1 && nobody.stderr.contains("there is no component `nobody`"), "{nobody:?}");
    assert!(nobody.stderr.contains("help: its components are: one"), "{nobody:?}");
    fs::write(dir.path().join("sampan.toml"), "[app]\nname = 1\n").unwrap();
    let wrong = run(dir.path(), &["build"]);
    assert!(wrong.code == 1 && wrong.stderr.contains("sampan.toml:2"), "{wrong:?}");
}
