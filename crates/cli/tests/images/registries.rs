//! To registries and back: with a password, with TLS, and without either.

use crate::{User, hello};
use sampan_testing::finish;
use sampan_testing::servers::{REGISTRY_PASSWORD, REGISTRY_USER, Registry};

#[test]
fn push_and_pull() {
    let Some(registry) = Registry::start() else { return };
    let (maker, user) = (User::new(&[]), User::new(&[]));
    let name = registry.reference("acme/hello:1");
    let id = hello(&maker, &name);
    let pushed = maker.run(&["push", &name]);
    assert!(pushed.code == 0 && pushed.stdout.contains(": digest: sha256:"), "{pushed:?}");
    assert!(
        pushed.stderr.contains(": done\n"),
        "where there is no terminal, a line for each: {}",
        pushed.stderr
    );
    let pulled = user.good(&["pull", &name]);
    assert!(pulled.starts_with("Digest: sha256:") && pulled.contains("Downloaded newer image"), "{pulled}");
    assert!(pulled.ends_with(&format!("\n{name}\n")), "{pulled}");
    assert!(user.good(&["pull", &name]).contains("Image is up to date"));
    assert_eq!(user.good(&["pull", "-q", &name]), format!("{name}\n"));
    assert_eq!(user.good(&["images", "-q", "--no-trunc"]), format!("{id}\n"));
    // What is built on it comes by itself.
    let third = User::new(&[("Dockerfile", &format!("FROM {name}\nENV A=1\n")), ("x", "")]);
    third.good(&["build", "-t", "more", "."]);
    assert!(
        third
            .bad(&["pull", "--platform", "linux/amd64", &name])
            .contains("is for wasi/wasm, not for linux/amd64")
    );
    assert!(third.bad(&["pull", &registry.reference("no:1")]).contains("has no such image"));
    assert!(third.bad(&["push", "never:1"]).contains("there is no image"));
}

/// A registry of one's own, as companies have it: its certificate is one that only they know.
#[test]
fn a_closed_registry_with_tls() {
    let key = rcgen::KeyPair::generate().unwrap();
    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let certificate = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    let Some(registry) = Registry::start_tls(&certificate.pem(), &key.serialize_pem()) else { return };
    let user = User::new(&[("ca.pem", &certificate.pem())]);
    let host = format!("127.0.0.1:{}", registry.port);
    let name = registry.reference("hello:1");
    hello(&user, &name);
    let run = |args: &[&str], input: &str| {
        let mut command = user.command(args);
        command.env("SSL_CERT_FILE", user.files.path().join("ca.pem"));
        finish(&mut command, input)
    };
    // This machine is asked without TLS, unless it is said that it has it.
    let plain = run(&["push", &name], "");
    assert_eq!(plain.code, 1, "{plain:?}");
    std::fs::write(
        user.data.path().join("registries.json"),
        format!("{{\"{host}\": {{\"insecure\": false}}}}"),
    )
    .unwrap();
    let closed = run(&["push", &name], "");
    assert!(closed.code == 1 && closed.stderr.contains("docker login"), "{closed:?}");
    let wrong = run(&["login", "-u", REGISTRY_USER, "--password-stdin", &host], "wrong\n");
    assert!(wrong.code == 1 && wrong.stderr.contains("401"), "{wrong:?}");
    let login =
        run(&["login", "-u", REGISTRY_USER, "--password-stdin", &host], &format!("{REGISTRY_PASSWORD}\n"));
    assert_eq!((login.code, login.stdout.as_str()), (0, "Login Succeeded\n"), "{}", login.stderr);
    assert_eq!(run(&["push", "-q", &name], "").stdout, format!("{name}\n"));
    assert_eq!(run(&["pull", "-q", &name], "").stdout, format!("{name}\n"));
    // Without its certificate it could be anybody.
    let unknown = user.run(&["pull", &name]);
    assert!(unknown.code == 1 && unknown.stderr.contains("certificate"), "{unknown:?}");
    assert!(run(&["logout", &host], "").stdout.starts_with("Removed"));
    assert!(run(&["push", &name], "").code == 1);
    let nobody = run(&["login", &host], "");
    assert!(nobody.code == 1 && nobody.stderr.contains("--password-stdin"), "{nobody:?}");
}

#[test]
fn a_list_of_registries_that_is_wrong() {
    let user = User::new(&[]);
    std::fs::write(user.data.path().join("registries.json"), "{\"docker.io\": {\"mirrors\": \"x\"}}")
        .unwrap();
    let said = user.bad(&["pull", "hello"]);
    assert!(said.contains("registries.json") && said.contains("help: write"), "{said}");
}
