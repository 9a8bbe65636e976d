//! Watches what an app is made of: builds what changed, and says what is to be loaded anew.
//!
//! A thread of its own collects changes until the disk is quiet for a moment, so that a checkout or an
//! editor's several steps count once. Whoever serves the app gets [`Event`]s and loads; nothing is loaded
//! here. [`follow`] is `sampan build --watch`.

mod builds;
mod folders;
mod plan;
#[cfg(test)]
mod tests;

use crate::build::BuildError;
use crate::fail::Fail;
use crate::file_id::FileId;
use crate::manifest;
use builds::Builds;
use folders::Folders;
use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use plan::{Change, Plan, normal};
use sampan_app::{App, Component};
use signal_hook::consts::signal::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Changes belong together if no longer pause is between them.
const QUIET: Duration = Duration::from_millis(50);
/// Where it never becomes quiet, what has come so far is looked at after this time.
const BUSY: Duration = Duration::from_millis(500);

/// What whoever serves the app must know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The manifest changed: read it, and give the app to [`Watch::replace`] if it is good.
    Manifest,
    /// A build of the component runs now; the wasm file is not to be trusted until it ended.
    BuildBegins(String),
    /// The component's wasm file, or what it reads, is new: load it and swap.
    Swap(String),
    /// A build ended well and changed nothing.
    Unchanged(String),
    /// What was loaded last goes on serving.
    BuildFailed(String, BuildError),
    /// Changes somewhere are not noticed.
    Trouble(String),
}

/// Ends watching, and running builds, when it is dropped.
pub struct Watch {
    messages: Sender<Message>,
    thread: Option<JoinHandle<()>>,
}

enum Message {
    Disk(notify::Result<notify::Event>),
    Built(String, Result<(), BuildError>),
    Replace(Box<App>),
    Build(Vec<String>),
    Stop,
}

/// Watches an app from now on; what is loaded after this call misses no change. `tell` is called on the
/// thread that watches, so it must not wait for long: send the event on.
pub fn start(app: &App, tell: impl Fn(Event) + Send + 'static) -> Result<Watch, Fail> {
    let (messages, inbox) = channel();
    let disk = messages.clone();
    let watcher = notify::recommended_watcher(move |event| {
        // Nobody listens any more when watching has ended.
        let _ = disk.send(Message::Disk(event));
    });
    let watcher = watcher.map_err(|error| {
        Fail::new(format!("cannot watch files: {error}"))
            .help("the system limits them: sysctl fs.inotify.max_user_instances, fs.inotify.max_user_watches")
    })?;
    let mut engine = Engine {
        plan: Plan::new(app),
        app: app.clone(),
        folders: Folders::new(watcher),
        builds: Builds::new(messages.clone()),
        known: HashMap::new(),
        tell: Box::new(tell),
    };
    engine.know();
    engine.sync();
    let thread = std::thread::spawn(move || engine.run(&inbox));
    Ok(Watch { messages, thread: Some(thread) })
}

impl Watch {
    /// The manifest was read anew: watches what it says now, and builds what it builds otherwise.
    pub fn replace(&self, app: &App) {
        // The thread ends only with this value.
        let _ = self.messages.send(Message::Replace(Box::new(app.clone())));
    }

    /// Builds these components now, as if they had changed; those without a build are left out.
    pub fn build(&self, names: Vec<String>) {
        let _ = self.messages.send(Message::Build(names));
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.messages.send(Message::Stop);
        if let Some(thread) = self.thread.take() {
            // If it panicked, it has said so.
            let _ = thread.join();
        }
    }
}

struct Engine {
    app: App,
    plan: Plan,
    folders: Folders,
    builds: Builds,
    /// The wasm files, as they were when somebody was last told to load them.
    known: HashMap<PathBuf, Option<FileId>>,
    tell: Box<dyn Fn(Event) + Send>,
}

impl Engine {
    fn run(mut self, inbox: &Receiver<Message>) {
        let mut changed = BTreeSet::new();
        let mut latest = Instant::now();
        loop {
            let message = match changed.is_empty() {
                true => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
                false => inbox.recv_timeout(QUIET.min(latest.saturating_duration_since(Instant::now()))),
            };
            match message {
                Ok(Message::Disk(event)) => {
                    if changed.is_empty() {
                        latest = Instant::now() + BUSY;
                    }
                    self.collect(event, &mut changed);
                }
                Ok(Message::Built(name, result)) => self.built(&name, result),
                Ok(Message::Replace(app)) => self.replace(*app),
                Ok(Message::Build(names)) => names.iter().for_each(|name| self.request(name)),
                Err(RecvTimeoutError::Timeout) => self.consider(std::mem::take(&mut changed)),
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Remembers the files as they are.
    fn know(&mut self) {
        self.known = self.plan.sources().map(|source| (source.to_owned(), FileId::of(source))).collect();
    }

    /// Whether a file is new; from now on it is known.
    fn is_new(&mut self, path: &Path) -> bool {
        let now = FileId::of(path);
        self.known.insert(path.to_owned(), now) != Some(now)
    }

    fn sync(&mut self) -> Vec<PathBuf> {
        let found = self.folders.sync(&self.plan.roots());
        found.troubles.into_iter().for_each(|trouble| (self.tell)(Event::Trouble(trouble)));
        found.files
    }

    fn collect(&mut self, event: notify::Result<notify::Event>, changed: &mut BTreeSet<PathBuf>) {
        let event = match event {
            Ok(event) => event,
            Err(error) => return (self.tell)(Event::Trouble(format!("watching files: {error}"))),
        };
        if event.need_rescan() {
            // Changes were lost: everything may be new.
            let everything = PathBuf::from("/");
            self.folders.forget(&everything);
            changed.insert(everything);
        }
        let counts = match event.kind {
            EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
            EventKind::Modify(ModifyKind::Metadata(_)) => false,
            _ => true,
        };
        let gone = matches!(event.kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)));
        for path in event.paths.into_iter().filter(|_| counts) {
            if gone && self.folders.is_watched(&path) {
                self.folders.forget(&path);
            }
            changed.insert(normal(&path));
        }
    }

    /// Does what a batch of changes asks for.
    fn consider(&mut self, mut changed: BTreeSet<PathBuf>) {
        // Folders may have come or gone; what lies in new ones came before anybody watched.
        changed.extend(self.sync());
        let changes: BTreeSet<Change> = changed.iter().flat_map(|path| self.plan.changes(path)).collect();
        for change in changes {
            match change {
                Change::Manifest => (self.tell)(Event::Manifest),
                Change::Rebuild(name) => self.request(&name),
                // A build writes it, and says when it is done.
                Change::Source(name) if self.builds.is_running(&name) => {}
                Change::Source(name) => {
                    let source = self.plan.source(&name).map(Path::to_owned);
                    if source.is_some_and(|source| self.is_new(&source) && source.is_file()) {
                        (self.tell)(Event::Swap(name));
                    }
                }
                Change::Asset(name) => (self.tell)(Event::Swap(name)),
            }
        }
    }

    fn request(&mut self, name: &str) {
        let mut components = self.app.components.iter();
        let component = components.find(|component| component.name == name && component.build.is_some());
        if let Some(component) = component {
            let begun = self.builds.request(component);
            begun.into_iter().for_each(|name| (self.tell)(Event::BuildBegins(name)));
        }
    }

    fn built(&mut self, name: &str, result: Result<(), BuildError>) {
        let again = self.builds.ended(name);
        // Of code that lies elsewhere, the build makes the component's files, and nobody knows which.
        let source = self.plan.source(name).map(Path::to_owned);
        let mut is_new = || source.as_ref().is_none_or(|source| self.is_new(source));
        match result {
            Err(error) => {
                // Whatever it left behind is not to be loaded.
                is_new();
                (self.tell)(Event::BuildFailed(name.to_owned(), error));
            }
            // The next build is about to write the file: it will be loaded then.
            Ok(()) if again => {}
            Ok(()) if is_new() => (self.tell)(Event::Swap(name.to_owned())),
            Ok(()) => (self.tell)(Event::Unchanged(name.to_owned())),
        }
        if again {
            self.request(name);
        }
        let begun = self.builds.start();
        begun.into_iter().for_each(|name| (self.tell)(Event::BuildBegins(name)));
    }

    fn replace(&mut self, app: App) {
        let before = std::mem::replace(&mut self.app, app);
        self.plan = Plan::new(&self.app);
        self.know();
        self.sync();
        let builds_otherwise = |component: &&Component| {
            let old = before.components.iter().find(|old| old.name == component.name);
            component.build.is_some()
                && (component.remote.is_none() && !component.source.is_file()
                    || old.is_none_or(|old| old.build != component.build))
        };
        let names =
            self.app.components.iter().filter(builds_otherwise).map(|component| component.name.clone());
        for name in Vec::from_iter(names) {
            self.request(&name);
        }
    }
}

/// Builds these components, and then whatever changes, until a signal ends it.
pub fn follow(app: &App, path: &Path, env_files: &[PathBuf], names: Vec<String>) -> Result<ExitCode, Fail> {
    let (sender, events) = channel();
    let mut signals = Signals::new([SIGINT, SIGTERM])
        .map_err(|error| Fail::new(format!("cannot wait for signals: {error}")))?;
    let tell = sender.clone();
    let watch = start(app, move |event| drop(tell.send(Some(event))))?;
    watch.build(names);
    std::thread::spawn(move || signals.forever().next().map(|_| sender.send(None)));
    eprintln!("watching; Ctrl-C ends it");
    while let Ok(Some(event)) = events.recv() {
        match event {
            Event::Manifest => match manifest::read(path, env_files) {
                Ok((app, diagnostics)) => {
                    manifest::print(&diagnostics);
                    eprintln!("read {}", path.display());
                    watch.replace(&app);
                }
                Err(diagnostics) => manifest::print(&diagnostics),
            },
            Event::BuildBegins(name) => eprintln!("building {name}"),
            Event::Swap(name) => eprintln!("{name} is new"),
            Event::Unchanged(name) => eprintln!("{name} is as before"),
            Event::BuildFailed(_, error) => show(&error),
            Event::Trouble(trouble) => eprintln!("warning: {trouble}"),
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows a failed build on standard error: what it printed, and then what that means.
pub fn show(error: &BuildError) {
    let end = if error.output.ends_with('\n') { "" } else { "\n" };
    eprint!("{}{end}", error.output);
    let mut fail = Fail::new(&error.message);
    fail.help = error.help.clone();
    // The code is for whoever ends.
    let _ = fail.print();
}
