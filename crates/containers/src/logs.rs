//! What a container wrote: kept as lines of JSON, as Docker's `json-file` driver does
//! (moby, daemon/logger/jsonfilelog/jsonlog), so that what reads those reads these.

use crate::Error;
use crate::folder::Container;
use crate::follow::Watch;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;

/// A line that is longer is kept in several pieces.
const LINE_MAX_BYTES: usize = 16 << 10;
/// Where nobody said otherwise, so much of the output is kept: in this many files of this size.
const FILE_MAX_BYTES: u64 = 10 << 20;
const FILES: u32 = 3;

/// Which of the guest's streams, with Docker's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Stdout = 1,
    Stderr = 2,
}

impl Stream {
    fn name(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Line<'a> {
    /// With its end, if it had one.
    log: std::borrow::Cow<'a, str>,
    stream: std::borrow::Cow<'a, str>,
    time: std::borrow::Cow<'a, str>,
}

/// Writes the log of one container.
pub struct Log {
    path: PathBuf,
    file: File,
    written: u64,
    max_bytes: u64,
    files: u32,
    /// Of each stream, the beginning of a line.
    partial: [Vec<u8>; 2],
}

impl Log {
    /// Goes on with the container's log.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(path: PathBuf, max_bytes: Option<u64>, files: Option<u32>) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(&path)?;
        let written = file.metadata()?.len();
        let (max_bytes, files) = (max_bytes.unwrap_or(FILE_MAX_BYTES), files.unwrap_or(FILES).max(1));
        Ok(Log { path, file, written, max_bytes, files, partial: [Vec::new(), Vec::new()] })
    }

    /// Takes output as it comes; whole lines are written.
    ///
    /// # Errors
    /// If the disk is full, say. What could not be written is lost.
    pub fn write(&mut self, stream: Stream, mut bytes: &[u8]) -> io::Result<()> {
        let mut result = Ok(());
        while !bytes.is_empty() {
            let partial = &mut self.partial[stream as usize - 1];
            let room = &bytes[..bytes.len().min(LINE_MAX_BYTES - partial.len())];
            let end = room.iter().position(|byte| *byte == b'\n').map_or(room.len(), |at| at + 1);
            partial.extend_from_slice(&bytes[..end]);
            bytes = &bytes[end..];
            if partial.ends_with(b"\n") || partial.len() == LINE_MAX_BYTES {
                result = result.and(self.flush(stream));
            }
        }
        result
    }

    /// Writes what is left of a line that has no end.
    ///
    /// # Errors
    /// As [`Log::write`].
    pub fn flush(&mut self, stream: Stream) -> io::Result<()> {
        let text = std::mem::take(&mut self.partial[stream as usize - 1]);
        if text.is_empty() {
            return Ok(());
        }
        let time = Utc::now().to_rfc3339_opts(SecondsFormat::Nanos, true);
        let line =
            Line { log: String::from_utf8_lossy(&text), stream: stream.name().into(), time: time.into() };
        let mut line = serde_json::to_vec(&line)?;
        line.push(b'\n');
        if self.written > 0 && self.written + line.len() as u64 > self.max_bytes {
            self.rotate()?;
        }
        if let Err(error) = self.file.write_all(&line) {
            // Half a line would take the next one with it.
            let _ = self.file.set_len(self.written);
            return Err(error);
        }
        self.written += line.len() as u64;
        Ok(())
    }

    /// `log.json` becomes `log.json.1`, that `log.json.2`, and so on; the oldest goes.
    fn rotate(&mut self) -> io::Result<()> {
        let name = |number: u32| match number {
            0 => self.path.clone(),
            _ => PathBuf::from(format!("{}.{number}", self.path.display())),
        };
        for number in (0..self.files - 1).rev() {
            match fs::rename(name(number), name(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        if self.files == 1 {
            fs::remove_file(&self.path)?;
        }
        self.file = File::options().create(true).append(true).open(&self.path)?;
        self.written = 0;
        Ok(())
    }
}

/// Which lines are wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub stdout: bool,
    pub stderr: bool,
    pub since: Option<DateTime<Utc>>,
    pub until: Option<DateTime<Utc>>,
    /// The last so many of what there is at the beginning.
    pub tail: Option<usize>,
    /// Go on until the container ends.
    pub follow: bool,
}

impl Default for Wanted {
    fn default() -> Self {
        Wanted { stdout: true, stderr: true, since: None, until: None, tail: None, follow: false }
    }
}

/// A piece of output as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    pub stream: Stream,
    pub time: DateTime<Utc>,
    pub text: String,
}

impl Wanted {
    fn take(&self, line: &str) -> Option<Logged> {
        let line: Line<'_> = serde_json::from_str(line).ok()?;
        let time = DateTime::parse_from_rfc3339(&line.time).ok()?.with_timezone(&Utc);
        let stream = if line.stream == "stderr" { Stream::Stderr } else { Stream::Stdout };
        let wanted = match stream {
            Stream::Stdout => self.stdout,
            Stream::Stderr => self.stderr,
        };
        let fits = wanted
            && self.since.is_none_or(|since| time >= since)
            && self.until.is_none_or(|until| time <= until);
        fits.then(|| Logged { stream, time, text: line.log.into_owned() })
    }
}

impl Container {
    /// What the container has written, in order. Ends when `to` returns false; while nothing is written, `goes_on` is
    /// asked every few seconds.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn logs(
        &self,
        wanted: &Wanted,
        goes_on: &dyn Fn() -> bool,
        to: &mut dyn FnMut(Logged) -> bool,
    ) -> Result<(), Error> {
        let path = self.log_path();
        let mut last: VecDeque<Logged> = VecDeque::new();
        let mut take = |logged: Logged| match wanted.tail {
            Some(tail) => {
                last.push_back(logged);
                if last.len() > tail {
                    last.pop_front();
                }
                true
            }
            None => to(logged),
        };
        // 1. What was set aside, the oldest first.
        let mut older = Vec::new();
        for number in 1.. {
            let Ok(file) = File::open(format!("{}.{number}", path.display())) else { break };
            older.push(file);
        }
        for file in older.into_iter().rev() {
            for line in BufReader::new(file).lines().map_while(Result::ok) {
                if wanted.take(&line).is_some_and(|logged| !take(logged)) {
                    return Ok(());
                }
            }
        }
        // 2. What is there of the present file.
        File::options().create(true).append(true).open(&path).map_err(Error::file(&path))?;
        let mut watch = Watch::new(&path)?;
        while let Some(line) = watch.line()? {
            if wanted.take(&line).is_some_and(|logged| !take(logged)) {
                return Ok(());
            }
        }
        for logged in last {
            if !to(logged) {
                return Ok(());
            }
        }
        // 3. What comes.
        if wanted.follow { self.follow(&mut watch, wanted, goes_on, to) } else { Ok(()) }
    }

    fn follow(
        &self,
        watch: &mut Watch,
        wanted: &Wanted,
        goes_on: &dyn Fn() -> bool,
        to: &mut dyn FnMut(Logged) -> bool,
    ) -> Result<(), Error> {
        loop {
            // Before the last look, so that nothing between the two is missed.
            let live = self.state().is_ok_and(|state| state.status.is_live());
            while let Some(line) = watch.line()? {
                if wanted.take(&line).is_some_and(|logged| !to(logged)) {
                    return Ok(());
                }
            }
            if !live || !goes_on() || !watch.wait(wanted.until)? {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(path: &std::path::Path) -> Vec<(String, String)> {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .map(|line| (line["stream"].as_str().unwrap().into(), line["log"].as_str().unwrap().into()))
            .collect()
    }

    #[test]
    fn lines_are_whole_and_long_ones_in_pieces() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.json");
        let mut log = Log::open(path.clone(), None, None).unwrap();
        log.write(Stream::Stdout, b"on").unwrap();
        log.write(Stream::Stderr, b"other\n").unwrap();
        log.write(Stream::Stdout, b"e\ntwo\nthr").unwrap();
        log.write(Stream::Stdout, &vec![b'x'; LINE_MAX_BYTES]).unwrap();
        log.flush(Stream::Stdout).unwrap();
        let kept = kept(&path);
        let texts: Vec<_> = kept.iter().map(|(stream, text)| (stream.as_str(), text.as_str())).collect();
        assert_eq!(texts[..3], [("stderr", "other\n"), ("stdout", "one\n"), ("stdout", "two\n")]);
        assert_eq!(texts[3].1.len(), LINE_MAX_BYTES);
        assert_eq!(texts[4], ("stdout", "xxx"));
        assert_eq!(texts.len(), 5);
    }

    #[test]
    fn files_are_set_aside_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.json");
        let mut log = Log::open(path.clone(), Some(200), Some(2)).unwrap();
        for number in 0..10 {
            log.write(Stream::Stdout, format!("line {number}\n").as_bytes()).unwrap();
        }
        let texts: Vec<_> = kept(&folder.path().join("log.json.1"))
            .into_iter()
            .chain(kept(&path))
            .map(|(_, text)| text)
            .collect();
        assert_eq!(texts.last().map(String::as_str), Some("line 9\n"));
        assert!(texts.len() < 10 && fs::read_dir(folder.path()).unwrap().count() == 2, "{texts:?}");
    }
}
