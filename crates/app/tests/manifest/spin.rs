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
    assert_eq!(app.keyvalue["default"].backend, KeyValueBackend::sqlite(sqlite("keyvalue")));
    assert_eq!(app.sql["default"].backend, SqlBackend::Sqlite { path: sqlite("sql") });
}

/// As articles of 2022 have it.
const ARTICLE: &str = r#"
spin_version = "1"
authors = ["Somebody"]
description = "A simple Spin application."
name = "spin-hello-world"
version = "1.0.0"

[[component]]
id = "Hello_World"
source = "target/wasm32-wasi/release/spinhelloworld.wasm"
[component.trigger]
route = "/hello"
[component.build]
command = "cargo build --target wasm32-wasi --release"
"#;

#[test]
fn version_1_as_articles_print_it() {
    let (app, warnings) = good("spin.toml", ARTICLE);
    assert_eq!((app.name.as_str(), app.routes[0].path.as_str()), ("spin-hello-world", "/hello"));
    let hello = component(&app, "hello-world");
    assert!(hello.source.ends_with("target/wasm32-wasip1/release/spinhelloworld.wasm"), "{:?}", hello.source);
    assert_eq!(hello.build.as_ref().unwrap().commands, ["cargo build --target wasm32-wasip1 --release"]);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("`wasm32-wasi` is understood as one for `wasm32-wasip1`"), "{warnings:?}");
    // Before version 1 named them, components reached every database, also on this machine.
    let local = "127.0.0.1".parse().unwrap();
    for scheme in ["mysql", "postgres", "redis"] {
        let rules = hello.grants.services.iter().filter(|one| one.scheme.as_deref() == Some(scheme));
        let rules: Vec<_> = rules.collect();
        assert!(rules.iter().any(|one| one.host == HostPattern::Any), "{scheme}");
        let network = |one: &&&Origin| one.host != HostPattern::Any && one.host.matches_address(local);
        assert_eq!(rules.iter().filter(network).count(), 1, "{scheme}");
    }
    assert_eq!(hello.grants.http, []);
}

const V1: &str = r#"
spin_manifest_version = "1"
name = "fileserver-and-api"
version = "1.0.0"
trigger = { type = "http", base = "/base" }

[variables]
object = { default = "teapot" }

[[component]]
id = "fileserver"
source = "spin_static_fs.wasm"
[component.trigger]
route = "/static/..."

[[component]]
id = "api"
source = "api.wasm"
allowed_http_hosts = ["api.example.com", "localhost:3000", "self", "https://b.example.com/"]
allowed_outbound_hosts = ["redis://cache:6379"]
key_value_stores = ["default"]
environment = { A = "b" }
ai_models = ["llama2-chat"]
config = { message = "I'm a {{object}}" }
[component.trigger]
route = "/api/*"
executor = { type = "wagi", argv = "api ${SCRIPT_NAME} --x", entrypoint = "_start" }

[[component]]
id = "open"
source = "open.wasm"
allowed_http_hosts = ["insecure:allow-all"]
[component.trigger]
route = "/"
executor = { type = "spin" }
"#;

#[test]
fn version_1() {
    let (app, warnings) = good("spin.toml", V1);
    let routes: Vec<_> = app.routes.iter().map(|route| route.path.as_str()).collect();
    assert_eq!(routes, ["/base/static/...", "/base/api/...", "/base/", "/.well-known/spin/health"]);
    let api = component(&app, "api");
    let argv = vec!["${SCRIPT_NAME}".to_owned(), "--x".to_owned()];
    let wagi = Cgi { dialect: CgiDialect::Wagi, argv, document_root: None };
    assert_eq!(api.kind, Some(ComponentKind::Cgi(wagi)));
    let allows =
        |scheme: &str, host: &str, port| api.grants.http.iter().any(|one| one.allows(scheme, host, port));
    assert!(allows("https", "api.example.com", 443) && allows("http", "api.example.com", 80));
    assert!(allows("http", "localhost", 3000) && allows("https", "b.example.com", 443));
    assert!(allows("http", "self", 80) && !allows("http", "other.example.com", 80));
    assert_eq!(api.grants.services.len(), 1, "allowed_outbound_hosts closes the databases");
    assert_eq!(api.grants.config[0].value.reveal(), "I'm a teapot");
    let open = component(&app, "open");
    assert!(open.grants.http.iter().all(|one| one.host == HostPattern::Any && one.port == PortPattern::Any));
    assert_eq!(open.kind, None);
    let said = |text: &str| warnings.iter().any(|one| one.contains(text));
    assert!(said("`ai_models` grants nothing") && said("reaches public addresses only"), "{warnings:?}");
}

fn hosts(list: &str) -> (Grants, Vec<String>) {
    let text = V2.replace("allowed_outbound_hosts = [", &format!("allowed_outbound_hosts = [{list}, "));
    let (app, warnings) = good("spin.toml", &text);
    (component(&app, "hello-api").grants.clone(), warnings)
}

#[test]
fn allowed_outbound_hosts() {
    let (grants, warnings) = hosts("\"*://*:*\"");
    assert!(grants.http[0].allows("https", "any.example", 1) && grants.services[0].scheme.is_none());
    assert_eq!((grants.tcp.len(), grants.udp.len()), (1, 1));
    assert!(warnings[0].contains("reaches public addresses only"), "{warnings:?}");

    let (grants, warnings) = hosts(
        "\"https://*.s3.*.amazonaws.com\", \"http://10.0.0.0/8:*\", \"http://[::1]:81\", \"tcp://db:1\", \"udp://ntp:123\"",
    );
    assert!(grants.http[0].allows("https", "a.b.s3.eu-1.amazonaws.com", 443));
    assert!(!grants.http[0].allows("https", "s3.eu-1.amazonaws.com", 443));
    assert!(!grants.http[0].allows("https", "a.s3.x.y.amazonaws.com", 443));
    assert!(grants.http[1].allows("http", "10.9.8.7", 5) && grants.http[2].allows("http", "::1", 81));
    assert_eq!((grants.tcp.len(), grants.udp.len(), warnings.len()), (1, 1, 0));

    let (grants, _) = hosts("\"redis://cache\", \"mqtt://*.example.com\", \"mysql://db:1\"");
    let services: Vec<_> = grants.services.iter().map(|one| (one.scheme.as_deref(), one.port)).collect();
    let one = PortPattern::One;
    let expected = [
        (Some("redis"), one(6379)),
        (Some("mqtt"), one(1883)),
        (Some("mysql"), one(1)),
        (Some("postgres"), one(5432)),
    ];
    assert_eq!(services, expected);

    let (_, warnings) = hosts("\"gopher://x:70\"");
    assert!(warnings[0].contains("nothing uses the scheme `gopher`"), "{warnings:?}");
}

#[test]
fn an_empty_template_grants_nothing() {
    let text = V2
        .replace("default = \"api.example.com\"", "default = \"\"")
        .replace("https://{{ api_host }}\",", "{{ api_host }}\",");
    let (app, _) = good("spin.toml", &text);
    assert!(
        !component(&app, "hello-api").grants.http.iter().any(|one| one.scheme.as_deref() == Some("https"))
    );
}

#[test]
fn the_last_of_two_routes_wins() {
    let text = format!("{V2}\n[[trigger.http]]\nroute = \"/api/*\"\ncomponent = \"inner\"\n");
    let (app, warnings) = good("spin.toml", &text);
    let api: Vec<_> = app.routes.iter().filter(|route| route.path == "/api/...").collect();
    assert_eq!((api.len(), &api[0].to), (1, &Target::Component("inner".into())));
    assert!(warnings[0].contains("this route answers nothing"), "{warnings:?}");
}

/// V2 with another text in one place.
fn edit(from: &str, to: &str) -> String {
    assert!(V2.contains(from), "{from}");
    V2.replacen(from, to, 1)
}

/// A manifest, the text that is marked, and what the message and the help contain.
type Case = (String, &'static str, &'static str, &'static str);

#[track_caller]
fn check_all(cases: &[Case]) {
    for (text, marked, message, help) in cases {
        let findings = crate::bad("spin.toml", text);
        let found = findings.iter().find(|(_, said, _)| said.contains(message));
        let Some((at, _, helped)) = found else { panic!("{message}: {findings:#?}") };
        assert_eq!(at, marked, "{message}");
        assert!(helped.contains(help), "{helped}");
        assert_eq!(findings.len(), 1, "{findings:#?}");
    }
}

#[test]
fn what_is_wrong_with_the_outline() {
    check_all(&[
        (edit("spin_manifest_version = 2", ""), "", "no `spin_manifest_version`", "= 2"),
        (edit("spin_manifest_version = 2", "spin_manifest_version = 3"), "3", "version of Spin's", "\"1\""),
        (
            edit("[[trigger.http]]", "[[trigger.timer]]\ncrontab = \"a\"\n[[trigger.http]]"),
            "timer",
            "`timer` are not supported yet",
            "http",
        ),
        (edit("component = \"inner\"", "component = \"iner\""), "\"iner\"", "no component `iner`", "`inner`"),
        (edit("component = \"inner\"", ""), "[[trigger.http]]", "has no `component`", "NAME"),
        (
            edit("route = { private = true }", "route = { private = false }"),
            "{ private = false }",
            "neither a path nor private",
            "",
        ),
        (edit("route = { private = true }", "route = 5"), "5", "expected a path, or { private = true }", ""),
        (
            edit("route = \"/about\"", "route = \"/about\"\ncomponent = \"inner\""),
            "[[trigger.http]]",
            "not both",
            "",
        ),
        (
            edit("source = \"inner.wasm\"", "source = \"inner.wasm\"\nsources = 1"),
            "sources",
            "unknown key",
            "`source`",
        ),
    ]);
}

#[test]
fn what_is_wrong_with_a_component() {
    check_all(&[
        (
            edit("key_value_stores = [\"default\"]\nsqlite", "key_value_stores = [\"x\"]\nsqlite"),
            "\"x\"",
            "no store `x`",
            "runtime-config.toml",
        ),
        (
            edit("\"http://self\"", "\"example.com\""),
            "\"example.com\"",
            "not an allowed outbound host",
            "SCHEME://",
        ),
        (
            edit("\"http://self\"", "\"https://x/path\""),
            "\"https://x/path\"",
            "not an allowed outbound host",
            "without a path",
        ),
        (
            edit("\"http://self\"", "\"foo://x\""),
            "\"foo://x\"",
            "not an allowed outbound host",
            "no port of its own",
        ),
        (
            edit("\"http://self\"", "\"http://x:9..5\""),
            "\"http://x:9..5\"",
            "not an allowed outbound host",
            "range",
        ),
        (
            edit("\"http://self\"", "\"insecure:allow-all\""),
            "\"insecure:allow-all\"",
            "not an allowed outbound host",
            "*://*:*",
        ),
        (
            edit("{{ api_host }}/v1", "{{ api_hst }}/v1"),
            "\"https://{{ api_hst }}/v1?t={{ token }}\"",
            "no variable `api_hst`",
            "`api_host`",
        ),
        (
            edit("build.command = \"cargo build\"", "build.comand = \"cargo build\""),
            "comand",
            "unknown key",
            "`command`",
        ),
        (edit("status_code = 418", "status_code = 99"), "99", "from 200 to 599", ""),
    ]);
}

#[test]
fn what_is_wrong_with_version_1() {
    let edit = |from: &str, to: &str| {
        assert!(V1.contains(from), "{from}");
        V1.replacen(from, to, 1)
    };
    for (text, marked, message) in [
        (edit("type = \"http\"", "type = \"mqtt\""), "\"mqtt\"", "type `mqtt` are not supported yet"),
        (edit("base = \"/base\"", "base = \"base\""), "\"base\"", "`base` is not a base"),
        (
            edit("id = \"api\"", "id = \"Fileserver\""),
            "\"Fileserver\"",
            "there are two components `fileserver`",
        ),
        (
            edit("entrypoint = \"_start\"", "entrypoint = \"main\""),
            "\"main\"",
            "the entry point `main` is not supported",
        ),
        (edit("type = \"wagi\"", "type = \"fcgi\""), "\"fcgi\"", "there is no executor `fcgi`"),
        (edit("\"localhost:3000\"", "\"a b\""), "\"a b\"", "`a b` is not an HTTP host"),
        (edit("route = \"/\"", "rout = \"/\""), "[component.trigger]", "has no `route`"),
    ] {
        let findings = crate::bad("spin.toml", &text);
        let found = findings.iter().find(|(_, said, _)| said.contains(message));
        let Some((at, ..)) = found else { panic!("{message}: {findings:#?}") };
        assert_eq!(at, marked, "{message}");
    }
}
