//! What a guest writes: to its log, and to everybody who is attached; and what they type.
//!
//! Nothing is dropped: a client that is attached and does not read holds the guest up, as a pipe would.

use super::terminal::Terminal;
use crate::folder::Container;
use crate::logs::{Log, Stream};
use crate::record::Config;
use crate::wire::{self, Streams};
use bytes::Bytes;
use futures::future::{Either, select};
use std::io;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;

/// Of a guest's output that is taken at once.
const PIECE_MAX_BYTES: usize = 16 << 10;
/// Pieces that wait for one client, and for the guest.
const WAITING_MAX: usize = 16;

/// What is typed.
pub enum Input {
    Bytes(Bytes),
    End,
}

pub struct Output {
    log: Option<Mutex<Log>>,
    shared: Mutex<Shared>,
    /// Input ends with the client.
    stdin_once: bool,
}

#[derive(Default)]
struct Shared {
    clients: Vec<Client>,
    /// Where clients' input goes, and the other end until a guest has taken it.
    input: Option<(Sender<Input>, Option<Receiver<Input>>)>,
    /// Of clients.
    tasks: Vec<JoinHandle<()>>,
    /// The first failure to write the log was told.
    complained: bool,
}

struct Client {
    streams: Streams,
    sender: Sender<Bytes>,
}

impl Output {
    /// Of a container's own guest.
    pub fn open(container: &Container, config: &Config) -> io::Result<Self> {
        let log = Log::open(container.log_path(), config.log_max_bytes, config.log_files)?;
        let (log, shared) = (Some(Mutex::new(log)), Mutex::default());
        Ok(Output { log, shared, stdin_once: config.stdin_once })
    }

    /// Of a second guest, whose output is its client's alone.
    pub fn without_log() -> Self {
        Output { log: None, shared: Mutex::default(), stdin_once: true }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Before a start: input that another guest took is not this one's.
    pub fn begin(&self) {
        let mut shared = self.shared();
        if matches!(shared.input, Some((_, None))) {
            shared.input = None;
        }
    }

    pub fn is_alone(&self) -> bool {
        let mut shared = self.shared();
        shared.clients.retain(|client| !client.sender.is_closed());
        shared.clients.is_empty()
    }

    /// The guest's end of what clients type; `None` where it reads nothing.
    pub fn input(&self, wanted: bool) -> Option<Receiver<Input>> {
        if !wanted {
            return None;
        }
        let mut shared = self.shared();
        let (_, receiver) = shared.input.get_or_insert_with(new_input);
        receiver.take()
    }

    /// Joins a client: it gets what comes from now on, and its input is the guest's.
    pub fn join(&self, stream: UnixStream, streams: Streams) {
        let (mut from, mut to) = stream.into_split();
        let (sender, mut frames) = channel::<Bytes>(WAITING_MAX);
        let writing = tokio::spawn(async move {
            while let Some(frame) = frames.recv().await {
                if to.write_all(&frame).await.is_err() || frame[0] == wire::END {
                    return;
                }
            }
        });
        let mut shared = self.shared();
        shared.tasks.retain(|task| !task.is_finished());
        shared.tasks.push(writing);
        shared.clients.push(Client { streams, sender: sender.clone() });
        let input = shared.input.get_or_insert_with(new_input).0.clone();
        drop(shared);
        let once = self.stdin_once;
        tokio::spawn(async move {
            let mut buffer = vec![0; PIECE_MAX_BYTES];
            loop {
                let read = match select(pin!(sender.closed()), pin!(from.read(&mut buffer))).await {
                    // The guest has ended, or the client is gone.
                    Either::Left(_) => return,
                    Either::Right((read, _)) => read,
                };
                let typed = match read {
                    Ok(0) if streams.stdin && once => Input::End,
                    Ok(0) | Err(_) => return,
                    Ok(count) => Input::Bytes(Bytes::copy_from_slice(&buffer[..count])),
                };
                let is_end = matches!(typed, Input::End);
                if streams.stdin && input.send(typed).await.is_err() || is_end {
                    return;
                }
            }
        });
    }

    pub async fn pump(&self, stream: Stream, mut from: pipe::Receiver) {
        let mut buffer = vec![0; PIECE_MAX_BYTES];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            self.take(stream, &buffer[..count]).await;
        }
    }

    pub async fn pump_terminal(&self, from: &Terminal) {
        let mut buffer = vec![0; PIECE_MAX_BYTES];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            self.take(Stream::Stdout, &buffer[..count]).await;
        }
    }

    async fn take(&self, stream: Stream, bytes: &[u8]) {
        self.log(|log| log.write(stream, bytes));
        let wants = |client: &Client| match stream {
            Stream::Stdout => client.streams.stdout,
            Stream::Stderr => client.streams.stderr,
        };
        let senders: Vec<_> = {
            let mut shared = self.shared();
            shared.clients.retain(|client| !client.sender.is_closed());
            shared.clients.iter().filter(|client| wants(client)).map(|one| one.sender.clone()).collect()
        };
        if senders.is_empty() {
            return;
        }
        let frame = Bytes::from(wire::frame(stream as u8, bytes));
        for sender in senders {
            // A client that left is seen next time.
            let _ = sender.send(frame.clone()).await;
        }
    }

    fn log(&self, write: impl FnOnce(&mut Log) -> io::Result<()>) {
        let Some(log) = &self.log else { return };
        let result = write(&mut log.lock().unwrap_or_else(PoisonError::into_inner));
        if let Err(error) = result
            && !std::mem::replace(&mut self.shared().complained, true)
        {
            crate::complain(format_args!("the log cannot be written: {error}"));
        }
    }

    /// What is left of lines without an end.
    pub fn flush(&self) {
        self.log(|log| log.flush(Stream::Stdout).and(log.flush(Stream::Stderr)));
    }

    /// Tells everybody that the guest has ended; they are attached no more.
    pub fn end(&self, code: i32) {
        let mut shared = self.shared();
        let frame = Bytes::from(wire::frame(wire::END, code.to_string().as_bytes()));
        for client in std::mem::take(&mut shared.clients) {
            let frame = frame.clone();
            // Behind what still waits.
            let task = tokio::spawn(async move {
                let _ = client.sender.send(frame).await;
            });
            shared.tasks.push(task);
        }
    }

    /// Until all clients have what there is for them.
    pub async fn finish(&self) {
        let tasks = std::mem::take(&mut self.shared().tasks);
        for task in tasks {
            let _ = task.await;
        }
    }
}

fn new_input() -> (Sender<Input>, Option<Receiver<Input>>) {
    let (sender, receiver) = channel(WAITING_MAX);
    (sender, Some(receiver))
}
