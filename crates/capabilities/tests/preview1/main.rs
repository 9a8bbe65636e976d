//! Preview 1 and 0 as guests meet them: modules run in this process, with real files and sockets.

mod abi;
mod chaos;
mod examples;
mod files;
mod refusals;
mod sockets;

use sampan_app::{Grants, Program, Protocol};
use sampan_capabilities::{Host, resolve_module_imports};
use sampan_testing::PATIENCE;
use std::fs::File;
use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Instant;
use tokio::net::unix::pipe::Receiver;
use wasmtime::{Engine, Instance, Module, Store, StoreLimits};
use wasmtime_wasi::cli::{AsyncStdinStream, OutputFile};
use wasmtime_wasi::{I32Exit, WasiCtxBuilder};

/// What a guest is granted, in the text forms of the flags.
#[derive(Default)]
struct Flags<'a> {
    args: &'a [&'a str],
    env: &'a [(&'a str, &'a str)],
    mounts: &'a [String],
    tcp: &'a [&'a str],
    udp: &'a [&'a str],
    ports: &'a [&'a str],
}

impl Flags<'_> {
    fn program(&self) -> Program {
        let grants = Grants {
            env: self.env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            mounts: self.mounts.iter().map(|mount| mount.parse().unwrap()).collect(),
            tcp: self.tcp.iter().map(|rule| rule.parse().unwrap()).collect(),
            udp: self.udp.iter().map(|rule| rule.parse().unwrap()).collect(),
            ports: self.ports.iter().map(|port| port.parse().unwrap()).collect(),
            ..Grants::default()
        };
        let args = std::iter::once("guest").chain(self.args.iter().copied()).map(str::to_owned).collect();
        Program { args, grants, ..Program::default() }
    }
}

/// A guest that runs in a thread of its own.
struct Guest {
    /// Host addresses of its ports.
    ports: Vec<(Protocol, u16, SocketAddr)>,
    stdin: PipeWriter,
    /// Its lines, with their ends.
    stdout: mpsc::Receiver<String>,
    thread: JoinHandle<Result<(), wasmtime::Error>>,
}

/// How a guest ended.
#[derive(Debug)]
struct Ended {
    /// The exit code, or what the trap says.
    code: Result<i32, String>,
    /// What it printed and nobody had read.
    stdout: String,
}

impl Guest {
    /// Starts a module in binary or text form.
    fn start(wasm: &[u8], flags: &Flags<'_>) -> Guest {
        let engine = Engine::default();
        let module = Module::new(&engine, wasm).unwrap();
        let program = flags.program();
        let (stdin, stdin_writer) = std::io::pipe().unwrap();
        let (stdout_reader, stdout) = std::io::pipe().unwrap();
        let (ports_sender, ports) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let result = runtime.block_on(async {
                let mut wasi = WasiCtxBuilder::new();
                let stdin = Receiver::from_file(File::from(OwnedFd::from(stdin))).unwrap();
                wasi.stdin(AsyncStdinStream::new(stdin))
                    .stdout(OutputFile::new(File::from(OwnedFd::from(stdout))));
                let host = Host::new(&program, wasi, Box::new(StoreLimits::default())).unwrap();
                ports_sender.send(host.sockets.mapped_ports()).unwrap();
                run(&engine, &module, host).await
            });
            // A read of standard input may still be under way in a thread of the runtime.
            runtime.shutdown_background();
            result
        });
        Guest {
            ports: ports.recv_timeout(PATIENCE).unwrap(),
            stdin: stdin_writer,
            stdout: lines_of(stdout_reader),
            thread,
        }
    }

    fn start_file(path: impl AsRef<Path>, flags: &Flags<'_>) -> Guest {
        Guest::start(&std::fs::read(path).unwrap(), flags)
    }

    /// Where a port of the guest is.
    fn address(&self, guest_port: u16) -> SocketAddr {
        self.ports.iter().find(|(_, port, _)| *port == guest_port).unwrap().2
    }

    /// The next line that the guest prints; empty when it has closed its output.
    fn line(&mut self) -> String {
        match self.stdout.recv_timeout(PATIENCE) {
            Ok(line) => line.trim_end().to_owned(),
            Err(RecvTimeoutError::Disconnected) => String::new(),
            Err(RecvTimeoutError::Timeout) => panic!("the guest says nothing"),
        }
    }

    fn wait_for_line(&mut self, text: &str) {
        loop {
            let line = self.line();
            if line.contains(text) {
                return;
            }
            assert!(!line.is_empty(), "the guest ended without saying `{text}`");
        }
    }

    /// A connection to a port of the guest, which may not listen yet.
    fn connect(&self, guest_port: u16) -> TcpStream {
        let give_up = Instant::now() + PATIENCE;
        loop {
            match TcpStream::connect(self.address(guest_port)) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    return stream;
                }
                Err(error) => {
                    assert!(!self.thread.is_finished(), "the guest ended: {error}");
                    assert!(Instant::now() < give_up, "the guest does not listen: {error}");
                    std::thread::yield_now();
                }
            }
        }
    }

    fn say(&mut self, text: &str) {
        self.stdin.write_all(text.as_bytes()).unwrap();
    }

    fn end(self) -> Ended {
        drop(self.stdin);
        let give_up = Instant::now() + PATIENCE;
        let mut stdout = String::new();
        loop {
            match self.stdout.recv_timeout(give_up.saturating_duration_since(Instant::now())) {
                Ok(line) => stdout += &line,
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("the guest does not end; it said: {stdout}"),
            }
        }
        let code = match self.thread.join().unwrap() {
            Ok(()) => Ok(0),
            Err(error) => match error.downcast_ref::<I32Exit>() {
                Some(exit) => Ok(exit.0),
                None => Err(format!("{error:?}")),
            },
        };
        Ended { code, stdout }
    }
}

fn lines_of(pipe: PipeReader) -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        loop {
            let mut line = String::new();
            match pipe.read_line(&mut line) {
                Ok(len) if len > 0 => drop(sender.send(line)),
                _ => return,
            }
        }
    });
    lines
}

async fn run(engine: &Engine, module: &Module, host: Host) -> wasmtime::Result<()> {
    let mut store = Store::new(engine, host);
    let imports = resolve_module_imports(&mut store, module)?;
    let instance = Instance::new_async(&mut store, module, &imports).await?;
    let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
    start.call_async(&mut store, ()).await
}

/// Runs a module to its end.
fn run_to_end(wasm: impl AsRef<[u8]>, flags: &Flags<'_>) -> Ended {
    Guest::start(wasm.as_ref(), flags).end()
}
