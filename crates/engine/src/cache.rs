//! Artifacts kept on this machine: native code by the digest of the wasm it was made from.
//!
//! Layout of the folder (`$XDG_CACHE_HOME/sampan/artifacts`, by default below `~/.cache`):
//!
//! - `code/DIGEST-KEY`: native code, mapped when used. KEY names the engine, its settings and the processor.
//! - `code/DIGEST-KEY.meta`: kind and length of the code; written last, so code without it does not count.
//! - `index/DEV-INO-SIZE-MTIME-CTIME-KEY`: the digest of a file that was hashed before, so that starting a
//!   large file again needs no hashing, and a copy of the meta line.
//!
//! Whoever can write here can run native code as the user. So entries count only if the folder and the
//! file belong to this user and nobody else can write to them, checked on the open descriptor; everything
//! else is as if it were not there.

use rustix::fs::{Mode, OFlags};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Least recently used artifacts go when the folder grows beyond this.
const DEFAULT_MAX_BYTES: u64 = 2 << 30;
/// A file that changed this recently may change again within its time stamp's resolution.
const SETTLED_AFTER: Duration = Duration::from_secs(1);
/// The time of last use is written at most this often, so that a warm start writes nothing.
const TOUCH_AFTER: Duration = Duration::from_secs(3600);
/// A temporary file of this age belongs to a process that was killed.
const ABANDONED_AFTER: Duration = Duration::from_secs(3600);
/// An index entry only saves hashing a file: after this it is made anew.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(30 * 24 * 3600);
/// Metadata is one short line.
const MAX_META_BYTES: u64 = 200;

/// Whether native code is of a core module or of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Module,
    Component,
}

/// What the native code does not say about itself but running it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    pub form: Form,
    /// The module does its work in the start section: instantiating it is running it.
    pub starts: bool,
}

/// What identifies the native code of a wasm file on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// SHA-256 of the wasm file, in hexadecimal.
    pub digest: String,
    /// Engine, settings and processor.
    pub code_key: String,
}

/// An open, trusted artifact.
#[derive(Debug)]
pub struct Entry {
    pub file: File,
    pub facts: Facts,
}

/// One artifact, for listings.
#[derive(Clone, Debug)]
pub struct Listed {
    pub digest: String,
    pub code_key: String,
    pub bytes: u64,
    pub last_used: SystemTime,
}

#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
    max_bytes: u64,
}

impl Cache {
    /// The user's cache: `$SAMPAN_CACHE_DIR`, else `$XDG_CACHE_HOME/sampan`, else `~/.cache/sampan`.
    /// `None` where the environment names no place.
    pub fn of_user() -> Option<Self> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let root = variable("SAMPAN_CACHE_DIR")
            .or_else(|| variable("XDG_CACHE_HOME").map(|dir| dir.join("sampan")))
            .or_else(|| variable("HOME").map(|dir| dir.join(".cache/sampan")))?;
        Some(Cache::at(root.join("artifacts"), DEFAULT_MAX_BYTES))
    }

    pub fn at(root: PathBuf, max_bytes: u64) -> Self {
        Cache { root, max_bytes }
    }

    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Finds the artifact of a file that was loaded before and has not changed since, without reading it.
    pub fn lookup_file(&self, file: &fs::Metadata, code_key: &str) -> Option<Entry> {
        let line = read_trusted(&self.root.join("index").join(index_name(file, code_key)))?;
        let (digest, meta) = line.split_once(' ')?;
        self.open(&Key { digest: digest.to_owned(), code_key: code_key.to_owned() }, meta)
    }

    /// Finds an artifact by the digest of the wasm.
    pub fn lookup(&self, key: &Key) -> Option<Entry> {
        let meta = read_trusted(&self.code_path(key).with_extension("meta"))?;
        self.open(key, &meta)
    }

    /// Remembers the digest of a file for [`Cache::lookup_file`].
    pub fn remember_file(&self, file: &fs::Metadata, key: &Key) -> io::Result<()> {
        let changed = file.mtime().max(file.ctime());
        let settled = SystemTime::UNIX_EPOCH + Duration::from_secs(changed.max(0) as u64) + SETTLED_AFTER;
        if settled > SystemTime::now() {
            return Ok(());
        }
        let Some(meta) = read_trusted(&self.code_path(key).with_extension("meta")) else { return Ok(()) };
        let dir = self.folder("index")?;
        write_atomically(
            &dir.join(index_name(file, &key.code_key)),
            format!("{} {meta}", key.digest).as_bytes(),
        )
    }

    /// Keeps native code, and removes the least recently used beyond the size limit.
    pub fn insert(&self, key: &Key, facts: Facts, code: &[u8]) -> io::Result<()> {
        self.folder("code")?;
        let path = self.code_path(key);
        write_atomically(&path, code)?;
        let kind = match facts {
            Facts { form: Form::Module, starts: false } => "module",
            Facts { form: Form::Module, starts: true } => "starting-module",
            Facts { form: Form::Component, .. } => "component",
        };
        write_atomically(&path.with_extension("meta"), format!("1 {kind} {}", code.len()).as_bytes())?;
        self.shrink(self.max_bytes, Some(&path))?;
        sweep(&self.root.join("code"), |name| name.starts_with('.'), ABANDONED_AFTER);
        sweep(&self.root.join("index"), |_| true, FORGOTTEN_AFTER);
        Ok(())
    }

    /// All artifacts, the most recently used first.
    pub fn list(&self) -> io::Result<Vec<Listed>> {
        let mut all: Vec<_> = self.artifacts()?.into_iter().map(|(_, listed)| listed).collect();
        all.sort_by_key(|listed| std::cmp::Reverse(listed.last_used));
        Ok(all)
    }

    /// Removes everything; returns how many artifacts there were and their bytes.
    pub fn clear(&self) -> io::Result<(usize, u64)> {
        let all = self.artifacts()?;
        let bytes = all.iter().map(|(_, listed)| listed.bytes).sum();
        for folder in ["code", "index"] {
            match fs::remove_dir_all(self.root.join(folder)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok((all.len(), bytes))
    }

    fn open(&self, key: &Key, meta: &str) -> Option<Entry> {
        let mut words = meta.split(' ');
        let (version, kind, length) = (words.next()?, words.next()?, words.next()?.parse::<u64>().ok()?);
        let facts = match (version, kind) {
            ("1", "module") => Facts { form: Form::Module, starts: false },
            ("1", "starting-module") => Facts { form: Form::Module, starts: true },
            ("1", "component") => Facts { form: Form::Component, starts: false },
            _ => return None,
        };
        let file = open_trusted(&self.code_path(key))?;
        let metadata = file.metadata().ok()?;
        if metadata.len() != length {
            return None;
        }
        let idle = metadata.modified().ok().and_then(|used| used.elapsed().ok());
        if idle.is_some_and(|idle| idle > TOUCH_AFTER) {
            // Only the order of removal depends on it.
            let _ = file.set_modified(SystemTime::now());
        }
        Some(Entry { file, facts })
    }

    fn code_path(&self, key: &Key) -> PathBuf {
        // A dot would be mistaken for the start of an extension.
        self.root.join("code").join(format!("{}-{}", key.digest, key.code_key.replace('.', "_")))
    }

    /// Makes a folder of the cache, for this user alone.
    fn folder(&self, name: &str) -> io::Result<PathBuf> {
        let dir = self.root.join(name);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        let metadata = fs::metadata(&dir)?;
        if !is_ours_alone(&metadata) {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("{} belongs to another user or is writable by others", dir.display()),
            ));
        }
        Ok(dir)
    }

    fn artifacts(&self) -> io::Result<Vec<(PathBuf, Listed)>> {
        let entries = match fs::read_dir(self.root.join("code")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut all = Vec::new();
        for entry in entries {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            // Another process may have removed it meanwhile.
            let Ok(metadata) = entry.metadata() else { continue };
            let Some((digest, code_key)) = name.split_once('-').filter(|_| !name.contains('.')) else {
                continue;
            };
            let listed = Listed {
                digest: digest.to_owned(),
                code_key: code_key.to_owned(),
                bytes: metadata.len(),
                last_used: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
            };
            all.push((entry.path(), listed));
        }
        Ok(all)
    }

    fn shrink(&self, max_bytes: u64, keep: Option<&Path>) -> io::Result<()> {
        let mut all = self.artifacts()?;
        let mut total: u64 = all.iter().map(|(_, listed)| listed.bytes).sum();
        all.sort_by_key(|(_, listed)| listed.last_used);
        for (path, listed) in all {
            if total <= max_bytes {
                break;
            }
            if keep == Some(path.as_path()) {
                continue;
            }
            // The metadata first: without it the code does not count.
            let _ = fs::remove_file(path.with_extension("meta"));
            let _ = fs::remove_file(&path);
            total -= listed.bytes;
        }
        Ok(())
    }
}

fn index_name(file: &fs::Metadata, code_key: &str) -> String {
    format!(
        "{:x}-{:x}-{:x}-{:x}.{:x}-{:x}.{:x}-{code_key}",
        file.dev(),
        file.ino(),
        file.size(),
        file.mtime(),
        file.mtime_nsec(),
        file.ctime(),
        file.ctime_nsec(),
    )
}

fn is_ours_alone(metadata: &fs::Metadata) -> bool {
    let user = rustix::process::geteuid().as_raw();
    metadata.uid() == user && metadata.mode() & 0o022 == 0
}

/// Opens a regular file that this user alone can write, in a folder of which the same is true.
fn open_trusted(path: &Path) -> Option<File> {
    let parent = rustix::fs::open(path.parent()?, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    if !is_ours_alone(&File::from(parent.try_clone().ok()?).metadata().ok()?) {
        return None;
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(&parent, path.file_name()?, flags, Mode::empty()).ok()?);
    let metadata = file.metadata().ok()?;
    (metadata.is_file() && is_ours_alone(&metadata)).then_some(file)
}

fn read_trusted(path: &Path) -> Option<String> {
    let mut text = String::new();
    open_trusted(path)?.take(MAX_META_BYTES).read_to_string(&mut text).ok()?;
    Some(text)
}

/// Removes old files of a folder. What cannot be removed now is met again next time.
fn sweep(folder: &Path, which: impl Fn(&str) -> bool, older_than: Duration) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let age = entry.metadata().and_then(|metadata| metadata.modified()).map(|time| time.elapsed());
        let old = matches!(age, Ok(Ok(age)) if age > older_than);
        if old && which(&entry.file_name().to_string_lossy()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Writes a file so that a reader, also after a crash, sees all of it or none.
fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
