//! The folders that are watched. Each is watched by itself, so that folders full of output are left out, and
//! so that folders that come and go are noticed.

use super::plan::Root;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use walkdir::{DirEntry, WalkDir};

/// An app that needs more has a pattern that is too wide.
const FOLDERS_MAX: usize = if cfg!(test) { 64 } else { 8192 };

pub struct Folders {
    watcher: RecommendedWatcher,
    watched: BTreeSet<PathBuf>,
}

/// What a look at the disk brought to light.
#[derive(Default)]
pub struct Found {
    /// Files in folders that were not watched before.
    pub files: Vec<PathBuf>,
    pub troubles: Vec<String>,
}

impl Folders {
    pub fn new(watcher: RecommendedWatcher) -> Folders {
        Folders { watcher, watched: BTreeSet::new() }
    }

    /// A folder is no longer what it was: it was removed or renamed, and its watch with it.
    pub fn forget(&mut self, path: &Path) {
        let gone = Vec::from_iter(self.watched.iter().filter(|folder| folder.starts_with(path)).cloned());
        for folder in gone {
            // The system may have removed it already.
            let _ = self.watcher.unwatch(&folder);
            self.watched.remove(&folder);
        }
    }

    pub fn is_watched(&self, path: &Path) -> bool {
        self.watched.contains(path)
    }

    /// Watches what the roots want, and nothing else.
    pub fn sync(&mut self, roots: &[Root<'_>]) -> Found {
        let mut found = Found::default();
        let wanted = wanted(roots, &mut found.troubles);
        for folder in self.watched.difference(&wanted) {
            let _ = self.watcher.unwatch(folder);
        }
        self.watched.retain(|folder| wanted.contains(folder));
        for folder in wanted {
            if self.watched.contains(&folder) {
                continue;
            }
            match self.watcher.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    // Looked at after the watch began: nothing can be missed in between.
                    let files = std::fs::read_dir(&folder).into_iter().flatten().flatten();
                    found.files.extend(files.map(|entry| entry.path()));
                    self.watched.insert(folder);
                }
                // A folder that went away meanwhile is none.
                Err(_) if !folder.is_dir() => {}
                Err(error) => found.troubles.push(format!("cannot watch {}: {error}", folder.display())),
            }
        }
        found
    }
}

fn wanted(roots: &[Root<'_>], troubles: &mut Vec<String>) -> BTreeSet<PathBuf> {
    let mut wanted = BTreeSet::new();
    for root in roots {
        match root {
            Root::File(path) => wanted.extend(existing(path.parent())),
            Root::Tree { folder, enter } => {
                // What the folder is part of tells when it comes and goes.
                wanted.extend(existing(folder.parent()));
                let enters = |entry: &DirEntry| {
                    entry.depth() == 0
                        || (entry.file_type().is_dir() && entry.file_name().to_str().is_some_and(enter))
                };
                let walk = WalkDir::new(folder).into_iter().filter_entry(enters).flatten();
                let folders = walk.filter(|entry| entry.file_type().is_dir()).take(FOLDERS_MAX + 1);
                wanted.extend(folders.map(DirEntry::into_path));
            }
        }
        if wanted.len() > FOLDERS_MAX {
            troubles.push(format!(
                "more than {FOLDERS_MAX} folders would be watched: changes in some are not noticed; narrow `watch`"
            ));
            return wanted.into_iter().take(FOLDERS_MAX).collect();
        }
    }
    wanted
}

/// The nearest folder that exists.
fn existing(path: Option<&Path>) -> Option<PathBuf> {
    path?.ancestors().find(|folder| folder.is_dir()).map(Path::to_owned)
}
