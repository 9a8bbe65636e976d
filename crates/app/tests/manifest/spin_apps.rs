//! Manifests of Spin as people have them: each in the words of its time.

use crate::good;
use sampan_app::{CgiDialect, ComponentKind, Target};

struct Case {
    text: &'static str,
    /// Paths and the components behind them.
    routes: &'static [(&'static str, &'static str)],
    /// What one of the warnings contains, if there are any.
    warning: Option<&'static str>,
}

const CASES: &[Case] = &[
    // The first releases: no app-wide trigger, `base` unknown, several components.
    Case {
        text: r#"
spin_version = "1"
authors = ["A <a@example.com>"]
description = "A WAGI program and a component."
name = "spin-wagi"
trigger = {type = "http", base = "/"}
version = "1.0.0"

[[component]]
id = "bartholomew"
source = "modules/bartholomew.wasm"
files = []
[component.trigger]
route = "/..."
executor = { type = "wagi" }

[[component]]
id = "env_wagi"
source = "target/wasm32-wasip1/release/wagi.wasm"
environment = { TEST = "123" }
[component.trigger]
route = "/env"
executor = { type = "wagi", argv = "test ${SCRIPT_NAME} ${ARGS} done" }
"#,
        routes: &[("/...", "bartholomew"), ("/env", "env-wagi")],
        warning: None,
    },
    // Spin 1: `spin_manifest_version`, key-value, the old name of the target.
    Case {
        text: r#"
spin_manifest_version = "1"
authors = ["A"]
description = "A key/value app"
name = "spin-key-value"
trigger = { type = "http", base = "/test" }
version = "1.0.0"

[[component]]
id = "spin-key-value"
source = "target/wasm32-wasi/release/spin_key_value.wasm"
allowed_http_hosts = []
key_value_stores = ["default"]
[component.trigger]
route = "/..."
[component.build]
command = "cargo build --target wasm32-wasi --release"
"#,
        routes: &[("/test/...", "spin-key-value")],
        warning: Some("`wasm32-wasip1`"),
    },
    // A database by an environment variable, as the outbound examples have it.
    Case {
        text: r#"
spin_manifest_version = "1"
authors = ["Fermyon Engineering Team <engineering@fermyon.com>"]
name = "rust-outbound-mysql"
trigger = { type = "http", base = "/" }
version = "0.1.0"

[variables]
db_password = { default = "x", secret = true }

[[component]]
environment = { DB_URL = "mysql://spin:spin@127.0.0.1/spin_dev" }
id = "rust-outbound-mysql"
source = "target/wasm32-wasip1/release/rust_outbound_mysql.wasm"
[component.config]
password = "{{ db_password }}"
[component.trigger]
route = "/..."
[component.build]
command = "cargo build --target wasm32-wasip1 --release"
watch = ["src/**/*.rs"]
"#,
        routes: &[("/...", "rust-outbound-mysql")],
        warning: None,
    },
    // Spin 2, Python: hosts with a template, a store, variables that are secret.
    Case {
        text: r#"
spin_manifest_version = 2

[application]
name = "password-checker"
version = "0.1.0"
authors = ["A"]
description = "A page"

[variables]
password = { default = "abc", secret = true }
server = { default = "db.internal:5432" }

[[trigger.http]]
route = "/..."
component = "pw-checker"

[component.pw-checker]
source = "app.wasm"
allowed_outbound_hosts = ["postgres://{{ server }}", "https://random-data-api.fermyon.app"]
sqlite_databases = ["default"]
[component.pw-checker.variables]
password = "{{ password }}"
[component.pw-checker.build]
command = "spin py2wasm app -o app.wasm"
watch = ["app.py", "Pipfile"]
"#,
        routes: &[("/...", "pw-checker")],
        warning: None,
    },
    // Spin 3: components that call each other, one of them private, several triggers for one.
    Case {
        text: r#"
spin_manifest_version = 2

[application]
name = "chained"

[application.trigger.http]
base = "/"

[[trigger.http]]
id = "front"
route = "/:user/hello"
component = "front"

[[trigger.http]]
route = "/again"
component = "front"
executor = { type = "http" }

[[trigger.http]]
route = { private = true }
component = "back"

[component.front]
source = "front.wasm"
allowed_outbound_hosts = ["http://back.spin.internal"]

[component.back]
source = "back.wasm"
"#,
        routes: &[("/:user/hello", "front"), ("/again", "front")],
        warning: None,
    },
    // Spin 4: profiles, targets, empty dependencies.
    Case {
        text: r#"
spin_manifest_version = 2

[application]
name = "modern"
version = "0.1.0"
targets = ["spin-up:3.3", { registry = "ghcr.io/a", id = "b:1" }]

[[trigger.http]]
route = "/..."
component = "modern"

[component.modern]
source = "target/wasm32-wasip2/release/modern.wasm"
targets = []
dependencies = {}
dependencies_inherit_configuration = true
allowed_outbound_hosts = ["redis://localhost:6379", "mqtt://localhost:1883"]
[component.modern.build]
command = ["cargo build --target wasm32-wasip2 --release", "echo done"]
watch = ["src/**/*.rs", "Cargo.toml"]
[component.modern.profile.debug]
environment = { RUST_LOG = "debug" }
build = { command = "cargo build --target wasm32-wasip2" }
"#,
        routes: &[("/...", "modern")],
        warning: None,
    },
];

#[test]
fn manifests_of_all_times() {
    for case in CASES {
        let (app, warnings) = good("spin.toml", case.text);
        let name = &app.name;
        let routes: Vec<_> = app
            .routes
            .iter()
            .filter_map(|route| match &route.to {
                Target::Component(component) => Some((route.path.as_str(), component.as_str())),
                _ => None,
            })
            .collect();
        assert_eq!(routes, case.routes, "{name}");
        match case.warning {
            Some(part) => assert!(warnings.iter().any(|one| one.contains(part)), "{name}: {warnings:?}"),
            None => assert_eq!(warnings, Vec::<String>::new(), "{name}"),
        }
    }
}

#[test]
fn wagi_programs_get_their_arguments() {
    let (app, _) = good("spin.toml", CASES[0].text);
    let argv: Vec<_> = app
        .components
        .iter()
        .map(|component| match &component.kind {
            Some(ComponentKind::Cgi(cgi)) => {
                assert_eq!(cgi.dialect, CgiDialect::Wagi);
                cgi.argv.clone()
            }
            other => panic!("{other:?}"),
        })
        .collect();
    // The first word is the program's name.
    assert_eq!(argv, [vec!["${ARGS}"], vec!["${SCRIPT_NAME}", "${ARGS}", "done"]]);
}

#[test]
fn a_component_is_called_in_one_way() {
    let text = CASES[4].text.replace("{ type = \"http\" }", "{ type = \"wagi\" }");
    let findings = crate::bad("spin.toml", &text);
    assert!(
        findings[0].1.contains("two triggers call the component `front` in different ways"),
        "{findings:?}"
    );
}
