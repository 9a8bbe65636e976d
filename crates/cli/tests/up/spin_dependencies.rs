//! Apps of Spin whose components depend on others: what they are composed of, and what a dependency may reach.

use crate::spin_sources::{App, by_url, manifest};
use crate::{Up, component};
use sampan_testing::servers::{Registry, sha256};
use sampan_testing::{HttpServer, Response, finish};
use std::fs::{copy, read};

/// An app whose component hands each request to a dependency, which is described so.
fn app(dependencies: &str, more: &str) -> App {
    let app = App::new("");
    let dependencies = format!("{more}[component.ui.dependencies]\n{dependencies}\n");
    app.write("spin.toml", manifest("\"ui.wasm\"", &dependencies));
    copy(component("dependent"), app.path().join("ui.wasm")).unwrap();
    copy(component("dependency"), app.path().join("lib.wasm")).unwrap();
    app
}

fn attempt(up: &Up, what: &str) -> String {
    up.get(&format!("/{}", what.replace(' ', "+"))).text()
}

#[test]
fn a_dependency_reaches_what_it_inherits() {
    let server = HttpServer::start(|_| Response::new(200, "page"));
    let more = format!(
        "environment = {{ SECRET = \"sesame\" }}\nfiles = [\"data.txt\"]\n\
         allowed_outbound_hosts = [\"*://{}\"]\n",
        server.address
    );
    let (tcp, get) = (format!("tcp {}", server.address), format!("get {}", server.address));
    let granted = [
        ("compute abc", "cba"),
        ("env SECRET", "sesame"),
        ("read data.txt", "the data"),
        (&tcp, "connected"),
        (&get, "200"),
        ("given", "100 true"),
    ];
    let refused = [
        ("compute abc", "cba"),
        ("env SECRET", "environment variable not found"),
        ("args", "0"),
        ("read data.txt", "entity not found"),
        (&tcp, "permission denied"),
        (&get, "no request"),
        ("stdin", "0 bytes"),
        ("print nowhere", "printed"),
        ("sleep", "slept"),
        ("given", "100 true"),
    ];
    for (dependency, expected) in [
        ("\"test:probe/tries@1.0.0\" = { path = \"lib.wasm\", inherit_configuration = true }", &granted[..]),
        ("\"test:probe\" = { path = \"lib.wasm\" }", &refused[..]),
    ] {
        let app = app(dependency, &more);
        app.write("data.txt", "the data");
        let checked = finish(&mut app.command("check"), "");
        assert!(checked.code == 0 && !checked.stderr.contains("error"), "{}", checked.stderr);
        let up = app.up(&[]);
        for (what, said) in expected {
            assert_eq!(attempt(&up, what), *said, "{dependency}: {what}");
        }
        assert_eq!(attempt(&up, "own SECRET"), "sesame", "what a component has, stays its own");
    }
    // Of those that inherit nothing, nobody came here.
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn dependencies_come_from_the_web_and_from_registries() {
    let Some(registry) = Registry::start() else { return };
    let wasm = read(component("dependency")).unwrap();
    registry.push_wasm("test/probe", "1.1.0", b"(component)");
    registry.push_wasm("test/probe", "1.2.0", &wasm);
    registry.push_wasm("test/probe", "2.0.0", b"(component)");
    let host = format!("127.0.0.1:{}", registry.port);
    let packaged = app("\"test:probe\" = \"1.1\"", "");
    packaged.write("config/wasm-pkg/config.toml", format!("default_registry = \"{host}\""));
    assert_eq!(attempt(&packaged.up(&[]), "compute abc"), "cba");

    let content = wasm.clone();
    let server = HttpServer::start(move |_| Response::new(200, content.clone()));
    let source = by_url(&format!("http://{}/lib.wasm", server.address), &wasm);
    let by_url = app(&format!("\"test:probe\" = {source}"), "");
    for _ in 0..2 {
        assert_eq!(attempt(&by_url.up(&[]), "compute abc"), "cba");
    }
    assert_eq!(server.requests().len(), 1);
    let wrong = app(&format!("\"test:probe\" = {}", source.replace(&sha256(&wasm), &sha256(b"x"))), "");
    let refused = wrong.refused();
    for part in ["component ui, dependency test:probe: http://", "not what its digest says", "spin.toml:8:10"]
    {
        assert!(refused.contains(part), "expected `{part}` in:\n{refused}");
    }
}

#[test]
fn what_cannot_be_composed_is_said() {
    for (dependencies, what, help) in [
        ("\"test:other\" = { path = \"lib.wasm\" }", "`test:other` answers no import", "sampan inspect"),
        ("\"test:probe\" = { path = \"ui.wasm\" }", "has no export `test:probe/tries@1.0.0`", "`export ="),
        ("\"test:probe\" = { path = \"none.wasm\" }", "none.wasm: No such file", "build the file first"),
        (
            "\"test:probe\" = { path = \"text.txt\" }",
            "the dependency `test:probe` is no component",
            "wasm32-wasip2",
        ),
    ] {
        let app = app(dependencies, "");
        app.write("text.txt", "text");
        let refused = app.refused();
        for part in ["app a, component ui: ", what, help, "spin.toml:8:10"] {
            assert!(refused.contains(part), "expected `{part}` in:\n{refused}");
        }
    }
    let app = app("\"test:probe\" = { path = \"none.wasm\" }", "");
    let checked = finish(&mut app.command("check"), "");
    assert!(
        checked.code == 1 && checked.stderr.contains("none.wasm of the dependency"),
        "{}",
        checked.stderr
    );
    assert!(
        !checked.stderr.contains("does not provide"),
        "what it answers is no concern: {}",
        checked.stderr
    );
}

#[test]
fn a_dependency_that_changes_is_swapped_in() {
    let app = app("\"test:probe\" = { path = \"lib.wasm\" }", "");
    let mut up = app.up(&["--watch"]);
    assert_eq!(attempt(&up, "compute abc"), "cba");
    app.write("lib.wasm", "broken");
    up.process.wait_for_error("the dependency `test:probe` is no component");
    up.process.wait_for_error("the running version goes on");
    assert_eq!(attempt(&up, "compute abc"), "cba");
    copy(component("dependency"), app.path().join("lib.wasm")).unwrap();
    up.process.wait_for_error("loaded anew");
    assert_eq!(attempt(&up, "compute abc"), "cba");
}
