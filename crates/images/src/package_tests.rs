//! What registries and wkg's configuration say of packages, and what that means.

use super::*;
use serde_json::json;

fn greeter() -> Package {
    let [namespace, name, version] = ["acme", "greeter", "1.2.0"].map(str::to_owned);
    Package { registry: None, namespace, name, version: PackageVersion::Exact(version) }
}

#[test]
fn registries_say_where_their_packages_are() {
    for (registry, metadata, means) in [
        ("acme.dev", json!(null), "acme.dev/acme/greeter:1.2.0"),
        ("acme.dev:444", json!({}), "acme.dev:444/acme/greeter:1.2.0"),
        ("acme.dev", json!({ "oci": { "registry": "ghcr.io" } }), "ghcr.io/acme/greeter:1.2.0"),
        (
            "acme.dev",
            json!({ "preferredProtocol": "oci", "oci": { "registry": "ghcr.io", "namespacePrefix": "wasm/" } }),
            "ghcr.io/wasm/acme/greeter:1.2.0",
        ),
        // As it stood before; it counts where both are there.
        (
            "acme.dev",
            json!({ "ociRegistry": "ghcr.io", "ociNamespacePrefix": "old/", "oci": { "namespacePrefix": "new/" } }),
            "ghcr.io/old/acme/greeter:1.2.0",
        ),
        // Two ways, none preferred.
        (
            "acme.dev",
            json!({ "warg": { "url": "https://x" }, "oci": { "registry": "ghcr.io" } }),
            "ghcr.io/acme/greeter:1.2.0",
        ),
        ("acme.dev", json!({ "ociRegistry": "docker.io" }), "docker.io/acme/greeter:1.2.0"),
        ("acme.dev", json!({ "ociRegistry": "index.docker.io" }), "docker.io/acme/greeter:1.2.0"),
        ("acme.dev", json!([1]), "acme.dev/acme/greeter:1.2.0"),
        ("localhost:1", json!({ "ociRegistry": "127.0.0.1:2" }), "127.0.0.1:2/acme/greeter:1.2.0"),
    ] {
        let found = reference(&greeter(), registry, &metadata).and_then(|found| foreign(found, registry));
        let found = found.unwrap_or_else(|error| panic!("{registry} {metadata}: {error}"));
        assert_eq!(found.to_string(), means, "{registry} {metadata}");
    }
}

#[test]
fn registries_that_cannot_be_asked() {
    for (metadata, what) in [
        (json!({ "preferredProtocol": "warg", "oci": { "registry": "ghcr.io" } }), "by `warg`"),
        (json!({ "warg": { "url": "https://x" } }), "by `warg`"),
        (json!({ "wargUrl": "https://x" }), "by `warg`"),
        (json!({ "preferredProtocol": "local" }), "by `local`"),
        (json!({ "ociRegistry": "localhost:5000" }), "this machine"),
        (json!({ "ociRegistry": "127.0.0.1" }), "this machine"),
        (json!({ "ociRegistry": "ghcr.io/acme" }), "ghcr.io/acme is no registry"),
        (json!({ "ociRegistry": "ghcr" }), "ghcr is no registry"),
        (json!({ "ociRegistry": "u:p@ghcr.io" }), "is no image"),
        (json!({ "ociNamespacePrefix": "../" }), "is no image"),
        (json!({ "ociNamespacePrefix": "a".repeat(300) }), "too long"),
    ] {
        let found = reference(&greeter(), "acme.dev", &metadata);
        let error = found.and_then(|found| foreign(found, "acme.dev")).unwrap_err().to_string();
        assert!(error.starts_with("acme.dev/.well-known/") && error.contains(what), "{metadata}: {error}");
    }
}

/// The registry that a configuration gives a package, and what it says of it.
fn ask(text: &str, name: &str) -> Result<(String, Option<Value>), PackageError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    std::fs::write(&path, text).unwrap();
    let (namespace, name) = name.split_once(':').unwrap();
    let package = Package { namespace: namespace.to_owned(), name: name.to_owned(), ..greeter() };
    configured(&package, Some(&path)).map(|found| (found.registry, found.metadata))
}

#[test]
fn the_configuration_names_registries() {
    let text = "default_registry = \"default.dev\"\n\
        [namespace_registries]\nacme = \"acme.dev\"\n\
        mine = { registry = \"mine.dev\", metadata = { preferredProtocol = \"oci\", oci = { registry = \"ghcr.io\" } } }\n\
        [package_registry_overrides]\n\"acme:one\" = \"one.dev\"\n\
        [registry.\"acme.dev\".oci]\nauth = { username = \"open\", password = \"sesame\" }\n";
    let mine = json!({ "preferredProtocol": "oci", "oci": { "registry": "ghcr.io" } });
    for (name, registry, metadata) in [
        ("acme:one", "one.dev", None),
        ("acme:two", "acme.dev", None),
        ("mine:a", "mine.dev", Some(mine)),
        ("other:a", "default.dev", None),
        ("wasi:a", "default.dev", None),
    ] {
        assert_eq!(ask(text, name).unwrap(), (registry.to_owned(), metadata), "{name}");
    }
    for (name, registry) in [("wasi:http", "wasi.dev"), ("ba:sqlite", "bytecodealliance.org")] {
        assert_eq!(ask("", name).unwrap().0, registry);
    }
    let none = configured(&greeter(), Some(Path::new("/nowhere/config.toml"))).err().unwrap();
    assert!(matches!(&none, PackageError::NoRegistry(name) if name == "acme"), "{none}");
}

#[test]
fn configurations_that_are_none() {
    for (text, what) in [
        ("default_registry = \"sesame", "is no TOML"),
        ("default_registry = 1", "is no registry"),
        ("namespace_registries = { acme = { registry = \"a.dev\" } }", "is no registry"),
    ] {
        let error = ask(text, "acme:greeter").unwrap_err().to_string();
        assert!(error.contains(what) && error.contains("config.toml"), "{text}: {error}");
        assert!(!error.contains("sesame"), "{error}");
    }
}
