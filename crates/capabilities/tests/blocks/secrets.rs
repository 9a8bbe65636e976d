//! Every secret store: what it has, what it has not, and what it must not show.

use crate::with::{Pairs, properties, run, soon, texts};
use sampan_capabilities::GrantError;
use sampan_capabilities::secrets::component::{describe, open};
use sampan_capabilities::secrets::{SECRET_BYTES_MAX, SecretError, Secrets};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

async fn try_open(kind: &str, values: &[(&str, &str)]) -> Result<Secrets, GrantError> {
    let description = describe(kind, &properties(values)).expect("metadata").expect("a secret store");
    open("test", &description).await
}

async fn opened(kind: &str, values: &[(&str, &str)]) -> Secrets {
    try_open(kind, values).await.unwrap_or_else(|error| panic!("{}", error.what))
}

async fn get(store: &Secrets, name: &str) -> Result<BTreeMap<String, String>, SecretError> {
    soon(store.get(name, &BTreeMap::new())).await
}

fn not_found(name: &str) -> SecretError {
    SecretError::NotFound(name.to_owned())
}

const FILE: &str = r#"{
    "plain": "text", "empty": "", "number": 5, "truth": true, "nothing": null,
    "redis": {"password": "hunter2", "ports": [6379, 6380], "deep": {"er": "x"}}
}"#;

/// A folder with the file, and the file's path.
fn file(text: &str) -> (tempfile::TempDir, String) {
    let folder = sampan_testing::temp_dir();
    let path = folder.path().join("secrets.json");
    fs::write(&path, text).expect("a file in our own folder");
    let path = path.to_str().expect("a path in UTF-8").to_owned();
    (folder, path)
}

#[test]
fn a_file_of_single_values_is_flattened() {
    run(async {
        let (_folder, path) = file(FILE);
        let store = opened("secretstores.local.file", &[("secretsFile", &path)]).await;
        let table = [
            ("plain", "text"),
            ("empty", ""),
            ("number", "5"),
            ("truth", "true"),
            ("nothing", ""),
            ("redis:password", "hunter2"),
            ("redis:ports:0", "6379"),
            ("redis:ports:1", "6380"),
            ("redis:deep:er", "x"),
        ];
        for (name, value) in table {
            assert_eq!(get(&store, name).await, Ok(texts(&[(name, value)])), "{name}");
        }
        let all = store.all().await.expect("all secrets");
        assert_eq!(all.len(), table.len());
        assert_eq!(all["redis:password"], texts(&[("redis:password", "hunter2")]));
        for name in ["redis", "absent", "", "redis:", "PLAIN"] {
            assert_eq!(get(&store, name).await, Err(not_found(name)));
        }
        assert_eq!(not_found("absent").to_string(), "secret absent not found");
        assert!(store.capabilities().is_empty());

        let dotted =
            opened("secretstores.local.file", &[("secretsFile", &path), ("nestedSeparator", ".")]).await;
        assert_eq!(get(&dotted, "redis.deep.er").await, Ok(texts(&[("redis.deep.er", "x")])));
    });
}

#[test]
fn a_file_of_many_values_keeps_what_belongs_together() {
    run(async {
        let (_folder, path) = file(FILE);
        let values = [("secretsFile", path.as_str()), ("multiValued", "true")];
        let store = opened("secretstores.local.file", &values).await;
        let redis =
            texts(&[("password", "hunter2"), ("ports:0", "6379"), ("ports:1", "6380"), ("deep:er", "x")]);
        assert_eq!(get(&store, "redis").await, Ok(redis));
        assert_eq!(get(&store, "plain").await, Ok(texts(&[("plain", "text")])));
        assert_eq!(get(&store, "redis:password").await, Err(not_found("redis:password")));
        assert_eq!(store.all().await.expect("all secrets").len(), 6);
        assert_eq!(store.capabilities(), ["MULTIPLE_KEY_VALUES_PER_SECRET"]);
    });
}

#[test]
fn a_file_that_is_none_of_secrets_is_an_error_that_shows_no_value() {
    run(async {
        let table = [
            (r#"{"a": "hunter2""#, "is no JSON object: line 1, column"),
            (r#"["hunter2"]"#, "is no JSON object"),
            ("", "is no JSON object"),
            (r#"{"a": {"b": "hunter2"}, "a:b": "hunter2"}"#, "two secrets of the name `a:b`"),
        ];
        for (text, expected) in table {
            let (_folder, path) = file(text);
            let error =
                try_open("secretstores.local.file", &[("secretsFile", &path)]).await.err().expect(text);
            assert!(error.what.contains(expected) && error.what.contains(&path), "{text}: {}", error.what);
            assert!(!error.what.contains("hunter2"), "{}", error.what);
            assert!(error.help.is_some());
        }
        let absent =
            try_open("secretstores.local.file", &[("secretsFile", "/nonexistent/secrets.json")]).await;
        let error = absent.err().expect("no file");
        assert!(error.what.contains("cannot read /nonexistent/secrets.json: No such file"), "{}", error.what);
    });
}

#[test]
fn the_environment_without_daprs_own_doors() {
    run(async {
        // Cargo sets these for every test.
        let store = opened("secretstores.local.env", &[]).await;
        let name = "CARGO_PKG_NAME";
        assert_eq!(get(&store, name).await, Ok(texts(&[(name, "sampan-capabilities")])));
        let all = store.all().await.expect("all secrets");
        assert_eq!(all[name], texts(&[(name, "sampan-capabilities")]));
        // As Dapr answers what is not there.
        assert_eq!(get(&store, "NO_SUCH_VARIABLE").await, Ok(texts(&[("NO_SUCH_VARIABLE", "")])));

        let store = opened("secretstores.local.env", &[("prefix", "CARGO_PKG_")]).await;
        assert_eq!(get(&store, "NAME").await, Ok(texts(&[("NAME", "sampan-capabilities")])));
        assert_eq!(get(&store, name).await, Ok(texts(&[(name, "")])), "the prefix counts always");
        assert!(!store.all().await.expect("all secrets").contains_key("PATH"));
    });
}

/// A Secret as the kubelet mounts it: files behind links, so that all change at once.
fn mount(root: &Path, name: &str, values: &[(&str, &[u8])]) {
    let folder = root.join(name);
    fs::create_dir_all(folder.join("..2026_01_01")).expect("a folder");
    let _ = fs::remove_file(folder.join("..data"));
    symlink("..2026_01_01", folder.join("..data")).expect("a link");
    for (key, value) in values {
        fs::write(folder.join("..2026_01_01").join(key), value).expect("a file");
        let _ = fs::remove_file(folder.join(key));
        symlink(format!("..data/{key}"), folder.join(key)).expect("a link");
    }
}

#[test]
fn secrets_that_kubernetes_mounts() {
    run(async {
        let folder = sampan_testing::temp_dir();
        mount(folder.path(), "db", &[("user", b"ann"), ("password", b"hunter2\n"), (".hidden", b"1")]);
        mount(folder.path(), "tls", &[("ca.crt", b"\xff")]);
        fs::create_dir(folder.path().join("empty")).expect("a folder");
        fs::write(folder.path().join("stray"), "file").expect("a file");
        let path = folder.path().to_str().expect("a path in UTF-8");
        let values = [("secretsPath", path), ("defaultNamespace", "shop")];
        let store = opened("secretstores.kubernetes", &values).await;
        let db = texts(&[("user", "ann"), ("password", "hunter2\n"), (".hidden", "1")]);
        assert_eq!(get(&store, "db").await, Ok(db.clone()));
        assert_eq!(get(&store, "empty").await, Ok(BTreeMap::new()));
        assert_eq!(get(&store, "tls").await, Ok(texts(&[("ca.crt", "\u{fffd}")])));
        let all = store.all().await.expect("all secrets");
        assert_eq!(all.keys().collect::<Vec<_>>(), ["db", "empty", "tls"]);
        assert_eq!(all["db"], db);

        let within = |namespace| texts(&[("namespace", namespace)]);
        assert_eq!(store.get("db", &within("shop")).await, Ok(db));
        let error = store.get("db", &within("bank")).await.expect_err("another namespace");
        assert_eq!(error, SecretError::OtherNamespace("bank".to_owned()));

        // The kubelet brings new values.
        mount(folder.path(), "db", &[("user", b"bob")]);
        assert_eq!(get(&store, "db").await.expect("a secret")["user"], "bob");
    });
}

#[test]
fn no_name_leads_out_of_the_folder() {
    run(async {
        let outer = sampan_testing::temp_dir();
        let folder = outer.path().join("secrets");
        mount(&folder, "db", &[("user", b"ann")]);
        mount(outer.path(), "other", &[("password", b"hunter2")]);
        fs::write(outer.path().join("password"), "hunter2").expect("a file");
        symlink("../other", folder.join("link")).expect("a link");
        symlink(outer.path().join("password"), folder.join("db/absolute")).expect("a link");
        symlink("../../password", folder.join("db/relative")).expect("a link");
        let path = folder.to_str().expect("a path in UTF-8");
        let store = opened("secretstores.kubernetes", &[("secretsPath", path)]).await;
        for name in ["..", ".", "../other", "db/..", "", "/etc", "db/../../other", "..data", "a\0b"] {
            assert_eq!(get(&store, name).await, Err(not_found(name)), "{name:?}");
        }
        let error = get(&store, "link").await.expect_err("a link out of the folder");
        assert!(matches!(error, SecretError::Unavailable(_)), "{error}");
        assert_eq!(
            get(&store, "db").await,
            Ok(texts(&[("user", "ann")])),
            "links of keys that lead out are none"
        );
        let long = "x".repeat(5000);
        assert!(matches!(get(&store, &long).await, Err(SecretError::TooLarge { .. })));
        fs::write(folder.join("db/large"), vec![b'x'; SECRET_BYTES_MAX + 1]).expect("a file");
        assert!(matches!(get(&store, "db").await, Err(SecretError::TooLarge { what: "a secret", .. })));
    });
}

#[test]
fn metadata_are_read_and_their_faults_said() {
    assert_eq!(describe("secretstores.hashicorp.vault", &properties(&[])), Ok(None));
    let table: [(&str, Pairs, &str); 3] = [
        ("secretstores.local.file", &[], "secretsFile"),
        ("secretstores.local.file", &[("secretsFile", "a"), ("multiValued", "perhaps")], "multiValued"),
        ("secretstores.kubernetes", &[], "secretsPath"),
    ];
    for (kind, values, name) in table {
        let error = describe(kind, &properties(values)).expect_err(kind);
        assert_eq!(error.name, name, "{kind}: {error}");
        assert!(!error.help.is_empty());
    }
}
