//! The process's standard streams for a guest: written through at once, read by a thread only when asked.

use std::fs::File;
use std::io::IsTerminal as _;
use std::os::fd::AsFd;
use tokio::io::AsyncWrite;
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::cli::{IsTerminal, OutputFile, StdoutStream};
use wasmtime_wasi::p2::OutputStream;

/// A guest's WASI context whose streams are this process's own.
pub fn standard_streams() -> WasiCtxBuilder {
    let mut wasi = WasiCtxBuilder::new();
    // A program has its process to itself: a file call that blocks delays nobody else.
    wasi.allow_blocking_current_thread(true).inherit_stdin();
    if let Some(stdout) = Output::new(std::io::stdout()) {
        wasi.stdout(stdout);
    }
    if let Some(stderr) = Output::new(std::io::stderr()) {
        wasi.stderr(stderr);
    }
    wasi
}

/// Output that a write reaches before it returns, without a thread between.
struct Output {
    file: OutputFile,
    terminal: bool,
}

impl Output {
    /// `None` where the stream is closed: what the guest writes is then dropped.
    fn new(stream: impl AsFd + std::io::IsTerminal) -> Option<Self> {
        let file = File::from(stream.as_fd().try_clone_to_owned().ok()?);
        Some(Output { terminal: file.is_terminal(), file: OutputFile::new(file) })
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        self.terminal
    }
}

impl StdoutStream for Output {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        self.file.p2_stream()
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        self.file.async_stream()
    }
}
