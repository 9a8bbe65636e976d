//! `source` of a component of Spin that is no file of the app.

use crate::{bad, good};
use sampan_app::{Outline, Package, Remote};
use std::path::PathBuf;

const DIGEST: &str = "sha256:ef88708817e107bf49985c7cefe4dd1f199bf26f6727819183d5c996baa3d148";

/// Both versions, with a component of that source.
fn manifests(source: &str) -> [String; 2] {
    [
        format!(
            "spin_manifest_version = \"1\"\nname = \"a\"\ntrigger = {{ type = \"http\" }}\n\
             [[component]]\nid = \"ui\"\nsource = {source}\n[component.trigger]\nroute = \"/...\"\n"
        ),
        format!(
            "spin_manifest_version = 2\n[application]\nname = \"a\"\n[[trigger.http]]\nroute = \"/...\"\n\
             component = \"ui\"\n[component.ui]\nsource = {source}\n"
        ),
    ]
}

#[test]
fn files_of_the_web() {
    // What `spin new -t static-fileserver` writes.
    let url = "https://github.com/spinframework/spin-fileserver/releases/download/v0.3.0/spin_static_fs.wasm";
    let source = format!("{{ url = \"{url}\", digest = \"{DIGEST}\" }}");
    for text in manifests(&source) {
        let (app, warnings) = good("spin.toml", &text);
        assert_eq!(warnings.len(), 0, "{warnings:?}");
        let Some(Remote::Download(download)) = &app.components[0].remote else { panic!("{app:#?}") };
        assert_eq!((download.url.as_str(), download.digest.to_string().as_str()), (url, DIGEST));
        assert_eq!(app.components[0].source, PathBuf::new());
        assert_eq!(&text[Outline::of(&text).components["ui"].clone()], source);
    }
    // A component that is written where it is used, and a server in one's own network.
    let [_, text] = manifests("\"ui.wasm\"");
    let inline =
        format!("component = {{ source = {{ url = \"http://files/a.wasm\", digest = \"{DIGEST}\" }} }}");
    let (app, _) = good("spin.toml", &text.replace("component = \"ui\"", &inline));
    let remotes = app.components.iter().filter_map(|component| component.remote.as_ref());
    assert_eq!(remotes.map(Remote::to_string).collect::<Vec<_>>(), ["http://files/a.wasm"]);
}

#[test]
fn packages_of_registries() {
    for (keys, registry, shown) in [
        (
            "registry = \"ttl.sh\", package = \"user:test\", version = \"1.0.0\"",
            Some("ttl.sh"),
            "user:test@1.0.0",
        ),
        ("package = \"a-b:c2\", version = \"0.1.0-rc.1\"", None, "a-b:c2@0.1.0-rc.1"),
        (
            "registry = \"localhost:5000\", package = \"a:b\", version = \"1.0.0\"",
            Some("localhost:5000"),
            "a:b@1.0.0",
        ),
    ] {
        for text in manifests(&format!("{{ {keys} }}")) {
            let (app, _) = good("spin.toml", &text);
            let Some(Remote::Package(package)) = &app.components[0].remote else { panic!("{app:#?}") };
            let Package { registry: found, .. } = package;
            assert_eq!((found.as_deref(), package.to_string().as_str()), (registry, shown));
        }
    }
}

#[test]
fn a_build_makes_the_files_of_code_from_elsewhere() {
    let [_, text] = manifests(&format!("{{ url = \"https://a/b.wasm\", digest = \"{DIGEST}\" }}"));
    let (app, _) = good("spin.toml", &format!("{text}[component.ui.build]\ncommand = \"npm run build\"\n"));
    assert_eq!(app.components[0].build.as_ref().unwrap().commands, ["npm run build"]);
}

#[test]
fn what_is_wrong_is_marked() {
    let upper = DIGEST.to_uppercase();
    let sha512 = format!("sha512:{}", "0".repeat(128));
    let url = "url = \"https://a/b.wasm\"";
    let table = |keys: &str| format!("{{ {keys} }}");
    let with_digest = |url: &str| format!("{{ url = {url}, digest = \"{DIGEST}\" }}");
    let package = |keys: &str| format!("{{ registry = \"a\", {keys} }}");
    let cases = [
        (table(url), table(url), "has no `digest`", "sha256sum"),
        (table(&format!("digest = \"{DIGEST}\"")), String::new(), "has no `url`", "https://"),
        (table(&format!("{url}, digest = \"\"")), "\"\"".into(), "is not the SHA-256", "64 digits"),
        (table(&format!("{url}, digest = \"sha256:1\"")), "\"sha256:1\"".into(), "is not the SHA-256", "64"),
        (
            table(&format!("{url}, digest = \"{upper}\"")),
            format!("\"{upper}\""),
            "is not the SHA-256",
            "lower",
        ),
        (table(&format!("{url}, digest = \"{sha512}\"")), format!("\"{sha512}\""), "is not the SHA-256", ""),
        (table(&format!("{url}, digest = 1")), "1".into(), "expected a string", ""),
        (with_digest("\"b.wasm\""), "\"b.wasm\"".into(), "this is not a URL", "https://"),
        (with_digest("\"ftp://a/b\""), "\"ftp://a/b\"".into(), "not fetched by `ftp`", "https://"),
        (with_digest("\"file:///b\""), "\"file:///b\"".into(), "not fetched by `file`", "https://"),
        (with_digest("\"https://\""), "\"https://\"".into(), "empty host", "https://"),
        (
            table(&format!("{url}, digest = \"{DIGEST}\", version = \"1\"")),
            "version".into(),
            "unknown key `version`",
            "digest, url",
        ),
        (table(""), table(""), "names no file", "NAMESPACE:NAME"),
        (table("path = \"a\""), table("path = \"a\""), "names no file", ""),
        (package("version = \"1.0.0\""), String::new(), "has no `package`", "NAMESPACE:NAME"),
        (package("package = \"a:b\""), String::new(), "has no `version`", "1.0.0"),
        (package("package = \"ab\", version = \"1.0.0\""), "\"ab\"".into(), "not the name of a package", ""),
        (
            package("package = \"a:B\", version = \"1.0.0\""),
            "\"a:B\"".into(),
            "not the name of",
            "lower-case",
        ),
        (package("package = \"a:b/c\", version = \"1.0.0\""), "\"a:b/c\"".into(), "not the name of", ""),
        (package("package = \"a:1b\", version = \"1.0.0\""), "\"a:1b\"".into(), "not the name of", ""),
        (
            package("package = \"a:b\", version = \"^1.0\""),
            "\"^1.0\"".into(),
            "is not a version",
            "one version",
        ),
        (package("package = \"a:b\", version = \"1\""), "\"1\"".into(), "is not a version", ""),
        (package("package = \"a:b\", version = \"1.0.0+x\""), "\"1.0.0+x\"".into(), "no registry has", "`+`"),
        (
            "{ registry = \"https://a\", package = \"a:b\", version = \"1.0.0\" }".into(),
            "\"https://a\"".into(),
            "`https://a` is not a registry",
            "HOST:PORT",
        ),
        ("5".into(), "5".into(), "expected the path of a file, or a table", ""),
        ("\"\"".into(), "\"\"".into(), "`source` is empty", ""),
    ];
    for (source, marked, message, help) in &cases {
        for text in manifests(source) {
            let findings = bad("spin.toml", &text);
            let [(at, said, helped)] = findings.as_slice() else { panic!("{source}: {findings:#?}") };
            let marked = if marked.is_empty() { source } else { marked };
            assert_eq!(at, marked, "{source}: {said}");
            assert!(said.contains(message), "{source}: {said}");
            assert!(helped.contains(help), "{source}: {helped}");
        }
    }
}
