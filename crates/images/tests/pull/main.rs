//! Fetching as a caller meets it: from a real registry, and from servers that misbehave.

mod downloads;
mod faults;
mod packages;
mod registries;

use sampan_images::{Progress, PullError, Reference, Settings, Store, Timeouts, code};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// A user with a cache and a configuration of Docker.
struct User {
    folder: TempDir,
    runtime: Runtime,
    settings: Settings,
    steps: Arc<Mutex<Vec<Progress>>>,
}

impl User {
    fn new() -> User {
        let folder = sampan_testing::temp_dir();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(1).build();
        let steps = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&steps);
        let settings = Settings {
            store: Store::at(folder.path().join("images"), 1 << 30),
            module_max_bytes: 1 << 20,
            timeouts: Timeouts::default(),
            docker_config: Some(folder.path().join("config.json")),
            package_config: Some(folder.path().join("wkg.toml")),
            progress: Arc::new(move |_, step| seen.lock().unwrap().push(step)),
        };
        User { folder, runtime: runtime.unwrap(), settings, steps }
    }

    /// One who does not wait long.
    fn impatient() -> User {
        let mut user = User::new();
        let short = Duration::from_millis(200);
        user.settings.timeouts =
            Timeouts { connect: short, idle: short, document: short * 2, blob: short * 3 };
        user
    }

    fn path(&self, reference: &str) -> Result<PathBuf, PullError> {
        let reference: Reference = reference.parse().unwrap();
        self.runtime.block_on(code(&reference, &self.settings))
    }

    #[track_caller]
    fn code(&self, reference: &str) -> Vec<u8> {
        let path = self.path(reference).unwrap_or_else(|error| panic!("{reference}: {error}"));
        std::fs::read(path).unwrap()
    }

    /// What happened since the last question.
    fn steps(&self) -> Vec<Progress> {
        std::mem::take(&mut *self.steps.lock().unwrap())
    }

    fn write_config(&self, text: &str) {
        std::fs::write(self.folder.path().join("config.json"), text).unwrap();
    }

    /// All files that are kept, whatever they are.
    fn kept(&self) -> usize {
        fn count(folder: &Path) -> usize {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            entries.map(|entry| if entry.path().is_dir() { count(&entry.path()) } else { 1 }).sum()
        }
        count(&self.folder.path().join("images"))
    }
}
