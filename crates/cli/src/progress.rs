//! Tells a person at a terminal that a large program is being compiled, if it takes longer than a moment.

use indicatif::{ProgressBar, ProgressStyle};
use sampan_engine::Progress;
use std::cell::RefCell;
use std::io::IsTerminal;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Compilations shorter than this pass without a word.
const QUIET: Duration = Duration::from_millis(500);
const TICK: Duration = Duration::from_millis(100);

/// What is compiled: its name and the size of its wasm.
pub fn compiled(name: &str, bytes: usize) -> String {
    format!("{name} ({:.1} MiB)", bytes as f64 / f64::from(1 << 20))
}

/// The line of one compilation.
pub fn spinner(name: &str, bytes: usize) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_message(compiled(name, bytes));
    match ProgressStyle::with_template("{spinner} compiling {msg}, once: {elapsed}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// The line of one pull.
pub fn pulling(name: &str, bytes: u64) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_message(pulled(name, bytes));
    match ProgressStyle::with_template("{spinner} pulling {msg}: {elapsed}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// What is pulled: a reference and the size of the code.
pub fn pulled(name: &str, bytes: u64) -> String {
    format!("{name} ({:.1} MiB)", bytes as f64 / f64::from(1 << 20))
}

/// The line of one file of the web.
pub fn fetching(name: &str, bytes: Option<u64>) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_message(fetched(name, bytes));
    match ProgressStyle::with_template("{spinner} fetching {msg}: {elapsed}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// What is fetched: its address and, if its server says it, its size.
pub fn fetched(name: &str, bytes: Option<u64>) -> String {
    bytes.map_or_else(|| name.to_owned(), |bytes| pulled(name, bytes))
}

/// Shows the progress of compiling `name`. Nothing is shown where standard error is not a terminal.
pub struct CompileProgress {
    name: String,
    running: RefCell<Option<(Sender<()>, JoinHandle<()>)>>,
}

impl CompileProgress {
    pub fn new(name: &str) -> Self {
        CompileProgress { name: name.to_owned(), running: RefCell::new(None) }
    }

    pub fn observe(&self, progress: Progress) {
        match progress {
            Progress::CompileBegins { bytes } if std::io::stderr().is_terminal() => {
                let (done, is_done) = channel();
                let name = self.name.clone();
                let show = move || {
                    if is_done.recv_timeout(QUIET) != Err(RecvTimeoutError::Timeout) {
                        return;
                    }
                    let bar = spinner(&name, bytes);
                    while is_done.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                        bar.tick();
                    }
                    bar.finish_and_clear();
                };
                *self.running.borrow_mut() = Some((done, std::thread::spawn(show)));
            }
            Progress::CompileBegins { .. } => {}
            Progress::CompileEnds => {
                if let Some((done, shown)) = self.running.borrow_mut().take() {
                    drop(done);
                    // A failed display is no failure of the program.
                    let _ = shown.join();
                }
            }
        }
    }
}
