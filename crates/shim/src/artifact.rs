//! Files of an image that containerd does not unpack: wasm files as they are, and apps of Spin.
//!
//! A container shows that it needs them by its entry, which is not in its root file system. They are copied there, beside
//! what containerd has put there, and the entry becomes theirs: what such an image is started with is often only `/`.

use crate::Guests;
use crate::container::Shared;
use crate::content::{Content, Target};
use crate::fail::{Context, Fail, Result};
use oci_spec::runtime::Spec;
use rustix::fs::{Mode, OFlags, mkdirat, open, openat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What is known of them.
#[derive(Debug, Serialize, Deserialize)]
pub enum Known {
    /// Nobody has asked.
    Nothing,
    /// There are none, or they are there.
    Settled,
    Files(Files),
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Files {
    /// Nobody changes it.
    pub folder: PathBuf,
    /// What the container starts with, by its path in it.
    pub entry: String,
}

/// Opens a blob by its digest.
pub type Open<'a> = &'a mut dyn FnMut(&str) -> io::Result<Box<dyn io::Read>>;

/// Asks containerd for the image of a container, and has the files made that it does not unpack. Blocks.
pub fn find(shared: &Shared, id: &str) -> Result<Known> {
    if shared.address.is_empty() {
        return Ok(Known::Settled);
    }
    let mut content = Content::connect(&shared.address, &shared.namespace)?;
    let Some(target) = content.image_of(id)? else { return Ok(Known::Settled) };
    let files = files(&target, shared.guests, &mut content)?;
    Ok(files.map_or(Known::Settled, Known::Files))
}

fn files(target: &Target, guests: Guests, content: &mut Content) -> Result<Option<Files>> {
    let made = (guests.artifact)(target, &mut |digest| content.open(digest));
    made.map_err(|why| Fail::invalid(format!("cannot use the image {}: {why}", target.digest)))
}

/// Puts the files into a root file system, and makes their entry the container's.
pub fn lay(files: &Files, rootfs: &Path) -> Result<()> {
    let failed = || format!("cannot put the image's files into {}", rootfs.display());
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = open(rootfs, flags, Mode::empty()).context(failed())?;
    copy(&files.folder, &root).context(failed())
}

/// The command line of a container whose image is started with `entry`. A function that was named, as in `/#function`,
/// is that of the entry.
pub fn enter(spec: &mut Spec, entry: &str) {
    let Some(mut process) = spec.process().clone() else { return };
    let mut args = process.args().clone().unwrap_or_default();
    let function =
        args.first().and_then(|first| first.split_once('#')).map(|(_, function)| function.to_owned());
    let entry = match function {
        Some(function) => format!("{entry}#{function}"),
        None => entry.to_owned(),
    };
    match args.first_mut() {
        Some(first) => *first = entry,
        None => args.push(entry),
    }
    process.set_args(Some(args));
    spec.set_process(Some(process));
}

/// Copies what is in a folder of ours into one of the container's. What is a link there is not followed, because it may
/// lead anywhere.
fn copy(from: &Path, to: &OwnedFd) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        if kind.is_dir() {
            match mkdirat(to, &name, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            copy(&entry.path(), &openat(to, &name, flags, Mode::empty())?)?;
        } else if kind.is_file() {
            let mut source = File::open(entry.path())?;
            let mode = Mode::from_raw_mode(source.metadata()?.permissions().mode() & 0o777);
            // What may stand there comes from the image, too: a FIFO would never open.
            let flags = OFlags::WRONLY
                | OFlags::CREATE
                | OFlags::TRUNC
                | OFlags::NOFOLLOW
                | OFlags::NONBLOCK
                | OFlags::CLOEXEC;
            let mut target = File::from(openat(to, &name, flags, mode)?);
            io::copy(&mut source, &mut target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn files_come_beside_what_is_there_and_follow_no_link() {
        let dir = tempfile::tempdir().unwrap();
        let (ours, root, outside) =
            (dir.path().join("ours"), dir.path().join("root"), dir.path().join("outside"));
        for folder in [&ours.join("assets/web"), &root.join("assets"), &outside] {
            fs::create_dir_all(folder).unwrap();
        }
        fs::write(ours.join("app.wasm"), "code").unwrap();
        fs::write(ours.join("assets/web/a"), "a").unwrap();
        fs::write(root.join("assets/there"), "there").unwrap();
        let files = Files { folder: ours, entry: "/app.wasm".to_owned() };
        lay(&files, &root).unwrap();
        let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
        assert_eq!(
            (read("app.wasm"), read("assets/web/a"), read("assets/there")),
            ("code".into(), "a".into(), "there".into())
        );

        for link in ["app.wasm", "assets/web"] {
            let root = tempfile::tempdir().unwrap();
            fs::create_dir(root.path().join("assets")).unwrap();
            symlink(outside.join("x"), root.path().join(link)).unwrap();
            fs::create_dir_all(outside.join("x")).unwrap();
            let error = lay(&files, root.path()).unwrap_err();
            assert!(error.message.contains("cannot put the image's files"), "{error}");
            assert_eq!(fs::read_dir(outside.join("x")).unwrap().count(), 0);
        }
    }

    #[test]
    fn the_entry_takes_the_first_place() {
        for (args, expected) in [
            (r#"["/"]"#, vec!["/app.wasm"]),
            (r#"["wasi-demo.wasm", "echo", "x"]"#, vec!["/app.wasm", "echo", "x"]),
            (r##"["/#run", "x"]"##, vec!["/app.wasm#run", "x"]),
            ("[]", vec!["/app.wasm"]),
        ] {
            let text =
                format!(r#"{{"process": {{"cwd": "/", "user": {{"uid": 0, "gid": 0}}, "args": {args}}}}}"#);
            let mut spec: Spec = serde_json::from_str(&text).unwrap();
            enter(&mut spec, "/app.wasm");
            assert_eq!(spec.process().as_ref().unwrap().args().as_ref().unwrap(), &expected);
        }
    }
}
