//! `spin.toml` of both versions.

use crate::{component, good};
use sampan_app::*;
use std::path::Path;

const V2: &str = r#"
spin_manifest_version = 2

[application]
name = "hello-api"
version = "0.1.0"
description = "An app"
authors = ["Somebody <a@example.com>"]
targets = ["spin-up:3.3"]

[application.tool.lint]
level = "high"

[variables]
api_host = { default = "api.example.com" }
token = { default = "s3cret", secret = true }

[[trigger.http]]
route = "/api/..."
component = "hello-api"

[[trigger.http]]
route = { private = true }
component = "inner"

[[trigger.http]]
route = "/about"
static_response = { status_code = 418, headers = { Server = "tea" }, body = "short" }

[[trigger.http]]
id = "inline"
route = "/inline"
component = { source = "inline.wasm", key_value_stores = ["default"] }

[component.hello-api]
source = "target/wasm32-wasip1/release/hello_api.wasm"
allowed_outbound_hosts = ["https://{{ api_host }}", "postgres://localhost:5432", "http://self", "http://*.spin.internal", "http://127.0.0.1:8000..8010"]
key_value_stores = ["default"]
sqlite_databases = ["default"]
environment = { MODE = "{{ literal }}" }
variables = { url = "https://{{ api_host }}/v1?t={{ token }}" }
[component.hello-api.build]
command = "cargo build --target wasm32-wasip1 --release"
workdir = "hello"
watch = ["src/**/*.rs", "Cargo.toml"]
[component.hello-api.tool.clean]
command = "cargo clean"
[component.hello-api.profile.debug]
source = "debug.wasm"
build.command = "cargo build"

[component.inner]
source = "inner.wasm"
"#;

#[test]
fn version_2() {
    let (app, warnings) = good("spin.toml", V2);
    assert_eq!(warnings, Vec::<String>::new());
    let root = Path::new("/no/such/folder");
    assert_eq!((app.name.as_str(), app.version.as_str()), ("hello-api", "0.1.0"));
    let routes: Vec<_> = app.routes.iter().map(|route| (route.path.as_str(), &route.to)).collect();
    let component_of = |name: &str| Target::Component(name.to_owned());
    let tea =
        Target::Respond { status: 418, headers: vec![("server".into(), "tea".into())], body: "short".into() };
    let health = Target::Respond { status: 200, headers: vec![], body: "OK".into() };
    let expected = [
        ("/api/...", &component_of("hello-api")),
        ("/about", &tea),
        ("/inline", &component_of("inline-component")),
        ("/.well-known/spin/health", &health),
    ];
    assert_eq!(routes, expected);

    let api = component(&app, "hello-api");
    assert_eq!(api.source, root.join("target/wasm32-wasip1/release/hello_api.wasm"));
    let build = api.build.as_ref().unwrap();
    assert_eq!((build.commands.len(), build.workdir.clone(), build.watch.len()), (1, root.join("hello"), 2));
    let grants = &api.grants;
    assert_eq!(grants.env, [("MODE".to_owned(), "{{ literal }}".to_owned())]);
    let allows =
        |scheme: &str, host: &str, port| grants.http.iter().any(|one| one.allows(scheme, host, port));
    assert!(allows("https", "api.example.com", 443) && !allows("http", "api.example.com", 80));
    assert!(allows("http", "self", 80) && allows("http", "inner.spin.internal", 80));
    assert!(allows("http", "127.0.0.1", 8009) && !allows("http", "127.0.0.1", 8010));
    assert!(grants.services.iter().any(|one| one.allows("postgres", "localhost", 5432)));
    assert_eq!(grants.keyvalue, [StoreGrant { name: "default".into(), store: "default".into() }]);
    assert_eq!(grants.config[0].value.reveal(), "https://api.example.com/v1?t=s3cret");
    assert!(grants.config[0].secret);
    assert!(!format!("{app:?}").contains("s3cret"), "{app:?}");
    let sqlite = |folder: &str| root.join(".sampan").join(folder).join("default.db");
    assert_eq!(app.keyvalue["default"].backend, KeyValueBackend::Sqlite { path: sqlite("keyvalue") });
    assert_eq!(app.sql["default"].backend, SqlBackend::Sqlite { path: sqlite("sql") });
}
