//! `containerd-shim-sampan-v1` under a real containerd: what users of `ctr` and of Kubernetes see.

mod artifacts;
mod docker;
mod failures;
mod hooks;
mod life;
mod pods;
mod rounds;
mod tasks;
mod traces;
mod usage;
mod users;

use sampan_testing::oci::{Image, busybox};
use sampan_testing::servers::{Containerd, RUNTIME};
use sampan_testing::{PATIENCE, guest};
use std::fs;
use std::path::Path;
use std::time::Instant;

/// A containerd with images of these guests.
#[track_caller]
fn containerd(guests: &[&str]) -> Option<Containerd> {
    let server = Containerd::start(false)?;
    for name in guests {
        import_guest(&server, name);
    }
    Some(server)
}

fn import_guest(server: &Containerd, name: &str) {
    import_file(server, name, &guest(name));
}

fn import_file(server: &Containerd, name: &str, path: &Path) {
    let file = format!("{name}.wasm");
    let bytes = fs::read(path).expect("a guest");
    let entry = format!("/{file}");
    server.import(&Image {
        name: &image(name),
        files: vec![(&file, bytes)],
        entrypoint: vec![&entry],
        ..Image::default()
    });
}

fn import_busybox(server: &Containerd) -> Option<()> {
    let bytes = busybox()?;
    let programs = ["sh", "dd", "sleep", "grep", "mount", "test", "tty"];
    let paths: Vec<String> = programs.iter().map(|program| format!("bin/{program}")).collect();
    server.import(&Image {
        name: &image("busybox"),
        files: paths.iter().map(|path| (path.as_str(), bytes.clone())).collect(),
        entrypoint: vec!["/bin/sh"],
        env: vec!["PATH=/bin"],
        ..Image::default()
    });
    Some(())
}

fn image(name: &str) -> String {
    format!("docker.io/test/{name}:1")
}

/// `ctr run --runtime io.containerd.sampan.v1` with these flags, the image's name, the container's, and arguments.
fn run<'a>(flags: &[&'a str], image: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
    [&["run", "--runtime", RUNTIME][..], flags, &[image], rest].concat()
}

/// The state of a task, as `ctr task list` shows it.
fn status(server: &Containerd, id: &str) -> Option<(u32, String)> {
    let list = server.ctr(&["task", "list"]).stdout;
    let line = list.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let found = line.into_iter().find(|words| words.first() == Some(&id))?;
    Some((found.get(1)?.parse().ok()?, (*found.get(2)?).to_owned()))
}

#[track_caller]
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}
