//! Where files come from: the folder of a build, or the files of another image; and the files that are chosen.

use super::ignore::{Ignore, clean, glob};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// As in Linux.
const LINKS_MAX: usize = 40;
/// Deeper folders than real ones.
const DEPTH_MAX: usize = 256;

pub struct Source<'a> {
    pub root: &'a Path,
    pub ignore: Option<&'a Ignore>,
    pub entries_max: usize,
}

/// Something that is to be in a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Below the root, without a slash at either end.
    pub path: String,
    pub content: Content,
    pub mode: u32,
    pub user: u32,
    pub group: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    Folder,
    Link(String),
    /// As it lies on the disk.
    File(PathBuf),
    Bytes(Vec<u8>),
}

/// A source that was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// Below the source's root, as it was named.
    pub name: String,
    pub path: PathBuf,
    pub is_folder: bool,
}

impl Source<'_> {
    /// What a source's name or pattern means, in order.
    pub fn find(&self, pattern: &str) -> Result<Vec<Found>, String> {
        let clean = clean(pattern);
        let mut names = vec![String::new()];
        for part in clean.split('/').filter(|part| !part.is_empty()) {
            if !part.contains(['*', '?', '[', '\\']) {
                names.iter_mut().for_each(|name| push(name, part));
                continue;
            }
            let matcher = glob(part)?;
            let mut next = Vec::new();
            for name in &names {
                let Some(folder) = self.resolve(name)? else { continue };
                let Ok(entries) = fs::read_dir(&folder) else { continue };
                for entry in entries {
                    let entry = entry.map_err(|error| format!("{}: {error}", folder.display()))?;
                    let one = utf8(&entry.file_name())?;
                    if matcher.is_match(&one) {
                        let mut name = name.clone();
                        push(&mut name, &one);
                        next.push(name);
                    }
                    if next.len() > self.entries_max {
                        return Err("too many files match it".to_owned());
                    }
                }
            }
            next.sort();
            names = next;
        }
        let mut found = Vec::new();
        for name in names {
            let Some(path) = self.resolve(&name)? else { continue };
            let is_folder = path.is_dir();
            // A hidden folder may have something in it that is not.
            let hides =
                |ignore: &Ignore| if is_folder { ignore.hides_all_of(&name) } else { ignore.hides(&name) };
            if !name.is_empty() && self.ignore.is_some_and(hides) {
                continue;
            }
            found.push(Found { name, path, is_folder });
        }
        Ok(found)
    }

    /// Where a name leads, through links that stay inside the root; `None` if it is not there.
    fn resolve(&self, name: &str) -> Result<Option<PathBuf>, String> {
        let mut path = self.root.to_owned();
        let (mut depth, mut links) = (0, 0);
        let mut to_do: Vec<String> =
            name.split('/').rev().filter(|part| !part.is_empty()).map(str::to_owned).collect();
        while let Some(part) = to_do.pop() {
            if part == ".." {
                if depth > 0 {
                    path.pop();
                    depth -= 1;
                }
                continue;
            }
            path.push(&part);
            depth += 1;
            let Ok(found) = fs::symlink_metadata(&path) else { return Ok(None) };
            if found.is_symlink() {
                links += 1;
                if links > LINKS_MAX || depth > DEPTH_MAX {
                    return Err("it leads through too many links".to_owned());
                }
                let target = fs::read_link(&path).map_err(|error| format!("{}: {error}", path.display()))?;
                path.pop();
                depth -= 1;
                if target.is_absolute() {
                    path = self.root.to_owned();
                    depth = 0;
                }
                let target = utf8(target.as_os_str())?;
                let steps = target.split('/').rev().filter(|step| !matches!(*step, "" | "."));
                to_do.extend(steps.map(str::to_owned));
            }
        }
        Ok(Some(path))
    }

    /// Everything of a folder that is seen, below `to`.
    pub fn folder(&self, found: &Found, to: &str, entries: &mut Vec<Entry>) -> Result<(), String> {
        let mut to_do = vec![(found.path.clone(), found.name.clone(), to.to_owned(), 0)];
        while let Some((folder, name, to, depth)) = to_do.pop() {
            let failed = |error: io::Error| format!("{}: {error}", folder.display());
            if depth > DEPTH_MAX {
                return Err(format!("{} is too deep", folder.display()));
            }
            for entry in fs::read_dir(&folder).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let one = utf8(&entry.file_name())?;
                let (mut name, mut to) = (name.clone(), to.clone());
                push(&mut name, &one);
                push(&mut to, &one);
                let kind = entry.file_type().map_err(failed)?;
                if kind.is_dir() {
                    if self.ignore.is_some_and(|ignore| ignore.hides_all_of(&name)) {
                        continue;
                    }
                    to_do.push((entry.path(), name.clone(), to.clone(), depth + 1));
                }
                if self.ignore.is_some_and(|ignore| ignore.hides(&name)) {
                    continue;
                }
                if entries.len() >= self.entries_max {
                    return Err("it has more files than an image may have".to_owned());
                }
                entries.extend(self.entry(&entry.path(), to)?);
            }
        }
        Ok(())
    }

    /// One thing as it lies there; `None` for what images do not have.
    pub fn entry(&self, path: &Path, to: String) -> Result<Option<Entry>, String> {
        let failed = |error: io::Error| format!("{}: {error}", path.display());
        let found = fs::symlink_metadata(path).map_err(failed)?;
        let content = if found.is_dir() {
            Content::Folder
        } else if found.is_symlink() {
            Content::Link(utf8(fs::read_link(path).map_err(failed)?.as_os_str())?)
        } else if found.is_file() {
            Content::File(path.to_owned())
        } else {
            return Ok(None);
        };
        let mode = found.permissions().mode() & 0o777;
        Ok(Some(Entry { path: to, content, mode, user: 0, group: 0 }))
    }
}

fn push(name: &mut String, part: &str) {
    if !name.is_empty() {
        name.push('/');
    }
    name.push_str(part);
}

fn utf8(name: &std::ffi::OsStr) -> Result<String, String> {
    let text = std::str::from_utf8(name.as_bytes());
    text.map(str::to_owned).map_err(|_| format!("the name {name:?} is not UTF-8"))
}
