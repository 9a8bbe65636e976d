//! `--explain`: says on standard error which flag would have granted a refused call.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

/// At most this many different lines a guest, so that a guest that tries everything cannot flood the log.
const MAX_LINES: usize = 100;

/// Shared by every capability of one guest. Cloning it is cheap; when it is off, so is a refusal.
#[derive(Clone, Default)]
pub struct Explain(Option<Arc<Mutex<HashSet<String>>>>);

impl Explain {
    pub fn new(on: bool) -> Self {
        Explain(on.then(Arc::default))
    }

    /// Records that `what` (for example "connect to 10.0.0.1:5432 by TCP") was refused, and the flag that
    /// would have granted it, as the user would type it. The same refusal is said once.
    pub fn refused(&self, what: &str, flag: &str) {
        let Some(said) = &self.0 else { return };
        let line = format!("refused: {what}; grant it with {flag}");
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() < MAX_LINES && said.insert(line.clone()) {
            eprintln!("sampan: {line}");
        }
    }

    /// The same of what a manifest grants by name: `action` is "open the key-value store", `grant` the grant's key.
    pub fn refused_name(&self, action: &str, grant: &str, name: &str) {
        // Names are the guest's: some are odd, and none should fill the terminal.
        let shown: String = name.chars().filter(|letter| !letter.is_control()).take(64).collect();
        let flag = format!("{grant} = [\"{shown}\"] in the component's grant (sampan.toml)");
        self.refused(&format!("{action} `{shown}`"), &flag);
    }

    /// What was said so far, in order of the text.
    #[cfg(test)]
    pub fn said(&self) -> Vec<String> {
        let lines = self.0.as_ref().map(|said| said.lock().unwrap_or_else(PoisonError::into_inner));
        let mut lines: Vec<String> = lines.map(|said| said.iter().cloned().collect()).unwrap_or_default();
        lines.sort();
        lines
    }
}
