//! Packages from a real registry of images, behind hosts that say where they are.

use crate::User;
use sampan_app::{Package, PackageVersion, Remote};
use sampan_images::{FetchError, Progress, fetch};
use sampan_testing::servers::{Nginx, Registry};
use sampan_testing::{HttpServer, Response};
use std::path::PathBuf;

const CODE: &[u8] = b"the code";

fn greeter(registry: Option<String>) -> Remote {
    versioned(registry, PackageVersion::Exact("1.2.0".to_owned()))
}

fn versioned(registry: Option<String>, version: PackageVersion) -> Remote {
    let [namespace, name] = ["acme", "greeter"].map(str::to_owned);
    Remote::Package(Package { registry, namespace, name, version })
}

impl User {
    fn package(&self, registry: Option<String>) -> Result<PathBuf, FetchError> {
        self.runtime.block_on(fetch(&greeter(registry), &self.settings))
    }

    #[track_caller]
    fn packaged(&self, registry: Option<String>) -> Vec<u8> {
        std::fs::read(self.package(registry).unwrap_or_else(|error| panic!("{error}"))).unwrap()
    }
}

/// A host whose packages lie in a registry, below `wasm/`.
fn front(registry: &Registry) -> Option<Nginx> {
    let metadata = format!(
        r#"{{"preferredProtocol": "oci", "oci": {{"registry": "127.0.0.1:{}", "namespacePrefix": "wasm/"}}}}"#,
        registry.port
    );
    let server = "server { listen 127.0.0.1:PORT; location /.well-known/wasm-pkg/ { alias FOLDER/; } }";
    Nginx::start(server, &[("registry.json", &metadata)])
}

#[test]
fn a_package_lies_where_its_registry_says() {
    let Some(mut registry) = Registry::start() else { return };
    let Some(mut front) = front(&registry) else { return };
    registry.push_wasm("wasm/acme/greeter", "1.2.0", CODE);
    let user = User::new();
    let name = || Some(format!("127.0.0.1:{}", front.port));
    assert_eq!(user.packaged(name()), CODE);
    assert_eq!(user.steps(), [Progress::PullBegins { bytes: 8 }, Progress::PullEnds]);
    assert_eq!(user.packaged(name()), CODE);
    assert_eq!(user.steps(), []);

    // Where the package is, is known from before, and then what it is.
    let name = name();
    front.kill();
    assert_eq!(user.packaged(name.clone()), CODE);
    registry.kill();
    assert_eq!(user.packaged(name.clone()), CODE);
    assert!(matches!(user.steps().as_slice(), [Progress::LastKnown { .. }]));
    let error = User::new().package(name).unwrap_err();
    assert!(error.to_string().contains("does not answer"), "{error}");
}

#[test]
fn without_a_word_the_host_is_the_registry() {
    let Some(registry) = Registry::start() else { return };
    registry.push_wasm("acme/greeter", "1.2.0", CODE);
    let (user, host) = (User::new(), format!("127.0.0.1:{}", registry.port));
    assert_eq!(user.packaged(Some(host.clone())), CODE);
    // By wkg's configuration; without that, nobody knows whom to ask.
    let nobody = user.package(None).unwrap_err();
    assert!(nobody.to_string().contains("no registry is known for packages of `acme`"), "{nobody}");
    assert!(nobody.help().contains("default_registry"), "{}", nobody.help());
    let config = user.settings.package_config.clone().unwrap();
    std::fs::write(&config, format!("default_registry = \"{host}\"")).unwrap();
    assert_eq!(user.packaged(None), CODE);
    let mapped = format!(
        "[namespace_registries]\nacme = {{ registry = \"acme\", \
         metadata = {{ preferredProtocol = \"oci\", oci = {{ registry = \"{host}\" }} }} }}"
    );
    std::fs::write(&config, mapped).unwrap();
    assert_eq!(user.packaged(None), CODE);
    std::fs::write(&config, "default_registry = \"").unwrap();
    assert!(user.package(None).unwrap_err().to_string().contains("wkg.toml"));
}

#[test]
fn the_newest_version_that_satisfies() {
    let Some(mut registry) = Registry::start() else { return };
    for version in ["1.2.0", "1.10.0", "1.9.0", "2.0.0", "2.1.0-rc.1", "latest"] {
        registry.push_wasm("acme/greeter", version, version.as_bytes());
    }
    let (user, host) = (User::new(), format!("127.0.0.1:{}", registry.port));
    let newest = |user: &User, requirement: &str| {
        let version = PackageVersion::Newest(requirement.to_owned());
        user.runtime.block_on(fetch(&versioned(Some(host.clone()), version), &user.settings))
    };
    for (requirement, version) in [
        ("^1.0", "1.10.0"),
        ("1.2", "1.10.0"),
        ("=1.2.0", "1.2.0"),
        (">=1", "2.0.0"),
        (">=1.2, <1.10", "1.9.0"),
    ] {
        let found = newest(&user, requirement).unwrap_or_else(|error| panic!("{requirement}: {error}"));
        assert_eq!(std::fs::read_to_string(found).unwrap(), version, "{requirement}");
    }
    let error = newest(&user, "^3").unwrap_err().to_string();
    assert!(error.contains("acme/greeter has no version that satisfies ^3"), "{error}");
    registry.kill();
    let found = newest(&user, "^1.0").unwrap();
    assert_eq!(std::fs::read_to_string(found).unwrap(), "1.10.0", "what it meant last");
    assert!(newest(&User::new(), "^1.0").unwrap_err().to_string().contains("does not answer"));
}

#[test]
fn tags_may_come_in_pages() {
    let server = HttpServer::start(|request| match &*request.target {
        "/v2/acme/greeter/tags/list" => Response::new(200, r#"{"name": "x", "tags": ["1.0.0", "2.0.0"]}"#)
            .with("Link", "</v2/acme/greeter/tags/list?last=2.0.0>; rel=\"next\""),
        "/v2/acme/greeter/tags/list?last=2.0.0" => Response::new(200, r#"{"name": "x", "tags": ["1.1.0"]}"#),
        _ => Response::new(404, ""),
    });
    let remote = versioned(Some(server.address.to_string()), PackageVersion::Newest("^1".to_owned()));
    let user = User::new();
    let error = user.runtime.block_on(fetch(&remote, &user.settings)).unwrap_err();
    assert!(error.to_string().contains("/acme/greeter:1.1.0: "), "{error}");
    // A list that leads to itself.
    let server = HttpServer::start(|request| match request.target.contains("/tags/") {
        true => Response::new(200, "{}").with("Link", "</v2/acme/greeter/tags/list>; rel=\"next\""),
        false => Response::new(404, ""),
    });
    let remote = versioned(Some(server.address.to_string()), PackageVersion::Newest("^1".to_owned()));
    let error = user.runtime.block_on(fetch(&remote, &user.settings)).unwrap_err();
    assert!(error.to_string().contains("more than 20 pages"), "{error}");
}

#[test]
fn a_missing_package_is_named_with_its_place() {
    let Some(registry) = Registry::start() else { return };
    let error = User::new().package(Some(format!("127.0.0.1:{}", registry.port))).unwrap_err();
    let place = format!("127.0.0.1:{}/acme/greeter:1.2.0: ", registry.port);
    assert!(error.to_string().starts_with(&place), "{error}");
    assert!(error.to_string().contains("no such image"), "{error}");
}

#[test]
fn hosts_that_say_something_else() {
    // A page in place of the file means nothing; a word that is understood and leads nowhere is an error.
    for (status, body, asked) in [
        (200, "<html>", true),
        (403, "", true),
        (500, "", true),
        (200, "{\"preferredProtocol\": \"warg\"}", false),
        (200, "{\"ociRegistry\": \"u:p@x\"}", false),
    ] {
        let server = HttpServer::start(move |request| match request.target.starts_with("/v2/") {
            true => Response::new(404, ""),
            false => Response::new(status, body),
        });
        let error = User::new().package(Some(server.address.to_string())).unwrap_err();
        let said = if asked { "no such image" } else { "/.well-known/wasm-pkg/registry.json: " };
        assert!(error.to_string().contains(said), "{status} {body}: {error}");
        assert_eq!(server.requests().len(), if asked { 2 } else { 1 }, "{status} {body}");
    }
}
