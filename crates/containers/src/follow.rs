//! Reading a file of lines that others append to and begin anew.

use crate::Error;
use chrono::{DateTime, Utc};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A change that inotify does not tell of (a file system without it) is seen after this time.
const AT_LEAST_EVERY: Duration = Duration::from_secs(2);

/// A file that is followed.
pub struct Watch {
    path: PathBuf,
    reader: BufReader<File>,
    inode: u64,
    inotify: OwnedFd,
    /// The beginning of a line whose end is not written yet.
    partial: Vec<u8>,
}

impl Watch {
    /// Begins at the file's first line.
    pub fn new(path: &Path) -> Result<Self, Error> {
        let failed = |error: rustix::io::Errno| Error::File { path: path.to_owned(), error: error.into() };
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(failed)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        // The folder too: a file that is begun anew is another.
        let changes = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::DELETE;
        inotify::add_watch(&inotify, folder, changes).map_err(failed)?;
        let file = File::open(path).map_err(Error::file(path))?;
        let inode = file.metadata().map_err(Error::file(path))?.ino();
        Ok(Watch { path: path.to_owned(), reader: BufReader::new(file), inode, inotify, partial: Vec::new() })
    }

    /// The next whole line, without its end; `None`: there is none yet.
    pub fn line(&mut self) -> Result<Option<String>, Error> {
        loop {
            if self.partial.last() == Some(&b'\n') {
                self.partial.pop();
                let line = String::from_utf8_lossy(&self.partial).into_owned();
                self.partial.clear();
                return Ok(Some(line));
            }
            let read = self.reader.read_until(b'\n', &mut self.partial).map_err(Error::file(&self.path))?;
            if read == 0 && !self.next_file()? {
                return Ok(None);
            }
        }
    }

    /// Goes on with the file that has taken the name; whether there is more to read.
    fn next_file(&mut self) -> Result<bool, Error> {
        let Ok(metadata) = fs::metadata(&self.path) else { return Ok(false) };
        if metadata.ino() == self.inode {
            return Ok(false);
        }
        // What was written to the old one between the last look and now.
        self.reader.read_until(b'\n', &mut self.partial).map_err(Error::file(&self.path))?;
        if self.partial.last() != Some(&b'\n') {
            // A line that nobody will end any more.
            self.partial.clear();
            let file = File::open(&self.path).map_err(Error::file(&self.path))?;
            self.inode = file.metadata().map_err(Error::file(&self.path))?.ino();
            self.reader = BufReader::new(file);
        }
        Ok(true)
    }

    /// Waits until something may have changed; false once the time has come.
    pub fn wait(&mut self, until: Option<DateTime<Utc>>) -> Result<bool, Error> {
        let left = until.map(|until| (until - Utc::now()).to_std().unwrap_or(Duration::ZERO));
        if left.is_some_and(|left| left.is_zero()) {
            return Ok(false);
        }
        let time = left.unwrap_or(AT_LEAST_EVERY).min(AT_LEAST_EVERY);
        let time = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) };
        let mut fds = [PollFd::new(&self.inotify, PollFlags::IN)];
        match poll(&mut fds, Some(&time)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Error::File { path: self.path.clone(), error: error.into() }),
        }
        let mut buffer = [0; 4096];
        // Only that there was something counts.
        while rustix::io::read(&self.inotify, &mut buffer).is_ok_and(|count| count > 0) {}
        Ok(true)
    }
}
