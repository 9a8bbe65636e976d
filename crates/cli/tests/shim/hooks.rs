//! Hooks of a container's description: all are called, hear of the container, and one that fails ends it cleanly.

use crate::{containerd, wait_until};
use sampan_testing::guest;
use sampan_testing::oci::busybox;
use sampan_testing::servers::{Containerd, NAMESPACE, RUNTIME};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const KINDS: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// A root file system with a guest, and a shell for the hook that runs inside.
fn root(server: &Containerd) -> Option<PathBuf> {
    let root = server.folder.path().join("root-of-hooks");
    for folder in ["bin", "hooks", "proc", "dev"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    fs::copy(guest("hello"), root.join("hello.wasm")).unwrap();
    fs::write(root.join("bin/sh"), busybox()?).unwrap();
    fs::set_permissions(root.join("bin/sh"), fs::Permissions::from_mode(0o755)).unwrap();
    Some(root)
}

/// A hook that writes down that it was called, and with what; then it ends with this status.
fn hook(kind: &str, root: &Path, status: i32) -> Value {
    let inside = kind == "startContainer";
    let folder = if inside { PathBuf::from("/hooks") } else { root.join("hooks") };
    // `read` is the shell's own: there is no other program inside.
    let write = format!("read -r state; echo \"$state\" >{kind}");
    let script = format!("cd {} && echo {kind} >>order && {write} && exit {status}", folder.display());
    let shell = if inside { PathBuf::from("/bin/sh") } else { root.join("bin/sh") };
    json!([{ "path": shell, "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"] }])
}

fn describe(server: &Containerd, id: &str, root: &Path, failing: Option<&str>) -> PathBuf {
    let hooks: serde_json::Map<String, Value> = KINDS
        .iter()
        .map(|kind| ((*kind).to_owned(), hook(kind, root, i32::from(failing == Some(kind)) * 3)))
        .collect();
    let namespaces = ["pid", "ipc", "uts", "mount", "network"].map(|kind| json!({ "type": kind }));
    let spec = json!({
        "ociVersion": "1.0.2",
        "process": { "args": ["/hello.wasm"], "cwd": "/", "env": ["PATH=/bin"], "user": { "uid": 0, "gid": 0 } },
        "root": { "path": root },
        "mounts": [{ "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"] }],
        "annotations": { "test": "hooks" },
        "hooks": hooks,
        "linux": { "namespaces": namespaces, "cgroupsPath": format!("/{NAMESPACE}/{id}") },
    });
    let file = server.folder.path().join(format!("{id}.json"));
    fs::write(&file, spec.to_string()).unwrap();
    file
}

fn order(root: &Path) -> Vec<String> {
    let text = fs::read_to_string(root.join("hooks/order")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn all_hooks_are_called_with_the_container_s_state() {
    let Some(server) = containerd(&[]) else { return };
    let Some(root) = root(&server) else { return };
    let config = describe(&server, "hooked", &root, None);
    let config = config.to_string_lossy();
    let finished = server.ctr(&["run", "--rm", "--runtime", RUNTIME, "--config", &config, "hooked"]);
    assert_eq!((finished.code, finished.stdout.as_str()), (0, "Hello from a guest!\n"), "{finished:?}");

    let order = order(&root);
    assert_eq!(order.len(), KINDS.len(), "{order:?}");
    // What is run inside at the start, and outside after it, are two processes.
    assert_eq!(order[..3], KINDS[..3]);
    assert_eq!(order[5], KINDS[5]);
    assert!(order.contains(&"startContainer".to_owned()) && order.contains(&"poststart".to_owned()));

    let state = |kind: &str| -> Value {
        serde_json::from_slice(&fs::read(root.join("hooks").join(kind)).unwrap()).unwrap()
    };
    let pid = state("poststart")["pid"].clone();
    for kind in KINDS {
        let state = state(kind);
        assert_eq!(state["id"], "hooked", "{kind}");
        assert_eq!(state["annotations"]["test"], "hooks", "{kind}: {state}");
        assert_eq!(state["ociVersion"].as_str().map(|version| &version[..2]), Some("1."), "{kind}");
        // It has a description of the container in it.
        assert!(state["bundle"].as_str().is_some_and(|bundle| bundle.contains("hooked")), "{kind}: {state}");
    }
    for (kind, status) in [("createRuntime", "creating"), ("poststart", "running"), ("poststop", "stopped")] {
        assert_eq!(state(kind)["status"], status, "{kind}");
    }
    for kind in ["prestart", "createRuntime"] {
        assert_eq!(state(kind)["pid"], pid, "{kind}");
    }
}

#[test]
fn a_hook_that_fails_ends_the_container() {
    let Some(server) = containerd(&[]) else { return };
    let Some(root) = root(&server) else { return };
    for kind in KINDS {
        let id = format!("failing-{}", kind.to_lowercase());
        let _ = fs::remove_file(root.join("hooks/order"));
        let config = describe(&server, &id, &root, Some(kind));
        let config = config.to_string_lossy();
        let finished = server.ctr(&["run", "--rm", "--runtime", RUNTIME, "--config", &config, &id]);
        match kind {
            // The container is gone already.
            "poststop" => assert_eq!(finished.code, 0, "{finished:?}"),
            "startContainer" => assert_ne!(finished.code, 0, "{finished:?}"),
            _ => assert!(finished.code != 0 && finished.stderr.contains("hook"), "{kind}: {finished:?}"),
        }
        if ["prestart", "createRuntime", "createContainer", "startContainer"].contains(&kind) {
            assert_eq!(finished.stdout, "", "{kind}: the guest does not run");
        }
        // What comes after that does not happen, but the end.
        let order = order(&root);
        assert_eq!(order.last().map(String::as_str), Some("poststop"), "{kind}: {order:?}");
        if let Some(at) = KINDS[..3].iter().position(|one| *one == kind) {
            assert_eq!(order[..order.len() - 1], KINDS[..=at], "{kind}");
        }
        server.ctr(&["container", "delete", &id]);
        wait_until("its processes end", || crate::rounds::processes(&id) == 0);
        assert!(crate::rounds::cgroups(&id).is_empty(), "{kind}");
        assert!(!Path::new("/run/sampan/shim").join(NAMESPACE).join(&id).exists(), "{kind}");
        // The name is free.
        let config = describe(&server, &id, &root, None);
        let config = config.to_string_lossy();
        let again = server.ctr(&["run", "--rm", "--runtime", RUNTIME, "--config", &config, &id]);
        assert_eq!((again.code, again.stdout.as_str()), (0, "Hello from a guest!\n"), "{kind}: {again:?}");
    }
}
