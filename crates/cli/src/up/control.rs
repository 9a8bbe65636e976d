//! The running server and what changes it: signals, the admin listener, a developer's edits.

use super::announce::{self, Loading};
use super::filter_admin::FilterAdmin;
use super::front::{Front, Present, TcpFront};
use super::images;
use super::listeners::{self, Place, TcpPlace};
use super::site::{self, Site};
use super::wasm_admin::WasmAdmin;
use super::{Args, read, warn};
use crate::fail::{Fail, print_stdout};
use crate::watch;
use arc_swap::ArcSwap;
use sampan_app::Listen;
use sampan_runtime::serve::Machine;
use sampan_service::{Admin, Limits, Listener, Notices, Options, Reload, Server};
use sampan_telemetry::{AccessLog, LogFields, LogTarget};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;
use tokio::sync::oneshot;

/// Said after every change that cannot be served.
const GOES_ON: &str = "the running version goes on";

/// What is about to run.
pub struct Start {
    pub args: Args,
    pub files: Vec<PathBuf>,
    pub machine: Arc<Machine>,
    pub site: Site,
    pub bound: Vec<(Place, Listener)>,
    pub tcp: Vec<(TcpPlace, Listener)>,
    pub admin: Option<Listener>,
}

/// What can happen to a running server.
enum Event {
    Signal(i32),
    /// The admin listener asks; it wants to know how it went.
    Reload(oneshot::Sender<Result<String, String>>),
    /// Something that an app is made of changed.
    Watch(watch::Event),
}

struct Running {
    args: Args,
    files: Vec<PathBuf>,
    machine: Arc<Machine>,
    present: Present,
    servers: Vec<(Listen, Server)>,
    tcp: Vec<(TcpPlace, Server)>,
    options: Options,
}

/// Serves until SIGTERM or SIGINT.
pub fn serve(start: Start) -> Result<ExitCode, Fail> {
    let (sender, events) = channel();
    watch_signals(sender.clone())?;
    let watch_events = sender.clone();
    let Start { args, files, machine, site, bound, tcp, admin } = start;
    let options = options(&args, &machine)?;
    site.link();
    let present: Present = Arc::new(ArcSwap::from_pointee(site));
    let (servers, carriers) = (Vec::new(), Vec::new());
    let mut running = Running { args, files, machine, present, servers, tcp: carriers, options };

    let mut text = String::new();
    for (place, listener) in bound {
        text += &announce::listening(&place, listener.address(), &running.present.load());
        running.open(place.listen, listener)?;
    }
    for (place, listener) in tcp {
        text += &announce::carrying(&place, listener.address(), &running.present.load());
        running.open_tcp(place, listener)?;
    }
    text += &announce::triggers(&running.present.load());
    let admin = admin.map(|listener| running.serve_admin(listener, &sender)).transpose()?;
    if let Some(admin) = &admin {
        text += &format!("admin on http://{}/\n", admin.addresses()[0]);
    }
    // Before anybody is told that it runs, so that no change after that is missed.
    let watches = running.watch(&watch_events)?;
    running.present.load().start();
    print_stdout(&text)?;
    running.obey(&events, &watches);
    // Ends the builds that run.
    drop(watches);

    // The end: nobody new, and time for those who are here.
    let deadline = Instant::now() + running.args.drain;
    let events = running.present.load().stop();
    let tcp = running.tcp.drain(..).map(|(_, server)| server);
    for server in running.servers.drain(..).map(|(_, server)| server).chain(tcp) {
        server.drain(deadline.saturating_duration_since(Instant::now()));
    }
    let rest = deadline.saturating_duration_since(Instant::now());
    // Events that are still being handled come again, to whoever consumes next.
    let _ = running.machine.drivers.block_on(async { tokio::time::timeout(rest, events).await });
    Ok(ExitCode::SUCCESS)
}

fn options(args: &Args, machine: &Machine) -> Result<Options, Fail> {
    let log = args.access_log.as_ref().map(|path| {
        let target = if path.as_os_str() == "-" { LogTarget::Stdout } else { LogTarget::File(path.clone()) };
        AccessLog::open(&target, LogFields::default()).map_err(|error| {
            Fail::new(format!("cannot write the access log {}: {error}", path.display()))
                .help("name a file in a folder that exists, or - for standard output")
        })
    });
    let notices = Notices::to(|notice| warn(&notice.to_string()));
    let traffic = machine.counters.as_ref().map(|counters| Arc::clone(counters.traffic()));
    Ok(Options { notices, log: log.transpose()?, traffic, ..Options::default() })
}

/// Turns signals into events. A second SIGINT or SIGTERM ends the process at once.
fn watch_signals(events: Sender<Event>) -> Result<(), Fail> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])
        .map_err(|error| Fail::new(format!("cannot watch for signals: {error}")))?;
    std::thread::spawn(move || {
        let mut stopping = false;
        for signal in signals.forever() {
            if signal != SIGHUP && stopping {
                std::process::exit(128 + signal);
            }
            stopping |= signal != SIGHUP;
            if events.send(Event::Signal(signal)).is_err() {
                return;
            }
        }
    });
    Ok(())
}

/// Has the main thread load anew, and waits for how that went.
fn reload_by(events: &Sender<Event>) -> Reload {
    let events = events.clone();
    Box::new(move || {
        let events = events.clone();
        Box::pin(async move {
            let (answer, result) = oneshot::channel();
            let stopping = || "the server is stopping".to_owned();
            events.send(Event::Reload(answer)).map_err(|_| stopping())?;
            result.await.map_err(|_| stopping())?
        })
    })
}

impl Running {
    fn open(&mut self, listen: Listen, listener: Listener) -> Result<(), Fail> {
        let front = Front { site: Arc::clone(&self.present), listen: listen.clone() };
        let server = sampan_service::serve(vec![listener], Arc::new(front), self.options.clone());
        let server = server.map_err(|error| Fail::new(format!("cannot serve: {error}")))?;
        self.servers.push((listen, server));
        Ok(())
    }

    fn open_tcp(&mut self, place: TcpPlace, listener: Listener) -> Result<(), Fail> {
        let site = Arc::clone(&self.present);
        let front = TcpFront { site, place: place.clone(), open: AtomicUsize::new(0) };
        // The route has a limit of its own, which may change.
        let limits = Limits { connections: usize::MAX, ..Limits::default() };
        let options = Options { limits, log: None, ..self.options.clone() };
        let server = sampan_service::serve_tcp(vec![listener], Arc::new(front), options);
        let server = server.map_err(|error| Fail::new(format!("cannot serve: {error}")))?;
        self.tcp.push((place, server));
        Ok(())
    }

    fn serve_admin(&self, listener: Listener, events: &Sender<Event>) -> Result<Server, Fail> {
        // Everything was loaded and proven before this listener answers.
        let ready = Box::new(|| Ok(()));
        let reload = reload_by(events);
        let filters = FilterAdmin { present: Arc::clone(&self.present) };
        let present = Arc::clone(&self.present);
        let more = Arc::new(WasmAdmin { present, reload: reload_by(events), otherwise: filters });
        let admin = Admin { ready, reload: Some(reload), more: Some(more) };
        let options = Options { workers: 1, log: None, ..self.options.clone() };
        let server = sampan_service::serve(vec![listener], Arc::new(admin), options);
        server.map_err(|error| Fail::new(format!("cannot serve: {error}")))
    }

    /// With `--watch`, watches every app's sources.
    fn watch(&self, events: &Sender<Event>) -> Result<Vec<watch::Watch>, Fail> {
        if !self.args.watch {
            return Ok(Vec::new());
        }
        let start = |loaded: &site::Loaded| {
            let events = events.clone();
            // The main thread may have ended its work.
            watch::start(&loaded.app, move |event| drop(events.send(Event::Watch(event))))
        };
        self.present.load().apps.iter().map(start).collect()
    }

    fn obey(&mut self, events: &Receiver<Event>, watches: &[watch::Watch]) {
        while let Ok(event) = events.recv() {
            match event {
                Event::Signal(SIGHUP) => self.reload_and_say(watches),
                Event::Signal(_) => return,
                Event::Reload(answer) => {
                    let result = self.reload(watches).map_err(|fail| fail.text());
                    // Who asked may be gone.
                    let _ = answer.send(result);
                }
                Event::Watch(watch::Event::Manifest | watch::Event::Swap(_)) => self.reload_and_say(watches),
                Event::Watch(watch::Event::BuildBegins(name)) => eprintln!("building {name}"),
                Event::Watch(watch::Event::Unchanged(name)) => eprintln!("{name} is as before"),
                Event::Watch(watch::Event::BuildFailed(_, error)) => {
                    watch::show(&error);
                    eprintln!("{GOES_ON}");
                }
                Event::Watch(watch::Event::Trouble(trouble)) => warn(&trouble),
            }
        }
    }

    fn reload_and_say(&mut self, watches: &[watch::Watch]) {
        match self.reload(watches) {
            Ok(said) => eprintln!("{said}"),
            Err(fail) => {
                // The code is for whoever ends.
                let _ = fail.print();
                eprintln!("{GOES_ON}");
            }
        }
    }

    /// Reads the manifests anew, proves what changed, and swaps it in; or leaves everything as it is.
    fn reload(&mut self, watches: &[watch::Watch]) -> Result<String, Fail> {
        let begin = Instant::now();
        if self.files.is_empty() {
            return Err(Fail::new("the app of a container is not loaded anew")
                .help("make a new image, and a container of it"));
        }
        // 1. Everything that can fail.
        let mut apps = read(&self.files, &self.args)?;
        let progress = Loading::new();
        let resolved = images::resolve(&self.machine, &mut apps, &progress);
        progress.clear();
        resolved?;
        let places = listeners::places(&apps, &self.args.listen);
        let mut added = Vec::new();
        for place in &places {
            if !self.servers.iter().any(|(listen, _)| *listen == place.listen) {
                added.push((place.listen.clone(), listeners::open(&place.listen)?));
            }
        }
        let tcp = listeners::tcp_places(&apps);
        let is_new = |place: &&TcpPlace| !self.tcp.iter().any(|(other, _)| other == *place);
        let added_tcp = listeners::open_tcp(tcp.iter().filter(is_new).cloned().collect())?;
        let site = site::build(&self.machine, apps, &places, Some(&self.present.load()), &progress);
        progress.clear();
        // Components of a version that is not to be may have been entered already.
        let site = site.inspect_err(|_| self.present.load().link())?;

        // 2. The swap: requests that began go on with what they have.
        let components = site.components();
        for (watch, loaded) in watches.iter().zip(&site.apps) {
            watch.replace(&loaded.app);
        }
        site.link();
        let site = Arc::new(site);
        let before = self.present.swap(Arc::clone(&site));
        // Each group of consumers has one that goes and one that comes; no event is lost between them.
        site.start();
        self.machine.drivers.spawn(before.stop());
        for (listen, listener) in added {
            self.open(listen, listener)?;
        }
        for (place, listener) in added_tcp {
            self.open_tcp(place, listener)?;
        }
        let gone =
            self.servers.extract_if(.., |(listen, _)| places.iter().all(|place| place.listen != *listen));
        let mut gone: Vec<_> = gone.collect();
        let gone_tcp = self.tcp.extract_if(.., |(place, _)| !tcp.contains(place));
        gone.extend(gone_tcp.map(|(place, server)| (place.listen, server)));
        let drain = self.args.drain;
        for (listen, server) in gone {
            std::thread::spawn(move || {
                server.drain(drain);
                eprintln!("closed {}", listen.address);
            });
        }
        Ok(format!("loaded anew: {components} components, {:?}", begin.elapsed()))
    }
}
