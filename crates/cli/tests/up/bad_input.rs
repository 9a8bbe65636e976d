//! Manifests that cannot be served: one clear message, exit code 1, nothing listening.

use crate::{App, component};
use sampan_testing::{Finished, finish, free_port, sampan};

fn fails(app: &App) -> Finished {
    let end = finish(
        sampan().arg("up").arg("-f").arg(app.path().join("sampan.toml")).args(["--listen", "127.0.0.1:0"]),
        "",
    );
    assert_eq!(end.code, 1, "{}", end.stderr);
    assert!(!end.stdout.contains("listening"), "{}", end.stdout);
    assert!(end.stderr.contains("error"), "{}", end.stderr);
    assert!(!end.stderr.contains("panicked"), "{}", end.stderr);
    end
}

#[test]
fn broken_toml_shows_the_place() {
    let stderr = fails(&App::new("[app\nname = 1")).stderr;
    assert!(stderr.contains("sampan.toml:1:"), "{stderr}");
}

#[test]
fn an_unknown_key_names_the_nearest() {
    let app = App::new(
        "[app]\nname = \"a\"\n[component.x]\nsorce = \"x.wasm\"\n[[route]]\npath = \"/\"\nto = \"x\"\n",
    );
    let stderr = fails(&app).stderr;
    assert!(stderr.contains("sorce") && stderr.contains("source"), "{stderr}");
    assert!(stderr.contains("sampan.toml:4:"), "{stderr}");
}

#[test]
fn a_missing_file_says_how_to_build_it() {
    let app = App::new(
        "[app]\nname = \"a\"\n[component.x]\nsource = \"x.wasm\"\nbuild = { command = \"true\" }\n[[route]]\npath = \"/\"\nto = \"x\"\n",
    );
    let stderr = fails(&app).stderr;
    assert!(stderr.contains("x.wasm") && stderr.contains("sampan build"), "{stderr}");
}

#[test]
fn a_truncated_component_is_refused() {
    let app = App::new(
        "[app]\nname = \"a\"\n[component.x]\nsource = \"x.wasm\"\n[[route]]\npath = \"/\"\nto = \"x\"\n",
    );
    let wasm = std::fs::read(component("serve-hello")).unwrap();
    app.write("x.wasm", &wasm[..wasm.len() / 2]);
    assert!(fails(&app).stderr.contains("component x"));
}

#[test]
fn a_command_is_no_service() {
    let app = App::new(&format!(
        "[app]\nname = \"a\"\n[component.x]\nsource = \"{}\"\n[[route]]\npath = \"/\"\nto = \"x\"\n",
        component("hello").display()
    ));
    assert!(fails(&app).stderr.contains("component x"));
}

#[test]
fn two_manifests_in_a_folder_are_a_question() {
    let app = App::new("[app]\nname = \"a\"\n");
    app.write("spin.toml", "spin_manifest_version = 2\n[application]\nname = \"a\"\n");
    let end = finish(sampan().arg("up").current_dir(app.path()), "");
    assert_eq!(end.code, 1);
    assert!(end.stderr.contains("sampan.toml") && end.stderr.contains("spin.toml"), "{}", end.stderr);
}

#[test]
fn a_store_that_is_down_at_start_is_an_error() {
    let port = free_port();
    let manifest = |lazy: &str| {
        format!(
            "[app]\nname = \"a\"\n[component.x]\nsource = \"{}\"\ngrant = {{ keyvalue = [\"cache\"] }}\n\
             [[route]]\npath = \"/\"\nto = \"x\"\n\
             [keyvalue.cache]\ntype = \"redis\"\nurl = \"redis://:pass-word@127.0.0.1:{port}\"\n{lazy}",
            component("serve-hello").display()
        )
    };
    let stderr = fails(&App::new(&manifest(""))).stderr;
    assert!(stderr.contains("cache") && stderr.contains(&format!("127.0.0.1:{port}")), "{stderr}");
    assert!(!stderr.contains("pass-word"), "{stderr}");
    // Whoever says `lazy` may start before the store does.
    assert_eq!(App::new(&manifest("lazy = true\n")).up().get("/").status, 200);
}
