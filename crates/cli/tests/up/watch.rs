//! `sampan up --watch`: what a developer changes is served a moment later; what does not build is not.

use crate::{App, component};

#[test]
fn a_change_is_built_and_swapped_in_and_a_failed_build_changes_nothing() {
    let app = App::new(
        "[app]\nname = \"a\"\n[component.x]\nsource = \"x.wasm\"\n\
         build = { command = \"test ! -e broken && cp $(cat source.txt) x.wasm\", watch = [\"source.txt\"] }\n\
         [[route]]\npath = \"/hello\"\nto = \"x\"\n",
    );
    app.write("source.txt", component("serve-hello").to_str().unwrap());
    let mut up = app.up_with(&["--watch"]);
    assert_eq!(up.get("/hello").text(), "Hello, world!\n");

    app.write("source.txt", component("serve-p2").to_str().unwrap());
    up.process.wait_for_error("building x");
    up.process.wait_for_error("loaded anew");
    let second = up.get("/hello").text();
    assert_ne!(second, "Hello, world!\n");

    app.write("broken", "");
    app.write("source.txt", component("serve-hello").to_str().unwrap());
    up.process.wait_for_error("error: ");
    up.process.wait_for_error("the running version goes on");
    assert_eq!(up.get("/hello").text(), second);

    std::fs::remove_file(app.path().join("broken")).unwrap();
    app.write("source.txt", component("serve-hello").to_str().unwrap());
    up.process.wait_for_error("loaded anew");
    assert_eq!(up.get("/hello").text(), "Hello, world!\n");
}

#[test]
fn a_changed_manifest_is_read_anew() {
    let manifest = |to: &str| {
        format!(
            "[app]\nname = \"a\"\n[component.x]\nsource = \"{}\"\n[[route]]\npath = \"{to}\"\nto = \"x\"\n",
            component("serve-hello").display()
        )
    };
    let app = App::new(&manifest("/one"));
    let mut up = app.up_with(&["--watch"]);
    assert_eq!(up.get("/one").status, 200);
    app.write("sampan.toml", manifest("/two"));
    up.process.wait_for_error("loaded anew");
    assert_eq!((up.get("/one").status, up.get("/two").status), (404, 200));
}
