//! `docker run --runtime` under a real Docker Engine, old and new.

use crate::wait_until;
use sampan_testing::oci::busybox;
use sampan_testing::servers::{Dockerd, Engine, RUNTIME, Setup};
use sampan_testing::{finish, guest, guest_for, sampan};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

const GUESTS: [&str; 6] = ["endless", "env", "exit", "files", "hello", "streams"];

/// Docker before 23 knows runc's shim only; a node that has this one under that name needs no other.
#[test]
fn docker_20() {
    let Some(docker) = Dockerd::start(&Setup::of(Engine::Installed)) else { return };
    load(&docker, "linux/amd64");
    runs(&docker, "io.containerd.runc.v2");
}

#[test]
fn docker_26() {
    let Some(docker) = Dockerd::start(&Setup::of(Engine::Debian("trixie"))) else { return };
    load(&docker, "linux/amd64");
    runs(&docker, RUNTIME);
    let other = ["run", "--rm", "--runtime", "io.containerd.wasmtime.v1", "guests"];
    assert_eq!(good(&docker, &other), "0\n1\n2");
}

/// With containerd's store of images, which takes those for `wasi/wasm`, and the runtime by a name of its own. Debian's
/// unstable suite has 28 now; its containerd is 2.1.
#[test]
fn docker_28() {
    let settings = r#"{"features": {"containerd-snapshotter": true},
        "runtimes": {"sampan": {"runtimeType": "io.containerd.sampan.v1"}}}"#;
    let setup = Setup { settings, ..Setup::of(Engine::Debian("sid")) };
    let Some(docker) = Dockerd::start(&setup) else { return };
    load(&docker, "wasi/wasm");
    let platform = ["run", "--rm", "--runtime", "sampan", "--platform", "wasi/wasm", "guests"];
    assert_eq!(good(&docker, &platform), "0\n1\n2");
    runs(&docker, "sampan");
}

fn context(docker: &Dockerd) -> PathBuf {
    let folder = docker.folder.path().join("context");
    fs::create_dir_all(&folder).unwrap();
    for name in GUESTS {
        fs::copy(guest(name), folder.join(name).with_extension("wasm")).unwrap();
    }
    fs::copy(guest_for("wasm32-wasip2", "serve-hello"), folder.join("serve-hello.wasm")).unwrap();
    let dockerfile = "FROM scratch\nCOPY . /\nENV COLOR=blue\nEXPOSE 80\nENTRYPOINT [\"/streams.wasm\"]\n\
                      CMD [\"lines\", \"3\"]\n";
    fs::write(folder.join("Dockerfile"), dockerfile).unwrap();
    folder
}

/// What `sampan save` writes, `docker load` takes.
pub fn load(docker: &Dockerd, platform: &str) {
    let (context, archive) = (context(docker), docker.folder.path().join("guests.tar"));
    let ours = |args: &[&str]| {
        let mut command = sampan();
        command.env("SAMPAN_DATA_DIR", docker.folder.path().join("images"));
        let finished = finish(command.args(args), "");
        assert_eq!(finished.code, 0, "{args:?}: {finished:?}");
    };
    ours(&["build", "--platform", platform, "-t", "guests", &context.to_string_lossy()]);
    ours(&["save", "-o", &archive.to_string_lossy(), "guests"]);
    good(docker, &["load", "-i", &archive.to_string_lossy()]);
}

#[track_caller]
pub fn good(docker: &Dockerd, args: &[&str]) -> String {
    let finished = docker.docker(args);
    assert_eq!(finished.code, 0, "{args:?}: {}{}", finished.stdout, finished.stderr);
    finished.stdout.trim_end().to_owned()
}

fn inspect(docker: &Dockerd, id: &str, field: &str) -> String {
    good(docker, &["inspect", "-f", &format!("{{{{.{field}}}}}"), id])
}

/// What a user does, from one shot to a server.
fn runs(docker: &Dockerd, runtime: &str) {
    one_shots(docker, runtime);
    stays(docker, runtime);
    serves(docker, runtime);
    builds_and_runs_native(docker, runtime);
    leaves_nothing(docker);
}

fn one_shots(docker: &Dockerd, runtime: &str) {
    let data = docker.folder.path().join("volume");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("in"), "from outside").unwrap();
    let volume = format!("{}:/data", data.display());
    for (flags, rest, code, output) in [
        (&[][..], &[][..], 0, "0\n1\n2\n"),
        (&[], &["lines", "1"], 0, "0\n"),
        (&["--entrypoint", "/exit.wasm"], &["7"], 7, ""),
        (&["-t"], &["tty"], 0, "stdin true stdout true stderr true\r\n"),
        (&["--network", "none", "--entrypoint", "/hello.wasm"], &[], 0, "Hello from a guest!\n"),
        (
            &["-v", &volume, "--entrypoint", "/files.wasm"],
            &["cat", "/data/in", "--", "write", "/data/out", "from inside", "--", "cat", "/nowhere"],
            1,
            "cat: from outside\nwrite: ok\ncat: NotFound\n",
        ),
        (
            &["--read-only", "--entrypoint", "/files.wasm"],
            &["write", "/x", "y"],
            1,
            "write: PermissionDenied\n",
        ),
    ] {
        let all = [&["run", "--rm", "--runtime", runtime], flags, &["guests"], rest].concat();
        let finished = docker.docker(&all);
        assert_eq!((finished.code, finished.stdout.as_str()), (code, output), "{all:?}: {finished:?}");
    }
    assert_eq!(fs::read_to_string(data.join("out")).unwrap(), "from inside");
    let env = ["run", "--rm", "--runtime", runtime, "-e", "A=1", "--entrypoint", "/env.wasm", "guests"];
    let env = good(docker, &env);
    for line in ["A=1", "COLOR=blue"] {
        assert!(env.lines().any(|known| known == line), "{env}");
    }
    let echo = ["run", "-i", "--rm", "--runtime", runtime, "guests", "upper"];
    assert_eq!(finish(&mut docker.command(&echo), "hi\n").stdout, "HI\n");
    let missing = docker.docker(&["run", "--rm", "--runtime", runtime, "--entrypoint", "/no.wasm", "guests"]);
    assert!(missing.code != 0 && missing.stderr.contains("/no.wasm"), "{missing:?}");
}

/// A container that stays: looked at, joined, paused, stopped, started again, killed.
fn stays(docker: &Dockerd, runtime: &str) {
    let run = ["run", "-d", "--name", "one", "--runtime", runtime, "--entrypoint", "/endless.wasm"];
    good(docker, &[&run[..], &["-m", "64m", "guests"]].concat());
    assert!(good(docker, &["ps", "--format", "{{.Names}} {{.Status}}"]).starts_with("one Up"));
    let pid = inspect(docker, "one", "State.Pid");
    assert!(Path::new("/proc").join(&pid).exists());
    wait_until("it says something", || docker.docker(&["logs", "one"]).stdout == "started\n");
    let stats =
        good(docker, &["stats", "--no-stream", "--format", "{{.CPUPerc}} {{.MemUsage}} {{.PIDs}}", "one"]);
    let words: Vec<&str> = stats.split_whitespace().collect();
    assert_ne!(words[0], "0.00%", "{stats}");
    assert!(words[1].ends_with("iB") && !words[1].starts_with('0'), "{stats}");
    assert_eq!((words[3], words[4]), ("64MiB", "1"), "{stats}");
    assert!(good(docker, &["top", "one"]).contains(&pid));

    for (args, code, output) in [
        (&["exec", "one", "/hello.wasm"][..], 0, "Hello from a guest!\n"),
        (&["exec", "one", "/exit.wasm", "9"], 9, ""),
        (&["exec", "one", "/files.wasm", "write", "/kept", "x"], 0, "write: ok\n"),
        (&["exec", "one", "/files.wasm", "cat", "/kept"], 0, "cat: x\n"),
    ] {
        let finished = docker.docker(args);
        assert_eq!((finished.code, finished.stdout.as_str()), (code, output), "{args:?}: {finished:?}");
    }
    assert!(good(docker, &["exec", "-e", "B=2", "one", "/env.wasm"]).contains("B=2"));

    good(docker, &["pause", "one"]);
    assert_eq!(inspect(docker, "one", "State.Status"), "paused");
    good(docker, &["unpause", "one"]);
    let begun = Instant::now();
    good(docker, &["stop", "one"]);
    assert!(begun.elapsed().as_secs() < 8, "Docker would kill it after ten seconds");
    assert_eq!(inspect(docker, "one", "State.ExitCode"), "143");
    good(docker, &["start", "one"]);
    good(docker, &["kill", "one"]);
    assert_eq!(good(docker, &["wait", "one"]), "137");
    good(docker, &["rm", "one"]);

    good(docker, &["run", "-d", "--name", "lines", "--runtime", runtime, "guests", "both", "2"]);
    assert_eq!(good(docker, &["wait", "lines"]), "0");
    let logs = docker.docker(&["logs", "lines"]);
    assert_eq!((logs.stdout.as_str(), logs.stderr.as_str()), ("out 0\nout 1\n", "err 0\nerr 1\n"));
    good(docker, &["rm", "lines"]);
}

/// A component that answers HTTP is served at port 80 of its address, and `-p` leads there.
fn serves(docker: &Dockerd, runtime: &str) {
    let run = ["run", "-d", "--name", "web", "--runtime", runtime, "-p", "8080:80", "--entrypoint"];
    good(docker, &[&run[..], &["/serve-hello.wasm", "guests"]].concat());
    let address = inspect(docker, "web", "NetworkSettings.Networks.bridge.IPAddress");
    for url in [format!("http://{address}/"), "http://127.0.0.1:8080/".to_owned()] {
        let mut answer = None;
        wait_until("an answer", || {
            answer = docker.get(&url);
            answer.is_some()
        });
        assert_eq!(answer.as_deref(), Some("Hello, world!\n"), "{url}");
    }
    good(docker, &["rm", "-f", "web"]);
}

/// What Docker itself builds, and what is no guest: the same runtime takes both.
fn builds_and_runs_native(docker: &Dockerd, runtime: &str) {
    let context = context(docker);
    good(docker, &["build", "-q", "-t", "built", &context.to_string_lossy()]);
    assert_eq!(good(docker, &["run", "--rm", "--runtime", runtime, "built"]), "0\n1\n2");
    let Some(program) = busybox() else { return };
    let native = docker.folder.path().join("native");
    fs::create_dir(&native).unwrap();
    fs::write(native.join("busybox"), program).unwrap();
    fs::set_permissions(native.join("busybox"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    fs::write(
        native.join("Dockerfile"),
        "FROM scratch\nCOPY busybox /bin/sh\nENTRYPOINT [\"/bin/sh\", \"-c\"]\n",
    )
    .unwrap();
    good(docker, &["build", "-q", "-t", "native", &native.to_string_lossy()]);
    let finished = docker.docker(&["run", "--rm", "--runtime", runtime, "native", "echo native; exit 3"]);
    assert_eq!((finished.code, finished.stdout.as_str()), (3, "native\n"), "{finished:?}");
}

fn leaves_nothing(docker: &Dockerd) {
    let address = docker.containerd().display().to_string();
    let shims = || crate::rounds::processes(&format!("-address\0{address}\0-socket"));
    wait_until("all shims end", || shims() == 0);
    let folder = docker.folder.path().display().to_string();
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    let left: Vec<_> =
        mounts.lines().filter(|line| line.contains(&folder) && line.contains("/rootfs")).collect();
    assert!(left.is_empty(), "{left:?}");
}
