//! What a user sees of `sampan check`: findings, exit codes, JSON.

use sampan_testing::{Finished, finish, sampan};
use std::path::Path;
use tempfile::TempDir;

/// A component that exports an HTTP handler and imports these interfaces.
fn http_component(imports: &[&str]) -> String {
    let imports: String =
        imports.iter().map(|name| format!("(import \"{name}\" (instance (export \"f\" (func)))) ")).collect();
    format!("(component {imports} (instance $i) (export \"wasi:http/incoming-handler@0.2.0\" (instance $i)))")
}

const PROGRAM: &str = "(module (func (export \"_start\")))";
const ROUTE: &str = "[[route]]\npath = \"/\"\nto = \"a\"\n";

struct App(TempDir);

impl App {
    fn new(files: &[(&str, &str)]) -> Self {
        let app = App(tempfile::tempdir().unwrap());
        for (name, text) in files {
            app.write(name, text.as_bytes());
        }
        app
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    fn check(&self, args: &[&str]) -> Finished {
        finish(sampan().arg("check").args(args).current_dir(self.0.path()), "")
    }
}

/// An app with a component `a` in the text format.
fn app(keys: &str, wat: &str) -> App {
    let manifest = format!("[component.a]\nsource = \"a.wat\"\n{keys}\n{ROUTE}");
    App::new(&[("sampan.toml", &manifest), ("a.wat", wat)])
}

#[track_caller]
fn assert_says(finished: &Finished, code: i32, parts: &[&str]) {
    let text = &finished.stderr;
    for part in parts {
        assert!(text.contains(part), "expected `{part}` in:\n{text}");
    }
    assert!(!text.contains("panicked"), "{text}");
    assert_eq!(finished.code, code, "{text}");
}

#[test]
fn nothing_is_wrong() {
    let finished = app("", &http_component(&[])).check(&[]);
    assert_says(&finished, 0, &[]);
    assert_eq!(finished.stderr, "");
    assert!(
        finished.stdout.ends_with(": 1 component, 1 route: no errors, no warnings\n"),
        "{}",
        finished.stdout
    );
}

#[test]
fn everything_is_said_at_once() {
    let app = App::new(&[(
        "sampan.toml",
        "[app]\nnmae = \"x\"\n[component.a]\nsource = \"a.wat\"\nkind = \"htp\"\n[[route]]\npath = \"/\"\nto = \"b\"\n",
    )]);
    let finished = app.check(&[]);
    assert_says(&finished, 1, &["unknown key `nmae`", "there is no kind `htp`", "there is no component `b`"]);
    assert!(finished.stderr.contains(" --> sampan.toml:2:1\n"), "{}", finished.stderr);
    assert!(finished.stderr.contains("2 | nmae = \"x\"\n  | ^^^^\n"), "{}", finished.stderr);
    assert_eq!(finished.stdout, "3 errors, no warnings\n");
}

#[test]
fn which_manifest() {
    let spin = "spin_manifest_version = 2\n[application]\nname = \"of-spin\"\n[[trigger.http]]\nroute = \"/\"\ncomponent = \"a\"\n[component.a]\nsource = \"a.wat\"\n";
    let app = app("", &http_component(&[]));
    assert_says(
        &App::new(&[]).check(&[]),
        1,
        &["error: there is no sampan.toml and no spin.toml in .", "sampan new"],
    );
    app.write("spin.toml", spin.as_bytes());
    assert_says(
        &app.check(&[]),
        1,
        &["there are two manifests: sampan.toml and spin.toml", "-f sampan.toml"],
    );
    assert!(app.check(&["-f", "spin.toml"]).stdout.starts_with("of-spin: "));
    app.write("sub/spin.toml", spin.as_bytes());
    app.write("sub/a.wat", http_component(&[]).as_bytes());
    assert!(app.check(&["-f", "sub"]).stdout.starts_with("of-spin: "));
    assert_says(&app.check(&["-f", "none.toml"]), 1, &["cannot read none.toml: No such file"]);
}

#[test]
fn a_missing_file_names_its_build() {
    let app = App::new(&[(
        "sampan.toml",
        &format!("[component.a]\nsource = \"a.wasm\"\nbuild = \"make it\"\n{ROUTE}"),
    )]);
    let parts = [
        "the file a.wasm of the component `a` does not exist",
        "sampan build",
        "make it",
        "sampan.toml:2:10",
    ];
    assert_says(&app.check(&[]), 1, &parts);
    let app = App::new(&[("sampan.toml", &format!("[component.a]\nsource = \"a.wasm\"\n{ROUTE}"))]);
    assert_says(&app.check(&[]), 1, &["does not exist", "say by `build`"]);
}

#[test]
fn files_that_are_no_components() {
    let whole = b"\0asm\x0d\0\x01\0";
    for (bytes, part) in [
        (&b""[..], "empty"),
        (b"#!/bin/sh\n", "script"),
        (b"\0asm", "ends"),
        (b"\0asm\x01\0\0\0\x01\x7f", "ends"),
        (b"\x7fELF\x02\x01\x01\0", "native program"),
        (&whole[..], "cannot be served"),
    ] {
        let app = App::new(&[("sampan.toml", &format!("[component.a]\nsource = \"a.wasm\"\n{ROUTE}"))]);
        app.write("a.wasm", bytes);
        let finished = app.check(&[]);
        assert_says(&finished, 1, &["error: ", "component `a`", part, "help: "]);
    }
    let app = App::new(&[("sampan.toml", &format!("[component.a]\nsource = \".\"\n{ROUTE}"))]);
    assert_says(&app.check(&[]), 1, &["it is a folder"]);
    assert_says(&self::app("", "(component (bad))").check(&[]), 1, &["of the component `a`"]);
}

#[test]
fn a_kind_that_cannot_be_served_so() {
    let http = http_component(&[]);
    let http = http.as_str();
    let export = |name: &str| format!("(module (func (export \"{name}\")))");
    for (keys, wat, said) in [
        ("", PROGRAM, "does not answer HTTP requests by itself"),
        ("", PROGRAM, "add `kind = \"cgi\"`"),
        ("kind = \"http\"", PROGRAM, "does not answer HTTP requests by itself"),
        ("kind = \"cgi\"", http, "answers HTTP requests itself"),
        ("kind = \"server\"\nport = 80", http, "remove `kind`"),
        ("", "(module)", "cannot be served"),
        ("", "(component)", "exports wasi:http/incoming-handler"),
        ("", &export("proxy_on_memory_allocate"), "filters are not supported yet"),
        ("", &export("handle-http-request"), "Spin's SDK 2 or later"),
        ("", &export("handle-redis-message"), "Spin's SDK 2 or later"),
        (
            "",
            &export("fermyon:spin/inbound-redis#handle-message"),
            "takes messages and answers no HTTP requests",
        ),
        (
            "",
            &http.replace("http/incoming-handler@0.2.0", "messaging/incoming-handler@0.2.0-draft"),
            "a route leads to it",
        ),
    ] {
        assert_says(&app(keys, wat).check(&[]), 1, &["error: the component `a` ", said]);
    }
    // A program that also exports the handler, as `wstd` makes them.
    let both = http.replace("(export ", "(export \"wasi:cli/run@0.2.0\" (instance $i)) (export ");
    for (keys, wat) in [
        ("kind = \"cgi\"", PROGRAM),
        ("kind = \"wagi\"", PROGRAM),
        ("kind = \"server\"\nport = 80", PROGRAM),
        ("kind = \"http\"", http),
        ("", &both),
        ("kind = \"server\"\nport = 80", &both),
        ("", &export("wasi:http/incoming-handler@0.2.0#handle")),
        ("", &export("fermyon:spin/inbound-http#handle-request")),
    ] {
        assert_says(&app(keys, wat).check(&[]), 0, &[]);
    }
}

#[test]
fn components_that_messages_start() {
    let http = http_component(&[]);
    let messages = http.replace("http/incoming-handler@0.2.0", "messaging/incoming-handler@0.2.0-draft");
    let trigger = "[[trigger.topic]]\ntopic = \"m/t\"\nto = \"a\"\n[messaging.m]\ntype = \"memory\"\n";
    let spin = "spin_manifest_version = 2\n[application]\nname = \"a\"\n[[trigger.redis]]\naddress = \"redis://h\"\n\
        channel = \"c\"\ncomponent = \"a\"\n[component.a]\nsource = \"a.wat\"\n";
    let module = "(module (func (export \"fermyon:spin/inbound-redis#handle-message\")))";
    let ours = format!("[component.a]\nsource = \"a.wat\"\n{trigger}");
    for (name, manifest, wat, code, said) in [
        // A program for HTTP gets messages as events.
        ("sampan.toml", ours.as_str(), http.as_str(), 0, ""),
        ("sampan.toml", &ours, &messages, 0, ""),
        ("sampan.toml", &ours, "(component)", 1, "wasi:messaging/incoming-handler"),
        ("spin.toml", spin, module, 0, ""),
        ("spin.toml", spin, &messages, 0, ""),
        ("spin.toml", spin, &http, 1, "has no handler of messages, and a channel of Redis triggers it"),
    ] {
        let app = App::new(&[(name, manifest), ("a.wat", wat)]);
        assert_says(&app.check(&[]), code, &[said]);
    }
}

#[test]
fn concurrency_is_for_wasi_0_3() {
    let finished = app("limits = { concurrency = 4 }", &http_component(&[])).check(&[]);
    assert_says(&finished, 0, &["`concurrency` has no effect on the component"]);
}

#[test]
fn grants_that_imports_need() {
    for (import, grant, said) in [
        ("wasi:http/outgoing-handler@0.2.0", "http = [\"https://a.example\"]", "sends HTTP requests"),
        ("wasi:keyvalue/store@0.2.0-draft2", "keyvalue = [\"default\"]", "keeps keys and values"),
        ("spin:key-value/key-value@3.0.0", "keyvalue = [\"default\"]", "keyvalue = [\"default\"]"),
        ("fermyon:spin/sqlite@2.0.0", "sql = [\"default\"]", "uses a database of SQLite"),
        ("spin:postgres/postgres@4.2.0", "services = [\"postgres://db\"]", "connects to PostgreSQL"),
        ("fermyon:spin/mysql@2.0.0", "services = [\"mysql://db\"]", "connects to MySQL"),
        ("spin:redis/redis@3.0.0", "services = [\"*://db:*\"]", "connects to Redis"),
        ("wasi:config/store@0.2.0-rc.1", "variables = [\"v\"]", "asks for variables"),
        ("wasi:messaging/producer@0.2.0-draft", "messaging = [\"m\"]", "publishes messages"),
    ] {
        // The functions that tell that the handler is called.
        let functions = "\"handle\" (func)) (export \"send\"";
        let wat = http_component(&[import]).replace("\"f\"", functions);
        let finished = app("", &wat).check(&[]);
        assert_says(
            &finished,
            0,
            &["warning: the component `a` ", said, "and no grant allows it", "sampan.toml:2:10"],
        );
        assert!(finished.stdout.ends_with("no errors, 1 warning\n"), "{}", finished.stdout);
        let granted =
            format!("grant = {{ {grant} }}\n[variables]\nv = \"x\"\n[messaging.m]\ntype = \"memory\"");
        assert_eq!(app(&granted, &wat).check(&[]).stderr, "", "{import}");
    }
    let all = [
        "wasi:keyvalue/store@0.2.0-draft2",
        "fermyon:spin/sqlite",
        "fermyon:spin/redis",
        "fermyon:spin/mysql",
    ];
    let much = app("", &http_component(&all)).check(&[]);
    assert_says(&much, 0, &["no grant for much of what it imports: keeps keys and values, uses a database"]);
    assert!(much.stdout.ends_with("no errors, 1 warning\n"), "{}", much.stdout);
    let mqtt = app("", &http_component(&["spin:mqtt/mqtt@3.0.0"])).check(&[]);
    assert_says(&mqtt, 0, &["publishes by MQTT (spin:mqtt/mqtt), which this version does not"]);
    let wrong = app("grant = { services = [\"mysql://db\"] }", &http_component(&["spin:redis/redis@3.0.0"]));
    assert_says(&wrong.check(&[]), 0, &["connects to Redis"]);
}

#[test]
fn imports_that_nobody_answers() {
    let wat = http_component(&["acme:log/log", "wasi:nn/graph@0.2.0", "wasi:clocks/wall-clock@0.2.0"]);
    let parts = [
        "error: the component `a` imports what Sampan does not provide: acme:log/log, wasi:nn/graph@0.2.0\n",
    ];
    assert_says(&app("", &wat).check(&[]), 1, &parts);
}

#[test]
fn a_component_of_spin_gets_advice_for_spin() {
    let manifest = "spin_manifest_version = 2\n[application]\nname = \"a\"\n[[trigger.http]]\nroute = \"/\"\ncomponent = \"a\"\n[component.a]\nsource = \"a.wat\"\n";
    let app = App::new(&[("spin.toml", manifest), ("a.wat", PROGRAM)]);
    assert_says(&app.check(&[]), 1, &["executor = { type = \"wagi\" }", "spin.toml:8:10"]);
    app.write("a.wat", http_component(&["spin:sqlite/sqlite@3.1.0"]).as_bytes());
    assert_says(&app.check(&[]), 0, &["add `sqlite_databases = [\"default\"]`"]);
}

#[test]
fn folders_and_certificates() {
    let manifest = "[[listen]]\naddress = \"127.0.0.1:1\"\ntls = { cert = \"c.pem\", key = \"k.pem\" }\n\
        [component.a]\nsource = \"a.wat\"\ngrant = { files = [\"data:/data\"], sql = [\"s\"] }\n\
        [[route]]\npath = \"/\"\nto = \"a\"\n[[route]]\npath = \"/s/...\"\nto = \"static:public\"\n\
        [sql.s]\nurl = \"mysql://h/d\"\nca = \"ca.pem\"\n";
    let app = App::new(&[("sampan.toml", manifest), ("a.wat", &http_component(&[]))]);
    let finished = app.check(&[]);
    let parts =
        ["c.pem does not exist", "k.pem does not exist", "data does not exist", "public does not exist"];
    assert_says(&finished, 1, &parts);
    assert_says(&finished, 1, &["ca.pem does not exist"]);
    for name in ["c.pem", "k.pem", "data/x", "public/x", "ca.pem"] {
        app.write(name, b"");
    }
    assert_says(&app.check(&[]), 0, &[]);
}

#[test]
fn variables_come_from_the_environment_and_files() {
    let app = app(
        "variables = { v = \"{{ x }}\" }\n[variables]\nx = { required = true, secret = true }",
        &http_component(&[]),
    );
    assert_says(&app.check(&[]), 1, &["the variable `x` is required and has no value", "SAMPAN_VARIABLE_X"]);
    let with_env =
        finish(sampan().arg("check").current_dir(app.0.path()).env("SPIN_VARIABLE_X", "hunter2"), "");
    assert_says(&with_env, 0, &[]);
    app.write("vars", b"x=hunter2\n");
    let with_file = app.check(&["--env-file", "vars"]);
    assert_says(&with_file, 0, &[]);
    assert!(!format!("{}{}", with_file.stdout, with_file.stderr).contains("hunter2"));
    assert_says(&app.check(&["--env-file", "none"]), 1, &["none: No such file"]);
}

#[test]
fn json_is_for_programs() {
    let findings = |app: &App, code: i32| -> serde_json::Value {
        let finished = app.check(&["--json"]);
        assert_eq!((finished.code, finished.stderr.as_str()), (code, ""));
        serde_json::from_str(&finished.stdout).unwrap()
    };
    assert_eq!(findings(&app("", &http_component(&[])), 0), serde_json::json!([]));
    let wrong = App::new(&[("sampan.toml", "[app]\nname = \"ä\"\nx = 1 # ä\n")]);
    let found = findings(&wrong, 1);
    assert_eq!(found[0]["severity"], "error");
    assert_eq!(found[0]["message"], "`ä` is not a name for an app");
    assert_eq!((found[0]["file"].as_str(), found[0]["line"].as_u64()), (Some("sampan.toml"), Some(2)));
    assert_eq!((found[0]["column"].as_u64(), found[1]["line"].as_u64()), (Some(8), Some(3)));
    assert!(found[1]["help"].as_str().unwrap().contains("known keys"), "{found}");
    let warned = findings(&app("", &http_component(&["spin:redis/redis@3.0.0"])), 0);
    assert_eq!(warned[0]["severity"], "warning");
    let nowhere = findings(&App::new(&[]), 1);
    assert!(nowhere[0]["line"].is_null(), "{nowhere}");
}

#[test]
fn help_names_the_exit_codes() {
    let finished = finish(sampan().args(["check", "--help"]).current_dir(Path::new("/")), "");
    assert!(finished.stdout.contains("Exit codes: 0 when"), "{}", finished.stdout);
    assert!(finished.stdout.contains("`*`") && finished.stdout.contains("127.0.0.1"), "{}", finished.stdout);
}

#[test]
fn resources_of_dapr_are_read_too() {
    let component = |spec: &str| {
        format!(
            "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: statestore\nspec:\n  {spec}: state.redis\n"
        )
    };
    let app =
        app("grant = { dapr = [\"statestore\"] }\n[dapr]\ncomponents = \"components\"", &http_component(&[]));
    app.write("components/store.yaml", component("type").as_bytes());
    assert_says(&app.check(&[]), 0, &[]);

    app.write("components/other.yml", b"kind: Deployment\n");
    assert_says(&app.check(&[]), 0, &["warning: a resource of kind `Deployment`", "other.yml:1:7"]);

    app.write("components/store.yaml", component("tpye").as_bytes());
    let finished = app.check(&[]);
    let parts = [
        "error: unknown key `tpye` in spec",
        "components/store.yaml:6:3",
        "6 |   tpye: state.redis",
        "did you mean `type`?",
        "there is no component `statestore` for this app",
    ];
    assert_says(&finished, 1, &parts);
    let finished = app.check(&["--json"]);
    assert!(
        finished.stdout.contains("store.yaml\"") && finished.stdout.contains("\"line\": 6"),
        "{}",
        finished.stdout
    );
}
