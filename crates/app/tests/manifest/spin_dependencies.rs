//! `dependencies` of a component of Spin.

use crate::{bad, good};
use sampan_app::{Dependency, PackageVersion, Remote};
use std::path::Path;

const DIGEST: &str = "sha256:ef88708817e107bf49985c7cefe4dd1f199bf26f6727819183d5c996baa3d148";

fn manifest(more: &str) -> String {
    format!(
        "spin_manifest_version = 2\n[application]\nname = \"a\"\n[[trigger.http]]\nroute = \"/...\"\n\
         component = \"ui\"\n[component.ui]\nsource = \"ui.wasm\"\n{more}"
    )
}

fn read(more: &str) -> Vec<Dependency> {
    let (app, warnings) = good("spin.toml", &manifest(more));
    assert_eq!(warnings.len(), 0, "{warnings:?}");
    app.components.into_iter().next().unwrap().dependencies
}

#[test]
fn every_form_has_its_meaning() {
    let dependencies = read(&format!(
        "[component.ui.dependencies]\n\
         \"aws:client\" = \"1.0.0\"\n\
         \"a:b/c@1.2.0\" = {{ version = \">=0.1, <2\", registry = \"r.dev\", package = \"x:y\", export = \"x:y/c\" }}\n\
         plain = {{ path = \"lib/plain.wasm\", inherit_configuration = true }}\n\
         \"d:e@0.1.0\" = {{ url = \"https://a/e.wasm\", digest = \"{DIGEST}\", inherit_configuration = false }}\n"
    ));
    let shown = |one: &Dependency| one.remote.as_ref().map(Remote::to_string).unwrap_or_default();
    let [client, package, plain, url] = dependencies.as_slice() else { panic!("{dependencies:#?}") };
    assert_eq!((client.name.as_str(), shown(client).as_str()), ("aws:client", "package aws:client@^1.0.0"));
    assert_eq!((client.inherits, client.export.as_deref()), (false, None));
    let Some(Remote::Package(found)) = &package.remote else { panic!("{package:#?}") };
    assert_eq!(found.registry.as_deref(), Some("r.dev"));
    assert_eq!(found.version, PackageVersion::Newest(">=0.1, <2".to_owned()));
    assert_eq!((found.to_string().as_str(), package.export.as_deref()), ("x:y@>=0.1, <2", Some("x:y/c")));
    assert_eq!((plain.source.as_path(), plain.inherits), (Path::new("/no/such/folder/lib/plain.wasm"), true));
    assert_eq!((shown(url).as_str(), url.inherits), ("https://a/e.wasm", false));

    let all = "dependencies_inherit_configuration = true\n[component.ui.dependencies]\n\
         \"a:b\" = \"1\"\n\"c:d\" = { path = \"d.wasm\", inherit_configuration = false }\n";
    assert_eq!(read(all).iter().map(|one| one.inherits).collect::<Vec<_>>(), [true, false]);
    assert_eq!(read("[component.ui.dependencies]\n"), []);
}

#[test]
fn what_is_wrong_is_marked() {
    for (entry, marked, message, help) in [
        ("\"a:b\" = 1", "1", "expected a version, or a table", ""),
        ("\"a:b\" = \"one\"", "\"one\"", "no requirement of a version", ">=1.0"),
        ("\"a:b\" = {}", "{}", "names no file", "path"),
        ("\"a:b\" = { path = \"x\", version = \"1\" }", "version", "unknown key", ""),
        ("\"a:b\" = { path = \"x\", exports = \"y\" }", "exports", "unknown key", "`export`"),
        ("\"a:b\" = { url = \"https://a\" }", "{ url = \"https://a\" }", "has no `digest`", "sha256sum"),
        ("\"a:b\" = { version = \"1\", package = \"x\" }", "\"x\"", "not the name of a package", ""),
        ("\"a:b\" = { version = \"1\", registry = \"/\" }", "\"/\"", "is not a registry", ""),
        ("plain = \"1\"", "plain", "in which package it is", "`package = "),
        ("\"A:b\" = \"1\"", "\"A:b\"", "not the name of an import", "NAMESPACE"),
        ("\"a:b/c/d\" = \"1\"", "\"a:b/c/d\"", "not the name of an import", ""),
        ("\"a:b@1\" = \"1\"", "\"a:b@1\"", "not the name of an import", ""),
        ("\"plain@1.0.0\" = \"1\"", "\"plain@1.0.0\"", "not the name of an import", ""),
        ("\"a:b\" = { component = \"x\" }", "component", "by `component` is not supported yet", "`path`"),
        (
            "\"a:b\" = { path = \"x\", environment = { A = \"1\" } }",
            "environment",
            "`environment` of a dependency is not supported yet",
            "remove it",
        ),
        (
            "\"a:b\" = { path = \"x\", inherit_configuration = [\"ai_models\"] }",
            "[\"ai_models\"]",
            "inherits a part is not supported yet",
            "`true`",
        ),
        ("\"a:b\" = { path = \"x\", inherit_configuration = 1 }", "1", "expected true or false", ""),
    ] {
        let findings = bad("spin.toml", &manifest(&format!("[component.ui.dependencies]\n{entry}\n")));
        let [(at, said, helped)] = findings.as_slice() else { panic!("{entry}: {findings:#?}") };
        assert_eq!(at, marked, "{entry}: {said}");
        assert!(said.contains(message), "{entry}: {said}");
        assert!(helped.contains(help), "{entry}: {helped}");
    }
}
