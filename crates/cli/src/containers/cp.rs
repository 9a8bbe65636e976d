//! `sampan cp`.

use super::folder;
use crate::fail::Fail;
use sampan_containers::{Container, Error};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Copy files into a container or out of it
#[derive(clap::Args)]
pub struct Args {
    /// CONTAINER:PATH, a path here, or - for an archive
    source: String,
    target: String,
}

pub fn run(args: &Args) -> Result<ExitCode, Fail> {
    match (place(&args.source)?, place(&args.target)?) {
        (Place::Container(container, path), Place::Here(target)) => out_of(&container, &path, &target)?,
        (Place::Here(source), Place::Container(container, path)) => into(&source, &container, &path)?,
        (Place::Here(_), Place::Here(_)) => {
            return Err(Fail::new("neither is in a container").help("write CONTAINER:PATH for one of them"));
        }
        (Place::Container(..), Place::Container(..)) => {
            return Err(Fail::new("both are in containers").help("copy to a folder here first"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

enum Place {
    Here(PathBuf),
    Container(Container, String),
}

fn place(text: &str) -> Result<Place, Fail> {
    // A path with a colon is written with its folder: ./a:b.
    match text.split_once(':') {
        Some((name, path)) if !name.is_empty() && !name.contains('/') && !name.starts_with('.') => {
            Ok(Place::Container(folder()?.find(name)?, path.to_owned()))
        }
        _ => Ok(Place::Here(PathBuf::from(text))),
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> Fail {
    let path = path.display().to_string();
    move |error| Fail::new(format!("{path}: {error}"))
}

/// Into a folder that is there, with the source's name; else as the target itself, as cp(1) does.
fn out_of(container: &Container, path: &str, target: &Path) -> Result<(), Fail> {
    if target == Path::new("-") {
        container.copy_out(path, io::stdout().lock())?;
        return Ok(());
    }
    let name = container.stat(path)?.name;
    let contents = path.ends_with("/.");
    let (folder, as_name) = if target.is_dir() {
        (target.to_owned(), name.clone())
    } else {
        let parent =
            target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        (parent.to_owned(), target.file_name().unwrap_or_default().to_string_lossy().into_owned())
    };
    // Here first, so that a copy that fails half-way leaves nothing.
    let making =
        tempfile::Builder::new().prefix(".sampan-cp-").tempdir_in(&folder).map_err(failed(&folder))?;
    let spool = making.path().join(".archive");
    let mut archive = File::create_new(&spool).map_err(failed(&spool))?;
    container.copy_out(path, &mut archive)?;
    archive.flush().map_err(failed(&spool))?;
    let mut unpacked = tar::Archive::new(File::open(&spool).map_err(failed(&spool))?);
    unpacked.set_overwrite(true);
    unpacked.unpack(making.path()).map_err(failed(target))?;
    let copied = making.path().join(if name == "/" { "." } else { &name });
    if contents && target.is_dir() {
        for entry in fs::read_dir(&copied).map_err(failed(&copied))? {
            let entry = entry.map_err(failed(&copied))?;
            if entry.path() != spool {
                replace(&entry.path(), &target.join(entry.file_name()))?;
            }
        }
        return Ok(());
    }
    replace(&copied, &folder.join(as_name))
}

fn replace(from: &Path, to: &Path) -> Result<(), Fail> {
    if to.is_dir() && from.is_dir() {
        for entry in fs::read_dir(from).map_err(failed(from))? {
            let entry = entry.map_err(failed(from))?;
            replace(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    fs::rename(from, to).map_err(failed(to))
}

fn into(source: &Path, container: &Container, path: &str) -> Result<(), Fail> {
    if source == Path::new("-") {
        container.copy_in(path, io::stdin().lock())?;
        return Ok(());
    }
    let name = source.canonicalize().map_err(failed(source))?;
    let name = name.file_name().map_or_else(|| ".".into(), |name| name.to_string_lossy().into_owned());
    let into_folder = container.stat(path).is_ok_and(|stat| stat.mode & 0o170_000 == 0o040_000);
    if !into_folder && path.ends_with('/') {
        return Err(Error::NoPath(path.to_owned()).into());
    }
    let (folder, as_name) = if into_folder {
        let contents = source.ends_with(".") || source.to_string_lossy().ends_with("/.");
        (path.to_owned(), if contents { ".".to_owned() } else { name })
    } else {
        let path = Path::new(path);
        let parent = path.parent().unwrap_or(Path::new("/")).to_string_lossy().into_owned();
        (parent, path.file_name().unwrap_or_default().to_string_lossy().into_owned())
    };
    let (reader, writer) = io::pipe().map_err(failed(source))?;
    let source = source.to_owned();
    let packing = std::thread::spawn(move || pack(&source, &as_name, writer));
    let copied = container.copy_in(&folder, Drained(reader));
    let packed = packing.join().unwrap_or_else(|_| Err(io::Error::other("packing failed")));
    copied?;
    packed.map_err(|error| Fail::new(format!("cannot read what is to be copied: {error}")))
}

fn pack(source: &Path, name: &str, to: impl Write) -> io::Result<()> {
    let mut builder = tar::Builder::new(to);
    builder.follow_symlinks(false);
    if source.is_dir() {
        builder.append_dir_all(name, source)?;
    } else {
        builder.append_path_with_name(source, name)?;
    }
    builder.finish()
}

/// Reads to the end when it is dropped, so that who writes is not stopped by a closed pipe.
struct Drained<R: Read>(R);

impl<R: Read> Read for Drained<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<R: Read> Drop for Drained<R> {
    fn drop(&mut self) {
        let _ = io::copy(&mut self.0, &mut io::sink());
    }
}
