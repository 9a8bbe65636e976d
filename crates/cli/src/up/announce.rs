//! What a person sees while apps are loaded and when they are served.

use super::site::Site;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use sampan_app::{Listen, Target};
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
}

impl Loading {
    pub fn new() -> Self {
        let (bars, terminal) = (MultiProgress::new(), std::io::stderr().is_terminal());
        Loading(Arc::new(Shown { bars, terminal, compiling: Mutex::default() }))
    }

    /// What loading an app reports to.
    pub fn of(&self, app: &str) -> Progress {
        let (shown, app) = (Arc::clone(&self.0), app.to_owned());
        Progress::new(move |component, step| shown.note(&format!("{app}/{component}"), step))
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
                let mebibytes = bytes as f64 / f64::from(1 << 20);
                if self.terminal {
                    let bar = self.bars.add(ProgressBar::new_spinner());
                    if let Ok(style) =
                        ProgressStyle::with_template("{spinner} compiling {msg}, once: {elapsed}")
                    {
                        bar.set_style(style);
                    }
                    bar.set_message(format!("{name} ({mebibytes:.1} MiB)"));
                    bar.enable_steady_tick(TICK);
                    compiling.insert(name.to_owned(), bar);
                } else {
                    eprintln!("compiling {name} ({mebibytes:.1} MiB), once");
                }
            }
            Step::CompileEnds => {
                if let Some(bar) = compiling.remove(name) {
                    bar.finish_and_clear();
                }
            }
            Step::Ready { .. } => {}
            Step::Notice(text) => {
                // Above the bars, which are drawn anew.
                let line = format!("warning: {name}: {text}");
                if self.terminal { self.bars.suspend(|| eprintln!("{line}")) } else { eprintln!("{line}") }
            }
        }
    }
}

/// The addresses, one a line on standard output: the first line says that requests are answered.
pub fn listening(listen: &Listen, bound: SocketAddr, site: &Site) -> String {
    let scheme = if listen.tls.is_some() { "https" } else { "http" };
    let mut text = format!("listening on {scheme}://{bound}/\n");
    let here = site
        .apps
        .iter()
        .filter(|app| app.app.listen.is_empty() || app.app.listen.contains(listen) || site.apps.len() == 1);
    for loaded in here {
        for route in &loaded.app.routes {
            let to = match &route.to {
                Target::Component(name) => name.clone(),
                Target::Static(folder) => {
                    let folder = folder.folder.strip_prefix(&loaded.app.root).unwrap_or(&folder.folder);
                    format!("files in {}", folder.display())
                }
                Target::Redirect { location, .. } => format!("redirect to {location}"),
                Target::Respond { status, .. } => format!("status {status}"),
            };
            let host = route.host.as_deref().unwrap_or_default();
            text.push_str(&format!("  {host}{} → {to}\n", route.path));
        }
    }
    text
}
