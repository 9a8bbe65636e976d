//! The access log: a line of JSON for each request. Whoever serves only copies the line into a buffer; a
//! thread of its own writes it. When that thread cannot keep up, lines are dropped and counted: a full disk
//! must not stop anybody.

use crate::metrics::metrics;
use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Lines that wait to be written may take so much.
const BUFFER_MAX: usize = 4 << 20;

/// Lines are gathered for so long, so that a thread is not woken for each.
const GATHER: Duration = Duration::from_millis(10);

/// Where the lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    Stdout,
    Stderr,
    /// Appended to; see [`AccessLog::reopen`].
    File(PathBuf),
}

/// What is logged; the default leaves out what may be private.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogFields {
    /// The query, which may hold tokens and names.
    pub query: bool,
}

/// One request, after its end.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// When its head had been read.
    pub time: SystemTime,
    /// Until the end of the response's body.
    pub duration: Duration,
    pub id: &'a str,
    pub peer: SocketAddr,
    pub tls: bool,
    /// `1.0`, `1.1` or `2`.
    pub version: &'a str,
    pub method: &'a str,
    pub host: &'a str,
    pub path: &'a str,
    pub query: Option<&'a str>,
    /// 0 where the client left before there was a response.
    pub status: u16,
    /// Of the response's body.
    pub bytes: u64,
    /// The response ended before its end.
    pub broken: bool,
    pub route: Option<&'a str>,
    pub to: Option<&'a str>,
    /// `None` where no upstream had to do with it.
    pub proxied: Option<Proxied<'a>>,
}

/// How an upstream came by the response.
#[derive(Clone, Copy, Debug)]
pub struct Proxied<'a> {
    /// The server that answered, or failed last.
    pub server: Option<SocketAddr>,
    /// How often a server was asked.
    pub attempts: u32,
    /// From the first asking to the response's head, or to giving up.
    pub waited: Duration,
    /// Why the response is the gateway's own.
    pub failure: Option<&'a str>,
    /// The attempts before the last.
    pub tried: &'a [Tried],
}

/// An attempt after which another was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    pub server: SocketAddr,
    pub outcome: Outcome,
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Status(u16),
    /// As metrics name it.
    Failed(&'static str),
}

/// A log that is open. Clones write to the same.
#[derive(Clone)]
pub struct AccessLog {
    shared: Arc<Shared>,
    fields: LogFields,
    /// The last clone ends the thread.
    _end: Arc<End>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<u8>,
    /// The thread waits to be told of a line.
    asleep: bool,
    reopen: bool,
    ended: bool,
    /// Lines have been taken and are not written yet.
    writing: bool,
}

struct End {
    shared: Arc<Shared>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl Drop for End {
    fn drop(&mut self) {
        lock(&self.shared).ended = true;
        self.shared.changed.notify_all();
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic in it was printed by then.
            let _ = thread.join();
        }
    }
}

fn lock(shared: &Shared) -> MutexGuard<'_, State> {
    shared.state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AccessLog {
    /// Opens the target and starts the thread.
    pub fn open(target: &LogTarget, fields: LogFields) -> io::Result<Self> {
        let sink = Sink::open(target)?;
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new() });
        let writer = shared.clone();
        let thread = std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || write_lines(&writer, sink))?;
        let end = Arc::new(End { shared: shared.clone(), thread: Mutex::new(Some(thread)) });
        Ok(AccessLog { shared, fields, _end: end })
    }

    /// Queues a line. It takes no time but that of a copy, and may drop the line.
    pub fn write(&self, record: &Record<'_>) {
        let mut line = Vec::with_capacity(384);
        append(&mut line, record, self.fields);
        let mut state = lock(&self.shared);
        if state.lines.len() + line.len() > BUFFER_MAX {
            drop(state);
            metrics().log_lines_dropped.inc();
            return;
        }
        state.lines.extend_from_slice(&line);
        let wake = std::mem::take(&mut state.asleep);
        drop(state);
        if wake {
            self.shared.changed.notify_all();
        }
    }

    /// Opens the file anew under its name, after it was renamed.
    pub fn reopen(&self) {
        lock(&self.shared).reopen = true;
        self.shared.changed.notify_all();
    }

    /// Waits until all lines so far are written or dropped.
    pub fn flush(&self) {
        let mut state = lock(&self.shared);
        while !state.lines.is_empty() || state.writing {
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn write_lines(shared: &Shared, mut sink: Sink) {
    let mut lines = Vec::new();
    loop {
        let mut state = lock(shared);
        state.writing = false;
        shared.changed.notify_all();
        while state.lines.is_empty() && !state.ended && !state.reopen {
            state.asleep = true;
            state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.asleep = false;
        if state.lines.is_empty() && state.ended {
            return;
        }
        if !state.ended && !state.reopen {
            // More lines are likely to come; one write takes them all.
            let until = |state: &mut State| !state.ended && !state.reopen;
            let waited = shared.changed.wait_timeout_while(state, GATHER, until);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        std::mem::swap(&mut lines, &mut state.lines);
        state.writing = true;
        let reopen = std::mem::take(&mut state.reopen);
        drop(state);
        if sink.write(&lines).is_err() {
            metrics().log_lines_dropped.inc_by(lines.iter().filter(|byte| **byte == b'\n').count() as u64);
        }
        lines.clear();
        if reopen {
            sink.reopen();
        }
    }
}

enum Sink {
    Stdout,
    Stderr,
    File(File, PathBuf),
}

impl Sink {
    fn open(target: &LogTarget) -> io::Result<Self> {
        Ok(match target {
            LogTarget::Stdout => Sink::Stdout,
            LogTarget::Stderr => Sink::Stderr,
            LogTarget::File(path) => Sink::File(append_to(path)?, path.clone()),
        })
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Sink::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(lines)?;
                out.flush()
            }
            Sink::Stderr => io::stderr().lock().write_all(lines),
            Sink::File(file, _) => file.write_all(lines),
        }
    }

    fn reopen(&mut self) {
        if let Sink::File(file, path) = self {
            // Where that fails, the old file still takes the lines.
            if let Ok(new) = append_to(path) {
                *file = new;
            }
        }
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    File::options().create(true).append(true).open(path)
}

/// Writing to a vector fails never.
fn append(line: &mut Vec<u8>, record: &Record<'_>, fields: LogFields) {
    line.extend_from_slice(b"{\"time\":\"");
    time(line, record.time);
    line.push(b'"');
    let _ = write!(line, ",\"peer\":\"{}\",\"tls\":{}", record.peer, record.tls);
    let texts = [
        ("id", Some(record.id)),
        ("http", Some(record.version)),
        ("method", Some(record.method)),
        ("host", Some(record.host)),
        ("path", Some(record.path)),
        ("query", record.query.filter(|_| fields.query)),
        ("route", record.route),
        ("to", record.to),
    ];
    for (name, text) in texts {
        let Some(text) = text else { continue };
        let _ = write!(line, ",\"{name}\":");
        let _ = serde_json::to_writer(&mut *line, text);
    }
    let millis = record.duration.as_secs_f64() * 1e3;
    let _ =
        write!(line, ",\"status\":{},\"bytes\":{},\"duration_ms\":{millis:.3}", record.status, record.bytes);
    if record.broken {
        line.extend_from_slice(b",\"broken\":true");
    }
    if let Some(proxied) = &record.proxied {
        append_proxied(line, proxied);
    }
    line.extend_from_slice(b"}\n");
}

/// Nothing of it has to be escaped.
fn append_proxied(line: &mut Vec<u8>, proxied: &Proxied<'_>) {
    if let Some(server) = proxied.server {
        let _ = write!(line, ",\"server\":\"{server}\"");
    }
    let millis = proxied.waited.as_secs_f64() * 1e3;
    let _ = write!(line, ",\"attempts\":{},\"upstream_ms\":{millis:.3}", proxied.attempts);
    if let Some(failure) = proxied.failure {
        let _ = write!(line, ",\"failure\":\"{failure}\"");
    }
    for (index, Tried { server, outcome }) in proxied.tried.iter().enumerate() {
        let before = if index == 0 { ",\"tried\":[" } else { "," };
        let _ = match outcome {
            Outcome::Status(status) => write!(line, "{before}\"{server} {status}\""),
            Outcome::Failed(reason) => write!(line, "{before}\"{server} {reason}\""),
        };
    }
    if !proxied.tried.is_empty() {
        line.push(b']');
    }
}

/// RFC 3339 in UTC with milliseconds.
fn time(line: &mut Vec<u8>, time: SystemTime) {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    let (second, millis) = (second % 60, since.subsec_millis());
    let _ = write!(line, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z");
}

/// The Gregorian date of a day since 1970, by counting years from a March so that the leap day is a year's
/// last (the method is described in Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms").
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let march = (5 * day + 2) / 153;
    let month = if march < 10 { march + 3 } else { march - 9 };
    (year + era * 400 + u64::from(month <= 2), month, day - (153 * march + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record<'static> {
        Record {
            time: UNIX_EPOCH + Duration::from_millis(1_709_210_096_007),
            duration: Duration::from_micros(1500),
            id: "abc",
            peer: ([127, 0, 0, 1], 5000).into(),
            tls: false,
            version: "1.1",
            method: "GET",
            host: "a\"b",
            path: "/x",
            query: Some("token=1"),
            status: 200,
            bytes: 7,
            broken: false,
            route: None,
            to: Some("api"),
            proxied: None,
        }
    }

    #[test]
    fn a_line_is_json_without_the_query() {
        let mut line = Vec::new();
        append(&mut line, &record(), LogFields::default());
        let value: serde_json::Value = serde_json::from_slice(&line).unwrap();
        let expected = serde_json::json!({
            "time": "2024-02-29T12:34:56.007Z", "peer": "127.0.0.1:5000", "tls": false, "id": "abc",
            "http": "1.1", "method": "GET", "host": "a\"b", "path": "/x", "to": "api", "status": 200,
            "bytes": 7, "duration_ms": 1.5,
        });
        assert_eq!(value, expected);
        line.clear();
        append(&mut line, &record(), LogFields { query: true });
        assert!(String::from_utf8(line).unwrap().contains("token=1"));
    }

    #[test]
    fn a_line_says_which_servers_were_asked() {
        let (first, second) = (([127, 0, 0, 1], 1).into(), ([127, 0, 0, 1], 2).into());
        let tried = [
            Tried { server: first, outcome: Outcome::Failed("connect") },
            Tried { server: second, outcome: Outcome::Status(503) },
        ];
        let proxied = Proxied {
            server: Some(first),
            attempts: 3,
            waited: Duration::from_micros(2500),
            failure: Some("reset"),
            tried: &tried,
        };
        let mut line = Vec::new();
        append(&mut line, &Record { proxied: Some(proxied), ..record() }, LogFields::default());
        let value: serde_json::Value = serde_json::from_slice(&line).unwrap();
        let shown = ["server", "attempts", "upstream_ms", "failure", "tried"].map(|key| value[key].clone());
        let tried = ["127.0.0.1:1 connect", "127.0.0.1:2 503"];
        assert_eq!(serde_json::json!(shown), serde_json::json!(["127.0.0.1:1", 3, 2.5, "reset", tried]));
    }

    #[test]
    fn dates() {
        for (days, expected) in [
            (0, (1970, 1, 1)),
            (59, (1970, 3, 1)),
            (10_956, (1999, 12, 31)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
        ] {
            assert_eq!(date(days), expected, "{days}");
        }
    }

    #[test]
    fn lines_reach_a_file_and_its_successor() {
        let folder = std::env::temp_dir().join(format!("sampan-log-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("access.log");
        let log = AccessLog::open(&LogTarget::File(path.clone()), LogFields::default()).unwrap();
        log.write(&record());
        log.flush();
        let moved = folder.join("access.log.1");
        std::fs::rename(&path, &moved).unwrap();
        log.reopen();
        while !path.exists() {
            std::thread::yield_now();
        }
        log.write(&record());
        log.write(&record());
        drop(log);
        let lines = |path| std::fs::read_to_string(path).unwrap().lines().count();
        assert_eq!((lines(&moved), lines(&path)), (1, 2));
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_disk_that_is_full_stops_nobody() {
        let full = LogTarget::File("/dev/full".into());
        let log = AccessLog::open(&full, LogFields::default()).unwrap();
        let before = metrics().log_lines_dropped.get();
        log.write(&record());
        log.flush();
        assert_eq!(metrics().log_lines_dropped.get(), before + 1);
    }
}
