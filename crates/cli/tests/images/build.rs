//! `sampan build` of images.

use crate::User;
use sampan_testing::finish;
use serde_json::Value;

const DOCKERFILE: &str = "ARG WHO=world\nFROM scratch AS files\nARG WHO\nCOPY public /srv/\nCOPY <<EOF /srv/who\n$WHO\nEOF\n\
                          FROM scratch\nCOPY app.wasm /\nCOPY --from=files /srv /srv\nENTRYPOINT [\"/app.wasm\"]\n";

#[test]
fn an_image_by_a_dockerfile() {
    let user = User::new(&[("app.wasm", "code"), ("public/index.html", "hi"), ("Dockerfile", DOCKERFILE)]);
    let first = user.run(&["build", "-t", "app:1", "-t", "app:latest", "."]);
    assert_eq!(first.code, 0, "{first:?}");
    assert!(first.stderr.contains("#2/9 ARG WHO\n") && !first.stderr.contains("CACHED"), "{}", first.stderr);
    assert!(
        first.stdout.starts_with("sha256:") && first.stdout.ends_with(" app:1 app:latest\n"),
        "{}",
        first.stdout
    );
    let second = user.run(&["build", "-t", "app:1", "-t", "app:latest", "."]);
    assert_eq!(second.stdout, first.stdout, "the same image");
    assert_eq!(second.stderr.matches("CACHED").count(), 4, "{}", second.stderr);
    let other = User::new(&[("app.wasm", "code"), ("public/index.html", "hi"), ("Other", DOCKERFILE)]);
    assert_eq!(other.good(&["build", "-f", "Other", "-t", "app:1", "-t", "app:latest", "."]), first.stdout);
    let changed =
        other.good(&["build", "-f", "Other", "-t", "app:1", "--build-arg", "WHO=me", "--label", "a=b", "."]);
    assert_ne!(changed, first.stdout);
    let described: Value = serde_json::from_str(&other.good(&["inspect", "app:1"])).unwrap();
    assert_eq!(described[0]["Config"]["Labels"]["a"], "b");
    let stage = user.good(&["build", "-q", "--target", "files", "."]);
    assert!(user.good(&["images"]).contains("<none>"), "an image without a name");
    user.good(&["rmi", stage.trim()]);
    let mut command = user.command(&["build", "-q", "."]);
    command.env("SOURCE_DATE_EPOCH", "1700000000");
    let id = finish(&mut command, "").stdout;
    let described: Value = serde_json::from_str(&user.good(&["inspect", id.trim()])).unwrap();
    assert_eq!(described[0]["Created"], "2023-11-14T22:13:20Z");
}

#[test]
fn a_context_from_standard_input() {
    let user = User::new(&[]);
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in [("Dockerfile", "FROM scratch\nCOPY a /\n"), ("a", "a")] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, content.as_bytes()).unwrap();
    }
    let archive = archive.into_inner().unwrap();
    let built = finish(&mut user.command(&["build", "-t", "piped", "-"]), &archive);
    assert!(built.code == 0 && built.stdout.ends_with(" piped:latest\n"), "{built:?}");
    let built = finish(&mut user.command(&["build", "-t", "piped", "-"]), "<html>");
    assert!(built.code == 1 && built.stderr.contains("the build context"), "{built:?}");
}

#[test]
fn a_whole_app() {
    let manifest = "[app]\nname = \"shop\"\n[component.api]\nsource = \"api.wat\"\n\
                    build = { command = \"echo '(module)' > api.wat\" }\n[[route]]\npath = \"/...\"\nto = \"api\"\n";
    let user = User::new(&[("sampan.toml", manifest)]);
    let built = user.good(&["build", "-t", "shop:1"]);
    assert!(built.ends_with(" shop:1\n"), "{built}");
    let described: Value = serde_json::from_str(&user.good(&["inspect", "shop:1"])).unwrap();
    assert_eq!(described[0]["Config"]["Entrypoint"], serde_json::json!(["/sampan.toml"]));
    assert_eq!(described[0]["Config"]["Labels"]["dev.sampan.manifest"], "/sampan.toml");
    // Without a name, only what it says is built.
    let built = user.run(&["build"]);
    assert!(built.stderr.contains("built 1 component"), "{built:?}");
}

#[test]
fn what_cannot_be_built() {
    let user = User::new(&[("app.wasm", "code"), ("empty/x", "")]);
    for (text, what) in [
        ("FROM scratch\nRUN make\n", " --> ./Dockerfile:2:1"),
        ("FROM scratch\nRUN make\n", "COPY the result"),
        (
            "FROM scratch\nCOPY app.wasm missing /x/\n",
            "2 | COPY app.wasm missing /x/\n  |               ^^^^^^^",
        ),
        ("FROM scratch\nCOPY https://x /\n", "is not in the build context"),
    ] {
        user.write("Dockerfile", text);
        let said = user.bad(&["build", "-t", "x", "."]);
        assert!(said.contains(what), "{text}: {said}");
    }
    assert!(user.bad(&["build", "-t", "x", "empty"]).contains("no Dockerfile and no manifest in empty"));
    assert!(user.bad(&["build", "-t", "X", "."]).contains("is no name of an image"));
    assert!(user.bad(&["build", "-t", "x", "-f", "nowhere", "."]).contains("cannot read nowhere"));
    assert!(user.bad(&["build", "-t", "x", ".", "empty"]).contains("made of one folder"));
    assert!(user.bad(&["build", "-t", "x", "--platform", "wasi", "."]).contains("is no platform"));
    assert_eq!(user.good(&["images", "-q"]), "");
}
