//! How far a transfer is: a bar for each part on a terminal, else a line when it begins and ends.

use super::short;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use sampan_containers::text;
use sampan_images::{Digest, PartObserver, Step};
use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};

const TEMPLATE: &str = "{prefix} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {msg}";

#[derive(Clone)]
pub struct Progress {
    bars: MultiProgress,
    parts: Arc<Mutex<HashMap<Digest, ProgressBar>>>,
    is_terminal: bool,
    is_quiet: bool,
}

impl Progress {
    pub fn new(is_quiet: bool) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        Progress { bars: MultiProgress::new(), parts: Arc::default(), is_terminal, is_quiet }
    }

    pub fn observer(&self) -> PartObserver {
        let progress = self.clone();
        Arc::new(move |digest, step| progress.note(digest, step))
    }

    fn note(&self, digest: &Digest, step: Step) {
        if self.is_quiet {
            return;
        }
        if self.is_terminal { self.show(digest, step) } else { self.print(digest, &step) }
    }

    fn show(&self, digest: &Digest, step: Step) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = parts.entry(digest.clone()).or_insert_with(|| {
            let bar = self.bars.add(ProgressBar::new(0)).with_prefix(short(&digest.hex).to_owned());
            match ProgressStyle::with_template(TEMPLATE) {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            }
        });
        match step {
            Step::Begins { bytes } => bar.set_length(bytes),
            Step::Moved { bytes } => {
                bar.set_message("");
                bar.set_position(bytes);
            }
            Step::Waits { why, pause } => bar.set_message(format!("{why}; again in {pause:?}")),
            Step::Exists => bar.finish_with_message("is there"),
            Step::Ends => bar.finish_with_message("done"),
        }
    }

    fn print(&self, digest: &Digest, step: &Step) {
        let name = short(&digest.hex);
        match step {
            Step::Begins { bytes } => eprintln!("{name}: {}", text::size(*bytes)),
            Step::Exists => eprintln!("{name}: is there"),
            Step::Waits { why, pause } => eprintln!("{name}: {why}; again in {pause:?}"),
            Step::Ends => eprintln!("{name}: done"),
            Step::Moved { .. } => {}
        }
    }
}
