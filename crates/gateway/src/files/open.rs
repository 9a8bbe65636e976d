//! Opens what a request names, beneath a folder and nowhere else.
//!
//! The kernel resolves the path (openat2 with RESOLVE_BENEATH, man 2 openat2): neither `..` nor a symbolic
//! link leads out, also while somebody renames folders. Kernels before 5.6, and sandboxes that refuse the
//! call, get a walk from folder to folder that follows no symbolic link at all.

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// What was found; nothing else is ever served.
pub enum Opened {
    File(File, Stat),
    Folder,
}

/// How often a walk is begun again when somebody renames what it passes.
const RETRIES: usize = 8;

/// Nothing is waited for: a FIFO opens at once, and is refused then.
const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// Opens the folder itself. Anew for each request: it may have been replaced as a whole.
pub fn folder(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Opens `path`, which is relative and may be empty. `None`: nothing there that may be served.
pub fn beneath(folder: BorrowedFd<'_>, path: &Path) -> Result<Option<Opened>, Errno> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let opened = match resolved(folder, path) {
        // EPERM comes from filters that do not know the call.
        Err(Errno::NOSYS | Errno::PERM) => walked(folder, path),
        opened => opened,
    };
    let file = match opened {
        Ok(file) => file,
        Err(errno) if is_missing(errno) => return Ok(None),
        Err(errno) => return Err(errno),
    };
    let stat = rustix::fs::fstat(&file)?;
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Some(Opened::File(File::from(file), stat)),
        FileType::Directory => Some(Opened::Folder),
        _ => None,
    })
}

fn resolved(folder: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, Errno> {
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    for _ in 0..RETRIES {
        match rustix::fs::openat2(folder, path, FLAGS, Mode::empty(), how) {
            Err(Errno::AGAIN) => {}
            opened => return opened,
        }
    }
    Err(Errno::AGAIN)
}

fn walked(folder: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, Errno> {
    let mut at: Option<OwnedFd> = None;
    let mut names = path.components().peekable();
    while let Some(name) = names.next() {
        let here = at.as_ref().map_or(folder, AsFd::as_fd);
        let flags = match names.peek() {
            Some(_) => OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            None => FLAGS,
        };
        let name = match name {
            std::path::Component::Normal(name) => Path::new(name),
            std::path::Component::CurDir => Path::new("."),
            _ => return Err(Errno::XDEV),
        };
        at = Some(rustix::fs::openat(here, name, flags | OFlags::NOFOLLOW, Mode::empty())?);
    }
    at.ok_or(Errno::NOENT)
}

/// Nothing there, not what the name says, led outside (EXDEV), or not a file one can read (a socket).
pub fn is_missing(errno: Errno) -> bool {
    use Errno as E;
    [E::NOENT, E::NOTDIR, E::LOOP, E::XDEV, E::NAMETOOLONG, E::NXIO, E::NODEV, E::INVAL, E::ILSEQ]
        .contains(&errno)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn without_openat2_the_walk_follows_no_link() {
        let outside = sampan_testing::temp_dir();
        std::fs::write(outside.path().join("secret"), "s").unwrap();
        let dir = sampan_testing::temp_dir();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        std::fs::write(dir.path().join("a/b/c"), "c").unwrap();
        symlink(outside.path(), dir.path().join("out")).unwrap();
        symlink("a", dir.path().join("in")).unwrap();
        symlink(outside.path().join("secret"), dir.path().join("a/file")).unwrap();
        let folder = folder(dir.path()).unwrap();
        let walk = |path: &str| walked(folder.as_fd(), Path::new(path)).map(drop);
        assert_eq!(walk("a/b/c"), Ok(()));
        assert_eq!(walk("a/b"), Ok(()));
        assert_eq!(walk("."), Ok(()));
        for path in ["out/secret", "in/b/c", "a/file", "../x", "a/../../x", "/etc/passwd", "a/b/c/d", "none"]
        {
            assert!(walk(path).is_err_and(is_missing), "{path}");
        }
    }
}
