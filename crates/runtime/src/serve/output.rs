//! What served guests print: whole lines, each with the name of its component in front.

use std::io::Write;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError};

/// A longer line is cut into several.
const LINE_MAX: usize = 8 << 10;
/// What a guest may write at once.
const WRITE_MAX: usize = 64 << 10;

/// Takes one line, without its end; the first argument is `app/component`.
pub type Log = Arc<dyn Fn(&str, &str) + Send + Sync>;

/// Lines go to Sampan's standard error.
pub fn to_stderr() -> Log {
    Arc::new(|name, line| {
        let line = format!("[{name}] {line}\n");
        // A log that nobody reads must not stop the guests.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    })
}

/// A guest's standard output or error. Costs nothing until the guest asks for the stream.
#[derive(Clone)]
pub struct Output(Arc<Target>);

/// Where the lines of one component go.
pub struct Target {
    pub name: String,
    pub log: Log,
}

impl Output {
    pub fn new(target: &Arc<Target>) -> Self {
        Output(Arc::clone(target))
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(Lines { target: Arc::clone(&self.0), line: Vec::new() })
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(Lines { target: Arc::clone(&self.0), line: Vec::new() })
    }
}

struct Lines {
    target: Arc<Target>,
    line: Vec<u8>,
}

impl Lines {
    fn take(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            for part in text.chunks(LINE_MAX) {
                if self.line.len() + part.len() > LINE_MAX {
                    self.end();
                }
                self.line.extend_from_slice(part);
            }
            if ends {
                self.end();
            }
        }
    }

    fn end(&mut self) {
        let text = String::from_utf8_lossy(&self.line);
        (self.target.log)(&self.target.name, text.trim_end_matches('\r'));
        self.line.clear();
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            self.end();
        }
    }
}

#[async_trait]
impl Pollable for Lines {
    async fn ready(&mut self) {}
}

#[async_trait]
impl OutputStream for Lines {
    fn write(&mut self, bytes: bytes::Bytes) -> Result<(), StreamError> {
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        Ok(WRITE_MAX)
    }
}

impl AsyncWrite for Lines {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn output_becomes_whole_lines_of_bounded_length() {
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let sink = Arc::clone(&seen);
        let log: Log = Arc::new(move |name, line| sink.lock().unwrap().push(format!("[{name}] {line}")));
        let target = Arc::new(Target { name: "shop/api".into(), log });
        let mut lines = Lines { target, line: Vec::new() };
        lines.take(b"one\ntw");
        lines.take(b"o\r\n\nend");
        lines.take(&[b'x'; LINE_MAX + 1]);
        drop(lines);
        let seen = seen.lock().unwrap();
        assert_eq!(seen[..3], ["[shop/api] one", "[shop/api] two", "[shop/api] "]);
        assert!(seen[3..].iter().all(|line| line.len() <= LINE_MAX + "[shop/api] ".len()), "{seen:?}");
        assert_eq!(seen[3..].concat().matches('x').count(), LINE_MAX + 1);
    }
}
