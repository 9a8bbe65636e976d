//! Apps in temporary folders whose builds are shell commands, and what is told about them.
//!
//! Nothing waits for time to pass: a build that must be running is held by a pipe, and what must not be told
//! is not among the events before the next one that must.

use super::*;
use sampan_app::Build;
use std::fs;
use std::sync::mpsc;

/// Nothing takes so long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

struct Bench {
    folder: tempfile::TempDir,
    watch: Watch,
    events: mpsc::Receiver<Event>,
}

/// A component in a folder of its name, built by this command when a file in its `src` changes.
fn component(root: &Path, name: &str, command: &str) -> Component {
    let workdir = root.join(name);
    fs::create_dir_all(workdir.join("src")).unwrap();
    let watch = vec!["src/**/*.txt".to_owned()];
    let source = workdir.join("out/app.wasm");
    let build = Some(Build { commands: vec![command.to_owned()], workdir, watch });
    Component { name: name.into(), source, build, ..Component::default() }
}

const COPY: &str = "mkdir -p out && cat src/*.txt > out/app.wasm";

fn bench(components: &[(&str, &str)]) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    fs::write(root.join("sampan.toml"), "").unwrap();
    let components = components.iter().map(|(name, command)| component(&root, name, command)).collect();
    let app = App { manifest: root.join("sampan.toml"), root, components, ..App::default() };
    let (sender, events) = mpsc::channel();
    let watch = start(&app, move |event| drop(sender.send(event))).unwrap();
    Bench { folder, watch, events }
}

impl Bench {
    /// One change, however slow the machine is: written under a name that no pattern has, and renamed.
    fn write(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path.with_extension("new"), text).unwrap();
        fs::rename(path.with_extension("new"), path).unwrap();
    }

    /// A folder with one file, also as one change.
    fn write_folder(&self, path: &str, file: &str, text: &str) {
        self.write(&format!("elsewhere/{file}"), text);
        fs::rename(self.folder.path().join("elsewhere"), self.folder.path().join(path)).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.folder.path().join(path)).unwrap()
    }

    #[track_caller]
    fn next(&self) -> Event {
        self.events.recv_timeout(PATIENCE).expect("an event")
    }

    #[track_caller]
    fn expect(&self, events: &[Event]) {
        for event in events {
            assert_eq!(&self.next(), event);
        }
    }
}

fn begins(name: &str) -> Event {
    Event::BuildBegins(name.into())
}

fn swap(name: &str) -> Event {
    Event::Swap(name.into())
}

#[test]
fn only_what_changed_is_built_and_swapped_once() {
    let bench = bench(&[("api", COPY), ("web", COPY)]);
    bench.write("api/src/a.txt", "1");
    bench.expect(&[begins("api"), swap("api")]);
    assert_eq!(bench.read("api/out/app.wasm"), "1");
    // The file that the build wrote is no second change: the next that is told is about the other one.
    bench.write("web/src/b.txt", "2");
    bench.expect(&[begins("web"), swap("web")]);
    // Neither are files that no pattern names.
    bench.write("api/notes.txt", "x");
    bench.write("api/src/a.rs", "x");
    bench.write("api/target/a.txt", "x");
    bench.write("api/src/a.txt", "3");
    bench.expect(&[begins("api"), swap("api")]);
    assert_eq!(bench.read("api/out/app.wasm"), "3");
}

#[test]
fn a_build_that_fails_says_why_and_can_be_mended() {
    let bench =
        bench(&[("api", "echo so it is >&2; cat src/good.txt; mkdir -p out; cp src/good.txt out/app.wasm")]);
    bench.write("api/src/a.txt", "1");
    bench.expect(&[begins("api")]);
    let Event::BuildFailed(name, error) = bench.next() else { panic!("it failed") };
    assert_eq!(name, "api");
    assert!(error.message.starts_with("the build of `api` failed: `echo so it is"), "{error:?}");
    assert!(error.message.ends_with("ended with exit status: 1"), "{error:?}");
    assert!(error.output.contains("so it is\n") && error.output.contains("No such file"), "{error:?}");
    bench.write("api/src/good.txt", "good");
    bench.expect(&[begins("api"), swap("api")]);
    // A build that changes nothing.
    bench.watch.build(vec!["api".into(), "nobody".into()]);
    bench.expect(&[begins("api")]);
    assert!(matches!(bench.next(), Event::Swap(_) | Event::Unchanged(_)));
}

/// The build waits until the test opens the pipe, so that the test knows what happens during it.
#[test]
fn a_change_during_a_build_leads_to_one_more() {
    let bench = bench(&[("api", "cat hold; mkdir -p out; cat src/*.txt > out/app.wasm")]);
    let hold = bench.folder.path().join("api/hold");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &hold, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    bench.write("api/src/a.txt", "1");
    bench.expect(&[begins("api")]);
    for text in ["2", "3", "4"] {
        bench.write("api/src/a.txt", text);
    }
    // The manifest's change comes after theirs, so theirs are seen when it is told.
    bench.write("sampan.toml", " ");
    bench.expect(&[Event::Manifest]);
    // Opening waits for the build to open the other end.
    fs::write(&hold, "").unwrap();
    bench.expect(&[begins("api")]);
    fs::write(&hold, "").unwrap();
    bench.expect(&[swap("api")]);
    assert_eq!(bench.read("api/out/app.wasm"), "4");
    // There is no third.
    bench.write("sampan.toml", "  ");
    bench.expect(&[Event::Manifest]);
}

#[test]
fn builds_that_run_are_ended_with_watching() {
    let bench = bench(&[("api", "echo $$ > pid; cat hold")]);
    let hold = bench.folder.path().join("api/hold");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &hold, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    bench.watch.build(vec!["api".into()]);
    bench.expect(&[begins("api")]);
    // Reading the pipe is how the build waits; this end keeps it waiting.
    let writer = fs::File::options().write(true).open(&hold).unwrap();
    drop(bench.watch);
    // Nobody reads any more as soon as the build has ended.
    let begin = Instant::now();
    while rustix::io::write(&writer, b"x").is_ok() {
        assert!(begin.elapsed() < PATIENCE, "the build goes on");
        std::thread::yield_now();
    }
}

#[test]
fn a_file_that_others_build_is_swapped() {
    let bench = bench(&[("api", COPY)]);
    bench.write("api/out/app.wasm", "made elsewhere");
    bench.expect(&[swap("api")]);
    // As tools replace files: written beside and renamed.
    bench.write("api/out/new", "again");
    fs::rename(bench.folder.path().join("api/out/new"), bench.folder.path().join("api/out/app.wasm"))
        .unwrap();
    bench.expect(&[swap("api")]);
    // A file that goes away is nothing to load.
    fs::remove_dir_all(bench.folder.path().join("api/out")).unwrap();
    bench.write("sampan.toml", " ");
    bench.expect(&[Event::Manifest]);
    bench.write("api/out/app.wasm", "back");
    bench.expect(&[swap("api")]);
}

#[test]
fn folders_that_come_and_go_are_watched() {
    let bench = bench(&[("api", COPY)]);
    bench.write("api/src/x.txt", "x");
    bench.expect(&[begins("api"), swap("api")]);
    fs::remove_dir_all(bench.folder.path().join("api/src")).unwrap();
    bench.expect(&[begins("api")]);
    assert!(matches!(bench.next(), Event::BuildFailed(..)));
    bench.write_folder("api/src", "y.txt", "y");
    bench.expect(&[begins("api"), swap("api")]);
    bench.write_folder("api/src/moved", "z.txt", "z");
    bench.expect(&[begins("api")]);
    assert!(matches!(bench.next(), Event::Swap(_) | Event::Unchanged(_)));
    bench.write("api/src/moved/z.txt", "zz");
    bench.expect(&[begins("api")]);
}

#[test]
fn a_new_manifest_is_watched_and_what_it_builds_otherwise_is_built() {
    let bench = bench(&[("api", COPY)]);
    bench.write("api/src/a.txt", "1");
    bench.expect(&[begins("api"), swap("api")]);
    let root = bench.folder.path().canonicalize().unwrap();
    let app = |components| App {
        manifest: root.join("sampan.toml"),
        root: root.clone(),
        components,
        ..App::default()
    };
    let api = component(&root, "api", COPY);
    // Nothing new: nothing is built.
    bench.watch.replace(&app(vec![api.clone()]));
    let other = component(&root, "api", "echo 2 > out/app.wasm");
    bench.watch.replace(&app(vec![other]));
    bench.expect(&[begins("api"), swap("api")]);
    let web = component(&root, "web", "mkdir -p out; echo web > out/app.wasm");
    bench.watch.replace(&app(vec![web]));
    bench.expect(&[begins("web"), swap("web")]);
    // Nobody asks for the first one any more.
    bench.write("api/src/a.txt", "3");
    bench.write("web/src/a.txt", "3");
    bench.expect(&[begins("web")]);
}

#[test]
fn a_tree_without_end_is_refused_with_a_word() {
    let bench = bench(&[]);
    let root = bench.folder.path().canonicalize().unwrap();
    for number in 0..70 {
        fs::create_dir_all(root.join(format!("wide/{number}"))).unwrap();
    }
    let mut wide = component(&root, "wide", "true");
    wide.build.as_mut().unwrap().watch = vec!["**".into()];
    let app = App { manifest: root.join("sampan.toml"), root, components: vec![wide], ..App::default() };
    bench.watch.replace(&app);
    let Event::Trouble(text) = bench.next() else { panic!("it is too much") };
    assert!(text.starts_with("more than 64 folders"), "{text}");
}
