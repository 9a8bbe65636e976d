//! What a person sees while apps are loaded and when they are served.

use super::listeners::{Api, Place, TcpPlace};
use super::site::Site;
use crate::progress::{compiled, fetched, fetching, pulled, pulling, spinner};
use indicatif::{MultiProgress, ProgressBar};
use sampan_app::{App, Broker, RouteFilter, ScheduleTrigger, Target, TopicTrigger};
use sampan_runtime::serve::{Progress, Step};
use std::collections::HashMap;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const TICK: Duration = Duration::from_millis(100);

/// Compilations under way: one line for each on a terminal, one when it ends elsewhere.
#[derive(Clone)]
pub struct Loading(Arc<Shown>);

struct Shown {
    bars: MultiProgress,
    terminal: bool,
    compiling: Mutex<HashMap<String, ProgressBar>>,
    fetching: Mutex<HashMap<String, ProgressBar>>,
}

impl Loading {
    pub fn new() -> Self {
        let (bars, terminal) = (MultiProgress::new(), std::io::stderr().is_terminal());
        Loading(Arc::new(Shown { bars, terminal, compiling: Mutex::default(), fetching: Mutex::default() }))
    }

    /// What loading an app reports to.
    pub fn of(&self, app: &str) -> Progress {
        let (shown, app) = (Arc::clone(&self.0), app.to_owned());
        Progress::new(move |component, step| shown.note(&format!("{app}/{component}"), step))
    }

    /// A step of fetching code: an image by its reference, or a file by its URL.
    pub fn note_fetch(&self, name: &str, step: sampan_images::Progress) {
        self.0.note_fetch(name, step);
    }

    /// Removes what is left on the terminal.
    pub fn clear(&self) {
        // A failed display is no failure of the server.
        let _ = self.0.bars.clear();
    }
}

impl Shown {
    fn note(&self, name: &str, step: Step) {
        let mut compiling = self.compiling.lock().unwrap_or_else(PoisonError::into_inner);
        match step {
            Step::CompileBegins { bytes } => {
                if self.terminal {
                    let bar = self.bars.add(spinner(name, bytes));
                    bar.enable_steady_tick(TICK);
                    compiling.insert(name.to_owned(), bar);
                } else {
                    eprintln!("compiling {}, once", compiled(name, bytes));
                }
            }
            Step::CompileEnds => {
                if let Some(bar) = compiling.remove(name) {
                    bar.finish_and_clear();
                }
            }
            Step::Ready { .. } => {}
            Step::Notice(text) => self.say(&format!("warning: {name}: {text}")),
        }
    }

    fn note_fetch(&self, name: &str, step: sampan_images::Progress) {
        use sampan_images::Progress;
        match step {
            Progress::PullBegins { bytes } if self.terminal => self.begin_fetch(name, pulling(name, bytes)),
            Progress::PullBegins { bytes } => eprintln!("pulling {}", pulled(name, bytes)),
            Progress::FetchBegins { bytes } if self.terminal => {
                self.begin_fetch(name, fetching(name, bytes));
            }
            Progress::FetchBegins { bytes } => eprintln!("fetching {}", fetched(name, bytes)),
            Progress::PullEnds | Progress::FetchEnds => {
                let bar = self.fetching.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
                if let Some(bar) = bar {
                    bar.finish_and_clear();
                }
            }
            Progress::LastKnown { digest, why } => self
                .say(&format!("warning: image {name}: {why}; what the tag meant before is used: {digest}")),
        }
    }

    fn begin_fetch(&self, name: &str, bar: ProgressBar) {
        let bar = self.bars.add(bar);
        bar.enable_steady_tick(TICK);
        self.fetching.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), bar);
    }

    /// A line above the bars, which are drawn anew.
    fn say(&self, line: &str) {
        if self.terminal { self.bars.suspend(|| eprintln!("{line}")) } else { eprintln!("{line}") }
    }
}

/// An address and what answers there; the first line says that requests are answered.
pub fn listening(place: &Place, bound: SocketAddr, site: &Site) -> String {
    let scheme = if place.listen.tls.is_some() { "https" } else { "http" };
    if place.api == Api::Dapr {
        let ids = place.apps.iter().map(|&index| site.apps[index].app.name.as_str()).collect::<Vec<_>>();
        return format!("dapr on {scheme}://{bound}/ for {}\n", ids.join(", "));
    }
    let mut text = format!("listening on {scheme}://{bound}/\n");
    for loaded in place.apps.iter().map(|&index| &site.apps[index]) {
        for route in &loaded.app.routes {
            let mut to = words(&route.to, &loaded.app);
            if !route.filters.is_empty() {
                to = format!("{} → {to}", chain(&route.filters));
            }
            let host = route.host.as_deref().unwrap_or_default();
            text.push_str(&format!("  {host}{} → {to}\n", route.path));
        }
    }
    text
}

/// The address of a TCP route and where its connections go.
pub fn carrying(place: &TcpPlace, bound: SocketAddr, site: &Site) -> String {
    let scheme = if place.listen.tls.is_some() { "tls" } else { "tcp" };
    let mut text = format!("listening on {scheme}://{bound}\n");
    let routes = &site.apps[place.app].app.tcp;
    if let Some(route) = routes.iter().filter(|route| route.listen == place.listen).nth(place.nth) {
        let filters =
            if route.filters.is_empty() { String::new() } else { format!("{} → ", chain(&route.filters)) };
        text.push_str(&format!("  → {filters}upstream {}\n", route.upstream));
    }
    text
}

/// What starts components beside requests: a line for each trigger.
pub fn triggers(site: &Site) -> String {
    let mut text = String::new();
    for app in site.apps.iter().map(|loaded| &loaded.app) {
        for TopicTrigger { broker, topic, component, .. } in &app.topic_triggers {
            match broker {
                Broker::Named(broker) => text += &format!("topic {broker}/{topic} → {component}\n"),
                Broker::RedisChannel { .. } => text += &format!("channel {topic} of Redis → {component}\n"),
            }
        }
        for ScheduleTrigger { name, cron, component, .. } in &app.schedule_triggers {
            text += &format!("schedule {name}, {cron} → {component}\n");
        }
    }
    text
}

fn chain(filters: &[RouteFilter]) -> String {
    let filters: Vec<&str> = filters.iter().map(|one| one.filter.as_str()).collect();
    filters.join(" → ")
}

fn words(to: &Target, app: &App) -> String {
    match to {
        Target::Component(name) => name.clone(),
        Target::Upstream(name) => format!("upstream {name}"),
        Target::Split(split) => {
            let parts = split.targets.iter().map(|(to, weight)| format!("{} ({weight})", words(to, app)));
            parts.collect::<Vec<_>>().join(", ")
        }
        Target::Static(folder) => {
            let folder = folder.folder.strip_prefix(&app.root).unwrap_or(&folder.folder);
            format!("files in {}", folder.display())
        }
        Target::Redirect { location, .. } => format!("redirect to {location}"),
        Target::Respond { status, .. } => format!("status {status}"),
    }
}
