//! Images: built, named, saved, loaded, pushed, pulled and removed by the `docker` command.

use crate::{Engine, dockers};
use sampan_testing::finish;
use sampan_testing::servers::Registry;
use std::fs;

#[test]
fn builds() {
    let engine = Engine::start();
    let context = engine.path().join("made");
    fs::create_dir(&context).unwrap();
    fs::write(context.join("hello"), "text").unwrap();
    let dockerfile = "FROM guests\nARG WHO\nCOPY hello /\nLABEL who=$WHO\nCMD [\"lines\", \"1\"]\n";
    fs::write(context.join("Dockerfile"), dockerfile).unwrap();
    for docker in dockers() {
        let build =
            ["build", "-t", "made:1", "-t", "made:2", "--build-arg", "WHO=me", "--label", "x=y", "made"];
        let shown = engine.good(&docker, &build);
        for part in ["Step 1/5 : FROM guests", "Successfully built", "Successfully tagged made:2"] {
            assert!(shown.contains(part), "no {part} in {shown}");
        }
        let id = engine.good(
            &docker,
            &["build", "-q", "-t", "made:1", "--build-arg", "WHO=me", "--label", "x=y", "made"],
        );
        let about = "{{.Id}} {{.Config.Labels.who}} {{.Config.Labels.x}} {{.Os}}/{{.Architecture}}";
        assert_eq!(
            engine.good(&docker, &["image", "inspect", "-f", about, "made:2"]),
            format!("{id} me y wasi/wasm")
        );
        assert_eq!(engine.good(&docker, &["run", "--rm", "made:1"]), "0");
        assert!(engine.good(&docker, &["history", "made:1"]).contains("COPY hello"));

        for (text, why) in [
            ("FROM scratch\nRUN make\n", "RUN"),
            ("FROM scratch\nNONSENSE\n", "Dockerfile:2"),
            ("FROM scratch\nCOPY missing /\n", "missing"),
        ] {
            let mut build = engine.client(&docker);
            let built = finish(build.args(["build", "-t", "wrong", "-"]), text);
            assert!(
                built.code != 0 && built.stderr.contains(why),
                "{text}: {}{}",
                built.stdout,
                built.stderr
            );
        }
        assert_eq!(engine.good(&docker, &["images", "-q", "wrong"]), "");
        engine.good(&docker, &["rmi", "made:1", "made:2"]);
    }
}

#[test]
fn names_and_archives() {
    let engine = Engine::start();
    let archive = engine.path().join("saved.tar").display().to_string();
    for docker in dockers() {
        let good = |arguments: &[&str]| engine.good(&docker, arguments);
        good(&["tag", "guests", "other:1"]);
        let rows = good(&["images", "--format", "{{.Repository}}:{{.Tag}}"]);
        let mut rows: Vec<&str> = rows.lines().collect();
        rows.sort_unstable();
        assert_eq!(rows, ["guests:latest", "other:1"]);
        good(&["save", "-o", &archive, "other:1"]);
        assert!(good(&["rmi", "other:1"]).contains("Untagged: other:1"));
        assert!(good(&["load", "-i", &archive]).contains("Loaded image: other:1"));
        let id = good(&["create", "other:1"]);
        good(&["rmi", "other:1"]);
        let used = engine.docker(&docker, &["rmi", "guests"]);
        assert!(used.code != 0 && used.stderr.contains("container is using"), "{}", used.stderr);
        good(&["rm", &id]);
        let missing = engine.docker(&docker, &["image", "inspect", "missing"]);
        assert!(missing.stderr.contains("No such image: missing"), "{}", missing.stderr);
        assert!(good(&["system", "df"]).contains("Images"));
    }
}

#[test]
fn registries() {
    let Some(registry) = Registry::start() else { return };
    let engine = Engine::start();
    let name = registry.reference("guests:1");
    for docker in dockers() {
        engine.good(&docker, &["tag", "guests", &name]);
        let pushed = engine.good(&docker, &["push", &name]);
        assert!(pushed.contains("1: digest: sha256:"), "{pushed}");
        engine.good(&docker, &["rmi", &name]);
        // `run` pulls what is not here.
        let run = engine.docker(&docker, &["run", "--rm", &name, "lines", "1"]);
        assert_eq!(run.stdout, "0\n", "{}", run.stderr);
        let pulled = engine.good(&docker, &["pull", &name]);
        assert!(pulled.contains("Pulling from guests") && pulled.contains("Digest: sha256:"), "{pulled}");
        engine.good(&docker, &["rmi", &name]);
        let missing = engine.docker(&docker, &["pull", &registry.reference("missing:1")]);
        assert!(missing.code != 0 && missing.stderr.contains("no such image"), "{}", missing.stderr);
    }
}

#[test]
fn registries_that_want_to_know_who_asks() {
    use sampan_testing::servers::{REGISTRY_PASSWORD, REGISTRY_USER};
    let Some(registry) = Registry::start_closed() else { return };
    let engine = Engine::start();
    let host = registry.reference("");
    let host = host.trim_end_matches('/');
    let name = registry.reference("guests:1");
    for docker in dockers() {
        engine.good(&docker, &["tag", "guests", &name]);
        let refused = engine.docker(&docker, &["push", &name]);
        assert!(refused.code != 0, "{}", refused.stdout);
        let mut wrong = engine.client(&docker);
        wrong.args(["login", "-u", REGISTRY_USER, "--password-stdin", host]);
        assert_ne!(finish(&mut wrong, "wrong").code, 0);
        let mut login = engine.client(&docker);
        login.args(["login", "-u", REGISTRY_USER, "--password-stdin", host]);
        let login = finish(&mut login, REGISTRY_PASSWORD);
        assert!(login.stdout.contains("Login Succeeded"), "{}", login.stderr);
        engine.good(&docker, &["push", &name]);
        engine.good(&docker, &["logout", host]);
    }
}
