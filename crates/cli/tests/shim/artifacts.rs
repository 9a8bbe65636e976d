//! Images whose files containerd does not unpack: wasm as it is in registries, and apps of Spin. containerd leaves such
//! layers alone since 1.7.

use crate::docker::good;
use crate::wait_until;
use sampan_testing::oci::Artifact;
use sampan_testing::servers::{Dockerd, Engine, RUNTIME, Setup};
use sampan_testing::{Finished, guest, guest_for, spin_app};
use std::fs;
use std::path::PathBuf;

#[test]
fn under_containerd_1_7() {
    let Some(daemon) = Dockerd::start(&Setup::of(Engine::Debian("trixie"))) else { return };
    programs(&daemon, "1-7");
    apps_of_spin(&daemon, "1-7");
    what_is_missing_is_said(&daemon);
}

#[test]
fn under_containerd_2_and_docker_28() {
    let settings = r#"{"features": {"containerd-snapshotter": true},
        "runtimes": {"sampan": {"runtimeType": "io.containerd.sampan.v1"}}}"#;
    let setup = Setup { settings, ..Setup::of(Engine::Debian("sid")) };
    let Some(daemon) = Dockerd::start(&setup) else { return };
    programs(&daemon, "2");
    apps_of_spin(&daemon, "2");
    by_docker(&daemon);
}

fn archive(daemon: &Dockerd, name: &str, artifact: &Artifact) -> PathBuf {
    let archive = daemon.folder.path().join(format!("{name}.tar"));
    artifact.write(&image(name), &archive);
    archive
}

fn image(name: &str) -> String {
    format!("docker.io/test/{name}:1")
}

#[track_caller]
fn import(daemon: &Dockerd, name: &str, artifact: &Artifact) {
    let archive = archive(daemon, name, artifact);
    let imported = daemon.ctr(&["image", "import", "--all-platforms", &archive.to_string_lossy()]);
    assert_eq!(imported.code, 0, "{imported:?}");
}

fn run(daemon: &Dockerd, flags: &[&str], name: &str, id: &str, args: &[&str]) -> Finished {
    let image = image(name);
    let platform = ["--platform", "wasip1/wasm"];
    daemon.ctr(&[&["run", "--runtime", RUNTIME][..], &platform, flags, &[&image, id], args].concat())
}

/// `of` is in the names of containers: those of all tests differ.
fn programs(daemon: &Dockerd, of: &str) {
    let wasm = fs::read(guest("streams")).unwrap();
    import(daemon, "named", &Artifact::wasm(&["/streams.wasm"], &wasm));
    import(daemon, "unnamed", &Artifact::wasm(&["/"], &wasm));
    for (name, args, output) in [
        ("named", &["/streams.wasm", "lines", "2"][..], "0\n1\n"),
        ("unnamed", &["/", "lines", "3"], "0\n1\n2\n"),
    ] {
        // The second time, its files are known.
        for id in ["first", "second"] {
            let ran = run(daemon, &["--rm"], name, &format!("{id}-{of}"), args);
            assert_eq!((ran.code, ran.stdout.as_str()), (0, output), "{name}: {ran:?}");
        }
    }
    // A second guest finds the files, too.
    import(daemon, "idle", &Artifact::wasm(&["/streams.wasm"], &wasm));
    let stays = format!("stays-{of}");
    let started = run(daemon, &["--detach"], "idle", &stays, &["/", "flood"]);
    assert_eq!(started.code, 0, "{started:?}");
    let second = daemon.ctr(&["task", "exec", "--exec-id", "again", &stays, "/streams.wasm", "lines", "1"]);
    assert_eq!((second.code, second.stdout.as_str()), (0, "0\n"), "{second:?}");
    daemon.ctr(&["task", "delete", "--force", &stays]);
    daemon.ctr(&["container", "delete", &stays]);
}

fn apps_of_spin(daemon: &Dockerd, of: &str) {
    let wasm = fs::read(guest_for("wasm32-wasip2", "serve-p2")).unwrap();
    let large = "large ".repeat(100);
    let files = [("small.txt", b"small".as_slice()), ("folder/large.txt", large.as_bytes())];
    import(daemon, "app", &Artifact::spin(&wasm, &files));
    let id = format!("app-{of}");
    let started = run(daemon, &["--detach", "--net-host"], "app", &id, &["/"]);
    assert_eq!(started.code, 0, "{started:?}");
    wait_until("the app answers", || daemon.get("http://127.0.0.1:80/hello").is_some());
    assert_eq!(daemon.get("http://127.0.0.1:80/file?small.txt").as_deref(), Some("small"));
    assert_eq!(daemon.get("http://127.0.0.1:80/file?folder/large.txt"), Some(large));
    daemon.ctr(&["task", "delete", "--force", &id]);
    daemon.ctr(&["container", "delete", &id]);
}

/// An image of archives whose entry is not there is no artifact, and what is wrong with it is said as before.
fn what_is_missing_is_said(daemon: &Dockerd) {
    let image = sampan_testing::oci::Image {
        name: &image("nothing"),
        files: vec![("data", b"x".to_vec())],
        entrypoint: vec!["/missing"],
        ..sampan_testing::oci::Image::default()
    };
    let archive = daemon.folder.path().join("nothing.tar");
    image.write(&archive);
    let imported = daemon.ctr(&["image", "import", &archive.to_string_lossy()]);
    assert_eq!(imported.code, 0, "{imported:?}");
    let ran = daemon.ctr(&["run", "--runtime", RUNTIME, "--rm", image.name, "nothing-at-all"]);
    assert!(ran.code != 0 && ran.stderr.contains("/missing"), "{ran:?}");
    daemon.ctr(&["container", "delete", "nothing-at-all"]);
}

/// Docker's store of images is containerd's here.
fn by_docker(daemon: &Dockerd) {
    let Some(app) = spin_app("sdk-7") else { return };
    let wasm = fs::read(app.join("target/wasm32-wasip2/release/sdk_7.wasm")).unwrap();
    let loaded = archive(daemon, "loaded", &Artifact::spin(&wasm, &[]));
    good(daemon, &["load", "-i", &loaded.to_string_lossy()]);
    let run = ["run", "-d", "--runtime", "sampan", "--platform", "wasip1/wasm", "-e", "GREETING=good day"];
    let id = good(daemon, &[&run[..], &["test/loaded:1", "/"]].concat());
    let address =
        good(daemon, &["inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", &id]);
    wait_until("the app answers", || daemon.get(&format!("http://{address}/hello")).is_some());
    assert_eq!(daemon.get(&format!("http://{address}/variable")).as_deref(), Some("good day"));
    good(daemon, &["rm", "-f", &id]);
}
