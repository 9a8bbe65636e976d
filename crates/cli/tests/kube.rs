//! What `sampan kube` prints, read by others: a YAML parser, and Kubernetes' own schemas.

use sampan_testing::oci::Artifact;
use sampan_testing::servers::Registry;
use sampan_testing::{Finished, finish, guest, pip_packages, sampan, temp_dir};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

fn kube(args: &[&str]) -> Finished {
    let data = temp_dir();
    finish(sampan().env("SAMPAN_DATA_DIR", data.path()).arg("kube").args(args), "")
}

#[test]
fn an_image_is_a_runtime_class_a_deployment_and_a_service() {
    let finished =
        kube(&["registry.example/acme/my_shop:1", "-p", "8080", "-e", "A=x: #", "--health", "/healthz"]);
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let text = &finished.stdout;
    for part in [
        "kind: RuntimeClass\n",
        "handler: sampan\n",
        "runtimeClassName: sampan\n",
        "image: \"registry.example/acme/my_shop:1\"\n",
        "name: my-shop\n",
        "containerPort: 8080\n",
        "value: \"x: #\"\n",
        "path: /healthz\n",
        "kind: Service\n",
        "memory: \"134217728\"\n",
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    // Who drops all capabilities cannot listen at a low port.
    assert!(!text.contains("NET_BIND_SERVICE"), "{text}");
    assert!(kube(&["acme/site"]).stdout.contains("- NET_BIND_SERVICE\n"));
    // Without a port there is nothing to serve.
    let finished = kube(&["acme/job", "-p", "0", "--", "once"]);
    assert!(
        !finished.stdout.contains("Service") && !finished.stdout.contains("Probe"),
        "{}",
        finished.stdout
    );
    assert!(finished.stdout.contains("args:\n        - once\n"), "{}", finished.stdout);
}

#[test]
fn an_artifact_gets_the_command_that_it_lacks() {
    let Some(registry) = Registry::start() else { return };
    let wasm = fs::read(guest("hello")).unwrap();
    let data = temp_dir();
    let ours = |args: &[&str]| finish(sampan().env("SAMPAN_DATA_DIR", data.path()).args(args), "");
    for (name, artifact) in [("spin", Artifact::spin(&wasm, &[])), ("wasm", Artifact::wasm(&[], &wasm))] {
        artifact.push(&registry, name, "1");
        let image = registry.reference(&format!("{name}:1"));
        assert!(!ours(&["kube", &image]).stdout.contains("command:"), "it is not here yet");
        assert_eq!(ours(&["pull", &image]).code, 0);
        let text = ours(&["kube", &image]).stdout;
        assert!(text.contains("command:\n        - /\n"), "{text}");
    }
}

#[test]
fn wrong_words() {
    for (args, message) in [
        (&["a//b"][..], "is no name of an image"),
        (&["acme/9lives"], "is no name for Kubernetes"),
        (&["acme/x", "--name", "Shop"], "is no name for Kubernetes"),
        (&["acme/x", "-e", "=1"], "is not a variable"),
    ] {
        let finished = kube(args);
        assert!(finished.code == 1 && finished.stderr.contains(message), "{args:?}: {}", finished.stderr);
        assert!(finished.stderr.contains("help: "), "{}", finished.stderr);
    }
}

const CHECK: &str = "\
import sys, yaml, kubernetes_validate
for document in yaml.safe_load_all(sys.stdin):
    kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)
    print(document['kind'])
";

#[test]
fn kubernetes_schemas_take_it() {
    let Some(packages) = pip_packages("kubernetes-validate", "1.37.0", &["kubernetes-validate==1.37.0"])
    else {
        return;
    };
    for (args, kinds) in [
        (&["acme/shop:1", "-n", "web", "-e", "A=1", "--", "-x"][..], "RuntimeClass\nDeployment\nService\n"),
        (&["--installer", "acme/sampan:1"], "RuntimeClass\nDaemonSet\n"),
    ] {
        let text = kube(args).stdout;
        let checked = finish(Command::new("python3").args(["-c", CHECK]).env("PYTHONPATH", &packages), &text);
        assert_eq!((checked.code, checked.stdout.as_str()), (0, kinds), "{}\n{text}", checked.stderr);
    }
}

/// What the installer does to a node, whose root and programs are in a folder here.
#[test]
fn a_node_gets_the_handler_once() {
    let node = temp_dir();
    let at = |path: &str| node.path().join(path);
    for folder in ["etc/containerd", "usr/local/bin", "programs"] {
        fs::create_dir_all(at(folder)).unwrap();
    }
    fs::write(at("sampan"), "the binary").unwrap();
    fs::write(at("programs/nsenter"), format!("#!/bin/sh\necho \"$@\" >> {}\n", at("said").display()))
        .unwrap();
    fs::set_permissions(at("programs/nsenter"), fs::Permissions::from_mode(0o755)).unwrap();
    let list: serde_json::Value =
        serde_json::from_str(&kube(&["--installer", "acme/sampan:1", "--json"]).stdout).unwrap();
    let container = &list["items"][1]["spec"]["template"]["spec"]["initContainers"][0];
    let script = container["command"][2].as_str().unwrap();
    let script = script.replace("/host/", &format!("{}/", node.path().display()));
    let script = script.replace(" /usr/local/bin/sampan ", &format!(" {} ", at("sampan").display()));
    let path = format!("{}:{}", at("programs").display(), std::env::var("PATH").unwrap());
    let install = || {
        let done = finish(Command::new("sh").args(["-c", &script]).env("PATH", &path), "");
        assert_eq!((done.code, done.stderr.as_str()), (0, ""));
        fs::read_to_string(at("etc/containerd/config.toml")).unwrap()
    };
    for (before, plugin, systemd) in [
        ("version = 2\n", "io.containerd.grpc.v1.cri", "false"),
        ("version = 3\n[x.runc.options]\n  SystemdCgroup = true\n", "io.containerd.cri.v1.runtime", "true"),
    ] {
        fs::write(at("etc/containerd/config.toml"), before).unwrap();
        let text = install();
        for part in [
            before.to_owned(),
            format!(
                "[plugins.\"{plugin}\".containerd.runtimes.sampan]\n  runtime_type = \"io.containerd.sampan.v1\"\n"
            ),
            "container_annotations = [\"dev.sampan.*\", \"io.kubernetes.container.ports\"]\n".to_owned(),
            format!("runtimes.sampan.options]\n  SystemdCgroup = {systemd}\n"),
        ] {
            assert!(text.contains(&part), "{part} is not in:\n{text}");
        }
        // The next time there is nothing to do.
        assert_eq!(install(), text);
        assert_eq!(
            fs::read_to_string(at("said")).unwrap(),
            "--mount=/proc/1/ns/mnt systemctl restart containerd\n"
        );
        fs::remove_file(at("said")).unwrap();
    }
    assert_eq!(fs::read_to_string(at("usr/local/bin/containerd-shim-sampan-v1")).unwrap(), "the binary");
}
