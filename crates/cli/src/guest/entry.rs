//! Which file of a container is its guest, and how that is run.

use super::words::Words;
use super::{within, wrong};
use crate::fail::Fail;
use sampan_engine::detect::{self, Kind as FileKind};
use sampan_engine::inspect::inspect;
use sampan_runtime::exit_code;
use std::fs;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// A file of the container.
pub struct Entry {
    pub file: PathBuf,
    /// `FILE#FUNCTION`, as runwasi has it.
    pub function: Option<String>,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Program,
    /// A component that answers HTTP requests.
    Http,
    /// A program that is run for each request.
    Cgi,
    /// A manifest.
    App,
}

/// Host functions without which a module cannot listen by itself.
const LISTENS: [&str; 3] = ["sock_open", "sock_bind", "sock_listen"];

/// The entry that the first argument names, as a path, or as a name in a folder of `PATH`.
pub fn find(words: &Words, rootfs: &Path) -> Result<Entry, Fail> {
    let named = words.args.first().filter(|named| !named.is_empty());
    let named = named.ok_or_else(|| wrong("it has no entrypoint and no command"))?;
    let (path, function) = match named.split_once('#') {
        Some((path, function)) => (path, Some(function.to_owned())),
        None => (named.as_str(), None),
    };
    let file = candidates(words, path).iter().find_map(|path| inside(rootfs, path));
    let file = file.ok_or_else(|| {
        Fail::new(format!("the container has no file {path}"))
            .help("check the image's ENTRYPOINT, and the command that was given")
            .code(exit_code::NOT_FOUND)
    })?;
    let kind = kind(words, &file)?;
    Ok(Entry { file, function, kind })
}

fn candidates(words: &Words, path: &str) -> Vec<String> {
    if path.starts_with('/') {
        return vec![path.to_owned()];
    }
    let in_workdir = format!("{}/{path}", words.workdir);
    let at_root = format!("/{path}");
    let of_path = words.grants.env.iter().find(|(name, _)| name == "PATH");
    let of_path = of_path.map_or("", |(_, value)| value).split(':').filter(|_| !path.contains('/'));
    [in_workdir, at_root].into_iter().chain(of_path.map(|folder| format!("{folder}/{path}"))).collect()
}

/// The file at a path of the container, by its path on this machine: no link leads out of the root.
fn inside(rootfs: &Path, path: &str) -> Option<PathBuf> {
    let file = within(rootfs, path).ok()?;
    let path = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()?;
    path.is_file().then_some(path)
}

fn kind(words: &Words, file: &Path) -> Result<Kind, Fail> {
    match words.serving.kind.as_deref() {
        None => {}
        Some("command") => return Ok(Kind::Program),
        Some("http") => return Ok(Kind::Http),
        Some("cgi") => return Ok(Kind::Cgi),
        Some("app") => return Ok(Kind::App),
        Some(other) => return Err(wrong(format!("`{other}` is no kind: command, http, cgi or app"))),
    }
    if file.extension().is_some_and(|extension| extension == "toml") {
        return Ok(Kind::App);
    }
    // Programs that nobody wants to reach are the most, and are not looked into.
    if !words.serving.wanted && !is_component(file) {
        return Ok(Kind::Program);
    }
    let Ok(bytes) = fs::read(file) else { return Ok(Kind::Program) };
    // What is wrong with the file is said when it is loaded.
    Ok(match detect::detect(&bytes) {
        Ok(FileKind::HttpComponent(_) | FileKind::UnwrappedComponent { .. }) => Kind::Http,
        Ok(FileKind::Command(_)) if words.serving.wanted && !can_listen(&bytes) => Kind::Cgi,
        _ => Kind::Program,
    })
}

/// By its first bytes.
fn is_component(file: &Path) -> bool {
    use std::io::Read;
    let mut head = [0; 8];
    let read = fs::File::open(file).and_then(|mut file| file.read_exact(&mut head));
    read.is_ok() && head == *b"\0asm\x0d\0\x01\0"
}

fn can_listen(bytes: &[u8]) -> bool {
    let Ok(report) = inspect(bytes, &[]) else { return true };
    let functions = report.imports.iter().flat_map(|module| &module.items);
    functions.map(|one| one.name.trim_end_matches("_v2")).any(|name| LISTENS.contains(&name))
}
