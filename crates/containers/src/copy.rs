//! A container's own files: a copy of the image's, which costs nothing where the file system shares blocks.

use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, ioctl_ficlone};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};

/// Copies a folder with all that is in it: files, folders and symbolic links, with their modes and times. Hard links
/// stay together. Anything else is left out; images have nothing else.
///
/// # Errors
/// The path that could not be copied, and why.
pub fn tree(from: &Path, to: &Path) -> Result<(), (PathBuf, io::Error)> {
    let mut links = HashMap::new();
    folder(from, to, &mut links)
}

type Links = HashMap<(u64, u64), PathBuf>;

fn folder(from: &Path, to: &Path, links: &mut Links) -> Result<(), (PathBuf, io::Error)> {
    let failed = |error: io::Error| (from.to_owned(), error);
    let metadata = fs::symlink_metadata(from).map_err(failed)?;
    // Ours to write to, whatever the image says.
    fs::DirBuilder::new().recursive(true).mode(0o700 | metadata.mode() & 0o777).create(to).map_err(failed)?;
    for entry in fs::read_dir(from).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let metadata = entry.metadata().map_err(failed)?;
        if metadata.is_dir() {
            folder(&from, &to, links)?;
        } else {
            one(&from, &to, &metadata, links).map_err(|error| (from, error))?;
        }
    }
    times(to, &metadata).map_err(failed)
}

fn one(from: &Path, to: &Path, metadata: &fs::Metadata, links: &mut Links) -> io::Result<()> {
    if metadata.is_symlink() {
        symlink(fs::read_link(from)?, to)?;
        return times(to, metadata);
    }
    if !metadata.is_file() {
        return Ok(());
    }
    if metadata.nlink() > 1 {
        if let Some(first) = links.get(&(metadata.dev(), metadata.ino())) {
            return fs::hard_link(first, to);
        }
        links.insert((metadata.dev(), metadata.ino()), to.to_owned());
    }
    let source = File::open(from)?;
    let target = File::create_new(to)?;
    if ioctl_ficlone(&target, &source).is_err() {
        // Other file systems copy inside of the kernel.
        io::copy(&mut &source, &mut &target)?;
    }
    rustix::fs::fchmod(&target, Mode::from_raw_mode(metadata.mode() & 0o777))?;
    drop(target);
    times(to, metadata)
}

fn times(to: &Path, metadata: &fs::Metadata) -> io::Result<()> {
    let time = |seconds, nanoseconds| Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = Timestamps {
        last_access: time(metadata.atime(), metadata.atime_nsec()),
        last_modification: time(metadata.mtime(), metadata.mtime_nsec()),
    };
    rustix::fs::utimensat(CWD, to, &times, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(())
}

/// Makes a folder for a mount where there is none, or a file for a file, inside of a root and through no link that
/// leaves it.
///
/// # Errors
/// If something else is in its place.
pub fn mount_point(root: &Path, target: &str, of_file: bool) -> io::Result<()> {
    let mut at = root.to_owned();
    let mut parts = target.split('/').filter(|part| !part.is_empty() && *part != ".").peekable();
    while let Some(part) = parts.next() {
        if part == ".." {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it has `..` in it"));
        }
        at.push(part);
        match fs::symlink_metadata(&at) {
            Ok(metadata) if metadata.is_dir() => {}
            // Its place is taken by a file or a link: what is mounted covers it.
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if of_file && parts.peek().is_none() {
                    return File::create_new(&at).map(drop);
                }
                fs::create_dir(&at)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A folder of an image, if nothing on the way to it is a link.
pub fn folder_of(root: &Path, target: &str) -> Option<PathBuf> {
    let mut at = root.to_owned();
    for part in target.split('/').filter(|part| !part.is_empty() && *part != ".") {
        at.push(part);
        let is_folder = part != ".." && fs::symlink_metadata(&at).is_ok_and(|metadata| metadata.is_dir());
        if !is_folder {
            return None;
        }
    }
    Some(at)
}

/// How much a folder takes, without following links.
pub fn size_bytes(folder: &Path) -> u64 {
    let mut total = 0;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            match FileType::from_raw_mode(metadata.mode()) {
                FileType::Directory => folders.push(entry.path()),
                _ => total += metadata.len(),
            }
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn everything_but_specials_is_copied() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("a"), folder.path().join("b"));
        fs::create_dir_all(from.join("sub")).unwrap();
        fs::write(from.join("sub/file"), "text").unwrap();
        fs::set_permissions(from.join("sub/file"), fs::Permissions::from_mode(0o640)).unwrap();
        fs::hard_link(from.join("sub/file"), from.join("same")).unwrap();
        symlink("/etc/passwd", from.join("link")).unwrap();
        fs::set_permissions(from.join("sub"), fs::Permissions::from_mode(0o555)).unwrap();
        tree(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(to.join("same")).unwrap(), "text");
        let (file, same) =
            (fs::metadata(to.join("sub/file")).unwrap(), fs::metadata(to.join("same")).unwrap());
        assert_eq!((file.mode() & 0o777, file.ino()), (0o640, same.ino()));
        assert_ne!(file.ino(), fs::metadata(from.join("same")).unwrap().ino());
        assert_eq!(fs::read_link(to.join("link")).unwrap(), Path::new("/etc/passwd"));
        assert_eq!(size_bytes(&to), 4 + 4 + 11);
    }

    #[test]
    fn mount_points_stay_inside() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        fs::create_dir(&root).unwrap();
        symlink(folder.path(), root.join("out")).unwrap();
        mount_point(&root, "/a/b", false).unwrap();
        mount_point(&root, "/a/file", true).unwrap();
        assert!(root.join("a/file").is_file());
        assert!(root.join("a/b").is_dir());
        mount_point(&root, "/out/x", false).unwrap();
        assert!(!folder.path().join("x").exists());
        assert!(mount_point(&root, "/../x", false).is_err());
        assert_eq!(folder_of(&root, "/a//b/").unwrap(), root.join("a/b"));
        for missing in ["/a/c", "/out", "/out/root", "/a/../a"] {
            assert_eq!(folder_of(&root, missing), None, "{missing}");
        }
    }
}
