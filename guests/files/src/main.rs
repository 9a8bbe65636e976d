//! Does to files what its arguments say, one step after the other, and goes on after an error:
//! `files write /a/x hello -- cat /a/x -- rm /a/missing` prints `write: ok`, `cat: hello` and
//! `rm: NotFound`, and ends with the number of steps that failed.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{Error, ErrorKind, Read, Result, Seek, SeekFrom, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut failed = 0;
    for step in arguments.split(|argument| argument == "--") {
        let step: Vec<&str> = step.iter().map(String::as_str).collect();
        let name = step.first().copied().unwrap_or("");
        match run(&step) {
            Ok(text) => println!("{name}: {text}"),
            Err(error) => {
                failed += 1;
                println!("{name}: {:?}", error.kind());
                eprintln!("{}: {error}", step.join(" "));
            }
        }
    }
    std::process::exit(failed);
}

fn run(step: &[&str]) -> Result<String> {
    match *step {
        ["cat", path] => fs::read_to_string(path),
        ["at", path, offset, count] => at(path, number(offset)?, number(count)?),
        ["write", path, text] => done(fs::write(path, text)),
        ["append", path, text] => done(append(path, text)),
        ["create-new", path] => done(File::create_new(path).map(drop)),
        ["patch", path, offset, text] => done(patch(path, number(offset)?, text)),
        ["truncate", path, size] => done(OpenOptions::new().write(true).open(path)?.set_len(number(size)?)),
        ["sync", path] => done(OpenOptions::new().write(true).open(path)?.sync_all()),
        ["ls", path] => list(path),
        ["mkdir", path] => done(fs::create_dir(path)),
        ["mkdirs", path] => done(fs::create_dir_all(path)),
        ["rm", path] => done(fs::remove_file(path)),
        ["rmdir", path] => done(fs::remove_dir(path)),
        ["mv", from, to] => done(fs::rename(from, to)),
        ["cp", from, to] => fs::copy(from, to).map(|bytes| bytes.to_string()),
        ["link", from, to] => done(fs::hard_link(from, to)),
        ["symlink", target, path] => done(symlink(target, path)),
        ["readlink", path] => fs::read_link(path).map(|target| target.display().to_string()),
        ["stat", path] => fs::metadata(path).map(|data| describe(&data)),
        ["lstat", path] => fs::symlink_metadata(path).map(|data| describe(&data)),
        ["touch", path, seconds] => done(touch(path, number(seconds)?)),
        _ => Err(Error::new(ErrorKind::InvalidInput, "no such step")),
    }
}

fn done(result: Result<()>) -> Result<String> {
    result.map(|()| "ok".to_owned())
}

fn number(text: &str) -> Result<u64> {
    text.parse().map_err(|_| ErrorKind::InvalidInput.into())
}

fn at(path: &str, offset: u64, count: u64) -> Result<String> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut text = String::new();
    file.take(count).read_to_string(&mut text)?;
    Ok(text)
}

fn append(path: &str, text: &str) -> Result<()> {
    OpenOptions::new().append(true).create(true).open(path)?.write_all(text.as_bytes())
}

fn patch(path: &str, offset: u64, text: &str) -> Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(text.as_bytes())
}

fn list(path: &str) -> Result<String> {
    let entries: Result<Vec<_>> = fs::read_dir(path)?.collect();
    let mut names: Vec<_> =
        entries?.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names.join(" "))
}

fn describe(data: &fs::Metadata) -> String {
    let kind = match data.file_type() {
        kind if kind.is_dir() => "directory",
        kind if kind.is_symlink() => "symlink",
        kind if kind.is_file() => "file",
        _ => "other",
    };
    let modified = data.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    format!("{kind} {} {}", data.len(), modified.map_or(0, |time| time.as_secs()))
}

fn touch(path: &str, seconds: u64) -> Result<()> {
    let time: SystemTime = UNIX_EPOCH + Duration::from_secs(seconds);
    OpenOptions::new().write(true).open(path)?.set_modified(time)
}

/// The standard library has no stable call for it on these targets.
fn symlink(target: &str, path: &str) -> Result<()> {
    let target = CString::new(target)?;
    let path = CString::new(path)?;
    // SAFETY: both are strings that end with a zero byte and live until the call returns.
    if unsafe { libc::symlink(target.as_ptr(), path.as_ptr()) } == 0 {
        Ok(())
    } else {
        Err(Error::last_os_error())
    }
}
