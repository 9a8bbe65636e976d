//! `[dapr]`, and grants that name what its folder holds.

use crate::{Folder, bad, component, good};
use sampan_app::dapr::{AppChannel, AppProtocol};
use sampan_app::{Secret, Severity, StoreGrant, Surroundings, read_manifest, render};

/// A state store, a broker, and a store that is for somebody else.
const RESOURCES: &str = "apiVersion: dapr.io/v1alpha1
kind: Component
metadata: { name: statestore }
spec: { type: state.redis, metadata: [{ name: redisHost, value: localhost }] }
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: { name: pubsub }
spec: { type: pubsub.redis }
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: { name: theirs }
spec: { type: state.redis }
scopes: [other]
";

fn manifest(dapr: &str, grant: &str) -> String {
    format!("[app]\nname = \"shop\"\n{dapr}\n[component.api]\nsource = \"a.wasm\"\ngrant = {{ {grant} }}\n")
}

#[test]
fn all_of_it() {
    let text = manifest(
        "[variables]\ntoken = { default = \"t0p\", secret = true }\n[dapr]\ncomponents = \"components\"\n\
         http = \"127.0.0.1:3500\"\ngrpc = \"localhost:50001\"\napp_id = \"store\"\napp_port = 3000\n\
         app_protocol = \"grpc\"\napp_host = \"::1\"\napi_token = \"{{ token }}\"\napp_token = \"other\"\n\
         max_body = \"16MiB\"\n[keyvalue.default]\ntype = \"memory\"",
        "dapr = [\"statestore\", \"default\", \"app:other\", \"*\"], keyvalue = [\"statestore\", \"s=statestore\"], \
         messaging = [\"pubsub\", \"bus=pubsub\"]",
    );
    let folder = Folder::new(&[("sampan.toml", &text), ("components/all.yaml", RESOURCES)]);
    let (app, warnings) = folder.read("sampan.toml").expect("a good manifest");
    assert!(warnings.is_empty(), "{warnings:?}");
    let dapr = app.dapr.as_ref().expect("dapr");
    assert_eq!(dapr.resources.components.len(), 3);
    assert_eq!(dapr.http.map(|address| address.to_string()).as_deref(), Some("127.0.0.1:3500"));
    assert_eq!(dapr.grpc.map(|address| address.to_string()).as_deref(), Some("127.0.0.1:50001"));
    assert_eq!(dapr.app_id, "store");
    let channel = AppChannel { host: "::1".into(), port: 3000, protocol: AppProtocol::Grpc };
    assert_eq!(dapr.app, Some(channel));
    assert_eq!(dapr.api_token, Some(Secret::new("t0p")));
    assert_eq!(dapr.app_token, Some(Secret::new("other")));
    assert_eq!(dapr.max_body_bytes, 16 << 20);
    let grants = &component(&app, "api").grants;
    assert_eq!(grants.dapr, ["statestore", "default", "app:other", "*"]);
    let store = |name: &str, store: &str| StoreGrant { name: name.into(), store: store.into() };
    assert_eq!(grants.messaging, [store("pubsub", "pubsub"), store("bus", "pubsub")]);
    assert_eq!(grants.keyvalue, [store("statestore", "statestore"), store("s", "statestore")]);
    assert!(!app.keyvalue.contains_key("statestore"), "no store of SQLite stands in for the component");
    assert!(!format!("{app:?}").contains("t0p"));
}

#[test]
fn defaults_and_the_environment() {
    let (app, _) = good("sampan.toml", &manifest("[dapr]", ""));
    let dapr = app.dapr.expect("dapr");
    assert_eq!((dapr.app_id.as_str(), dapr.max_body_bytes), ("shop", 4 << 20));
    assert!(dapr.http.is_none() && dapr.grpc.is_none() && dapr.app.is_none() && dapr.api_token.is_none());

    let folder = Folder::new(&[("sampan.toml", &manifest("[dapr]\napp_port = 80", ""))]);
    let env = |name: &str| match name {
        "DAPR_API_TOKEN" => Some("from-env".to_owned()),
        "APP_API_TOKEN" => Some(String::new()),
        _ => None,
    };
    let (app, _) = read_manifest(&folder.path().join("sampan.toml"), &Surroundings::new(&env)).expect("good");
    let dapr = app.dapr.expect("dapr");
    assert_eq!(dapr.api_token, Some(Secret::new("from-env")));
    assert_eq!(dapr.app_token, None, "an empty one is none");
    let channel = dapr.app.expect("an app");
    assert_eq!((channel.host.as_str(), channel.protocol), ("127.0.0.1", AppProtocol::Http));

    let (app, _) = good("sampan.toml", "[component.a]\nsource = \"a\"\n[[route]]\npath = \"/\"\nto = \"a\"");
    assert_eq!(app.dapr, None);
}

#[test]
fn what_is_wrong() {
    for (dapr, grant, marked, message, help) in [
        ("[dapr]\nhtpp = \"x\"", "", "htpp", "unknown key `htpp` in `dapr`", "`http`"),
        ("[dapr]\nhttp = \"3500\"", "", "\"3500\"", "not an address to listen on", "127.0.0.1"),
        ("[dapr]\napp_id = \"a b\"", "", "\"a b\"", "not a name for an app of Dapr", ""),
        ("[dapr]\napp_port = 0", "", "0", "from 1 to 65535", ""),
        ("[dapr]\napp_protocol = \"http\"", "", "app_protocol", "belongs to an app with `app_port`", ""),
        ("[dapr]\napp_port = 1\napp_protocol = \"htpt\"", "", "\"htpt\"", "no protocol `htpt`", "\"http\""),
        ("[dapr]\napp_port = 1\napp_host = \"h:80\"", "", "\"h:80\"", "`h:80` is not a host", "app_port"),
        ("[dapr]\nmax_body = \"0\"", "", "\"0\"", "`dapr.max_body`", "64MiB"),
        ("", "dapr = [\"*\"]", "\"*\"", "the app has no [dapr]", "add [dapr]"),
        ("[dapr]", "dapr = [\"store\"]", "\"store\"", "no component `store` for this app", "app:ID"),
        ("[dapr]", "dapr = [\"app:\"]", "\"app:\"", "names no app", "app:orders"),
        ("[dapr]", "messaging = [\"bus\"]", "\"bus\"", "there is no broker `bus`", "[messaging.NAME]"),
    ] {
        let text = manifest(dapr, grant);
        let findings = bad("sampan.toml", &text);
        let [(at, said, helped)] = &findings[..] else { panic!("{text}\n{findings:#?}") };
        assert_eq!(at, marked, "{text}");
        assert!(said.contains(message) && helped.contains(help), "{text}\n{said}\n{helped}");
    }
}

#[test]
fn names_of_the_folder_are_checked() {
    let dapr = "[dapr]\ncomponents = \"components\"";
    for (manifest, message, help) in [
        (manifest(dapr, "dapr = [\"statestor\"]"), "no component `statestor`", "did you mean `statestore`?"),
        (
            manifest(dapr, "dapr = [\"theirs\"]"),
            "no component `theirs`",
            "`scopes` leave out this app, `shop`",
        ),
        (manifest(dapr, "keyvalue = [\"statestor\"]"), "no store [keyvalue.statestor]", "`statestore`"),
        (manifest(dapr, "keyvalue = [\"theirs\"]"), "no store [keyvalue.theirs]", ""),
        (manifest(dapr, "keyvalue = [\"pubsub\"]"), "no store [keyvalue.pubsub]", ""),
        (manifest(dapr, "messaging = [\"pubsubb\"]"), "no broker `pubsubb`", "did you mean `pubsub`?"),
        (manifest(dapr, "messaging = [\"statestore\"]"), "no broker `statestore`", ""),
        (
            manifest(&format!("{dapr}\n[keyvalue.statestore]\ntype = \"memory\""), ""),
            "the name `statestore` is that of [keyvalue.statestore] and of a component in",
            "rename one",
        ),
        (manifest("[dapr]\ncomponents = \"nowhere\"", ""), "cannot read the folder", "component files"),
    ] {
        let folder = Folder::new(&[("sampan.toml", &manifest), ("components/all.yaml", RESOURCES)]);
        let findings = folder.read("sampan.toml").expect_err(&manifest);
        let [found] = &findings[..] else { panic!("{manifest}\n{findings:#?}") };
        assert!(found.message.contains(message), "{manifest}\n{found:#?}");
        assert!(found.help.clone().unwrap_or_default().contains(help), "{manifest}\n{found:#?}");
    }
}

#[test]
fn findings_of_the_folder_are_the_manifests() {
    let folder = Folder::new(&[
        ("sampan.toml", &format!("{}[[route]]\npaht = \"/\"\n", manifest("[dapr]\ncomponents = \".\"", ""))),
        (
            "a.yaml",
            "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: { name: x }\nspec: { tpye: a.b }\n",
        ),
        ("b.yaml", "kind: Unknown\n"),
    ]);
    let findings = folder.read("sampan.toml").expect_err("a slip in a file");
    let files: Vec<_> = findings.iter().map(|one| one.file.file_name().expect("a file").to_owned()).collect();
    assert!(files.is_sorted_by_key(|file| (file != "sampan.toml", file.clone())), "{files:?}");
    let shown = render(&findings, false);
    for part in ["a.yaml:4:9", "did you mean `type`?", "unknown key `paht`", "kind `Unknown` is passed over"]
    {
        assert!(shown.contains(part), "{part}\n{shown}");
    }

    let text = manifest("[dapr]\ncomponents = \"c\"", "");
    let folder = Folder::new(&[("sampan.toml", &text), ("c/b.yaml", "kind: Unknown\n")]);
    let (_, warnings) = folder.read("sampan.toml").expect("only doubtful");
    assert!(matches!(&warnings[..], [one] if one.severity == Severity::Warning), "{warnings:?}");
}

#[test]
fn tokens_are_not_shown() {
    for line in ["api_token = [\"hunter2\"]", "api_tokne = \"hunter2\"", "api_token = \"{{ hunter2\""] {
        let folder = Folder::new(&[("sampan.toml", &manifest(&format!("[dapr]\n{line}"), ""))]);
        let shown = render(&folder.read("sampan.toml").expect_err(line), false);
        assert!(!shown.contains("hunter2") && shown.contains("sampan.toml:"), "{line}\n{shown}");
    }
}
