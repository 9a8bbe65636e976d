//! How a supervisor is talked to: over its socket, a line of JSON asks and a line of JSON answers. After an answer that
//! attaches, output comes in frames and input goes as it is.
//!
//! A frame is Docker's (Engine API, "Attach to a container: stream format"): one byte for the stream, three zero bytes, the length
//! in four bytes, big end first, and so many bytes. Stream 3 is ours: its bytes are the exit code in text, and
//! nothing follows.

use crate::Error;
use crate::folder::Container;
use crate::record::Restart;
use oci_spec::runtime::Process;
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;

/// Of a frame.
pub const HEAD_BYTES: usize = 8;
/// The frame with the exit code.
pub const END: u8 = 3;
/// Of a request or an answer.
pub const LINE_MAX_BYTES: u64 = 1 << 20;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Starts the guest, unless it runs.
    Start,
    Signal(i32),
    /// Asks the guest to end, kills it after a while; answered when it has ended.
    Stop {
        signal: Option<i32>,
        timeout_ms: Option<u64>,
    },
    Pause,
    Resume,
    /// Answered when the guest has ended, and is not started again by itself.
    Wait,
    Attach(Streams),
    /// A second guest. Its input and output are those of this connection.
    Exec {
        id: String,
        process: Box<Process>,
        streams: Streams,
    },
    /// Of the container's own terminal, or of a second guest's.
    Resize {
        exec: Option<String>,
        rows: u16,
        columns: u16,
    },
    SetRestart(Restart),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Streams {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Done,
    Exited(i32),
    /// Frames follow.
    Attached {
        pid: u32,
    },
    /// It does not fit the state.
    Conflict(String),
    Failed(String),
}

/// A guest's output and input.
#[derive(Debug)]
pub struct Attached {
    pub pid: u32,
    pub stream: UnixStream,
}

impl Attached {
    /// Copies frames until the guest ends; the exit code, if it was told.
    ///
    /// # Errors
    /// If the connection breaks, or a stream cannot be written to.
    pub fn copy_output(
        &self,
        mut to: impl FnMut(u8, &[u8]) -> std::io::Result<()>,
    ) -> std::io::Result<Option<i32>> {
        let mut reader = BufReader::new(&self.stream);
        let mut bytes = Vec::new();
        loop {
            let mut head = [0; HEAD_BYTES];
            match reader.read_exact(&mut head) {
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
                other => other?,
            }
            let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
            bytes.clear();
            (&mut reader).take(u64::from(length)).read_to_end(&mut bytes)?;
            if head[0] == END {
                return Ok(std::str::from_utf8(&bytes).ok().and_then(|text| text.parse().ok()));
            }
            to(head[0], &bytes)?;
        }
    }
}

/// A frame's head and its bytes.
pub fn frame(stream: u8, bytes: &[u8]) -> Vec<u8> {
    let mut all = Vec::with_capacity(HEAD_BYTES + bytes.len());
    all.extend_from_slice(&[stream, 0, 0, 0]);
    all.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    all.extend_from_slice(bytes);
    all
}

impl Container {
    /// A connection to the supervisor; `None` where none lives.
    pub(crate) fn connect(&self) -> Result<Option<UnixStream>, Error> {
        match connect_in(&self.folder) {
            Ok(stream) => Ok(Some(stream)),
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(Error::File { path: self.path("control.sock"), error }),
        }
    }

    /// Asks the supervisor; `None` where none lives, or it ended before it answered.
    pub(crate) fn ask(&self, request: &Request) -> Result<Option<(Answer, UnixStream)>, Error> {
        let Some(stream) = self.connect()? else { return Ok(None) };
        let mut line = serde_json::to_vec(request).map_err(|error| Error::Invalid(error.to_string()))?;
        line.push(b'\n');
        if (&stream).write_all(&line).is_err() {
            return Ok(None);
        }
        // Byte by byte, so that nothing of what follows is taken.
        let mut answer = Vec::new();
        let read = BufReader::with_capacity(1, (&stream).take(LINE_MAX_BYTES)).read_until(b'\n', &mut answer);
        if read.is_err() || answer.is_empty() {
            return Ok(None);
        }
        let answer = serde_json::from_slice(&answer).map_err(|error| Error::Supervisor(error.to_string()))?;
        Ok(Some((answer, stream)))
    }
}

/// A socket's path may have 107 bytes, and that of a folder more: it is reached through the folder's descriptor.
fn connect_in(folder: &std::path::Path) -> std::io::Result<UnixStream> {
    use std::os::fd::AsRawFd;
    let folder = std::fs::File::open(folder)?;
    UnixStream::connect(format!("/proc/self/fd/{}/control.sock", folder.as_raw_fd()))
}
