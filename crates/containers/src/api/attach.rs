//! `POST /containers/ID/attach`, and the way in which it and `exec` take a connection over (Engine API, "Attach to a
//! container: hijacking"): a client that asks for an upgrade gets the bare connection, another one a body without an
//! end.

use super::answer::{Answered, Body, Failure, Out, empty, out};
use super::call::{Call, outside};
use super::logs;
use crate::logs::Wanted;
use crate::wire::{END, HEAD_BYTES, Streams, frame};
use crate::{Attached, Container};
use chrono::Utc;
use futures::future::{Either, select};
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue, UPGRADE};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::{Pin, pin};
use std::sync::Arc;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, Interest, WriteHalf};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// Of what goes through at once.
const PIECE_MAX_BYTES: usize = 16 << 10;
/// A supervisor sends less in a frame.
const FRAME_MAX_BYTES: usize = 1 << 20;

/// A client whose connection was taken over.
pub struct Client {
    from: Box<dyn AsyncRead + Send + Unpin>,
    to: Box<dyn AsyncWrite + Send + Unpin>,
    /// Until it has left.
    gone: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// How a connection is taken over.
pub enum Takeover {
    /// As it is, once the answer is out.
    Upgrade(OnUpgrade),
    /// Only the answer's body.
    Body,
}

/// A client that is about to talk on its own terms.
type Coming = Pin<Box<dyn Future<Output = Option<Client>> + Send>>;

impl Takeover {
    /// What a request asks for.
    pub fn of(request: &mut Request<Incoming>) -> Self {
        match request.headers().contains_key(UPGRADE) {
            true => Takeover::Upgrade(hyper::upgrade::on(request)),
            false => Takeover::Body,
        }
    }

    /// The answer, and the client that comes after it: `None` if it leaves before. What it sends without an upgrade is
    /// in `body`.
    pub fn take(self, body: Option<Incoming>, kind: &'static str) -> (Response<Body>, Coming) {
        let (mut response, client): (_, Coming) = match self {
            Takeover::Upgrade(upgrade) => {
                let mut response = Response::new(empty());
                *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
                response.extensions_mut().insert(ReasonPhrase::from_static(b"UPGRADED"));
                upgraded_headers(response.headers_mut());
                (response, Box::pin(async move { Client::of(upgrade.await.ok()?) }))
            }
            Takeover::Body => {
                let (out, answer) = out();
                (Response::new(answer), Box::pin(async move { Some(Client::of_body(body, out)) }))
            }
        };
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        (response, client)
    }
}

fn upgraded_headers(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("tcp"));
}

impl Client {
    fn of(upgraded: Upgraded) -> Option<Self> {
        let parts = upgraded.downcast::<TokioIo<UnixStream>>().ok()?;
        let stream = parts.io.into_inner();
        let descriptor = stream.as_fd().try_clone_to_owned().ok()?;
        let (from, to) = stream.into_split();
        // What it sent before it had the answer.
        let from = io::Cursor::new(parts.read_buf).chain(from);
        Some(Client { from: Box::new(from), to: Box::new(to), gone: Box::pin(hung_up(descriptor)) })
    }

    /// Says why there is nothing else.
    pub async fn complain(mut self, why: &str, tty: bool) {
        let text = format!("{why}\r\n").into_bytes();
        let bytes = if tty { text } else { frame(2, &text) };
        // The client may have left.
        let _ = self.to.write_all(&bytes).await;
        let _ = self.to.shutdown().await;
    }

    fn of_body(body: Option<Incoming>, out: Out) -> Self {
        let (near, far) = tokio::io::duplex(PIECE_MAX_BYTES);
        let (from, to) = tokio::io::split(near);
        let (out_from, in_to) = tokio::io::split(far);
        let gone = out.clone();
        tokio::spawn(carry_out(out_from, out));
        tokio::spawn(carry_in(body, in_to));
        Client { from: Box::new(from), to: Box::new(to), gone: Box::pin(async move { gone.closed().await }) }
    }
}

async fn carry_out(mut from: impl AsyncRead + Unpin, out: Out) {
    let mut buffer = vec![0; PIECE_MAX_BYTES];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if !out.send(buffer[..count].to_vec()).await {
            return;
        }
    }
}

async fn carry_in(body: Option<Incoming>, mut to: WriteHalf<DuplexStream>) {
    if let Some(mut body) = body {
        while let Some(Ok(piece)) = body.frame().await {
            let piece = piece.into_data().unwrap_or_default();
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
    }
    // The guest may have ended.
    let _ = to.shutdown().await;
}

/// Until both directions of a connection are closed. One that is closed for writing alone is a client that has no
/// more input, and waits for output.
async fn hung_up(descriptor: OwnedFd) {
    // Of urgent data there is none; what is always told is the end.
    // SAFETY: an `OwnedFd` stays open, and the same, for as long as it is owned.
    let watched = unsafe { AsyncFd::register_with_interest(descriptor, Interest::PRIORITY) };
    match watched {
        Ok(watched) => drop(watched.ready(Interest::PRIORITY).await.map(|mut ready| ready.retain_ready())),
        // Then writing tells it.
        Err(_) => std::future::pending().await,
    }
}

pub async fn attach(mut call: Call, name: &str) -> Answered {
    let query = &call.query;
    let streams =
        Streams { stdin: query.flag("stdin"), stdout: query.flag("stdout"), stderr: query.flag("stderr") };
    let (with_logs, stays) = (query.flag("logs"), query.flag("stream"));
    let takeover = Takeover::of(&mut call.request);
    let (api, name) = (Arc::clone(&call.api), name.to_owned());
    let (container, tty, attached) = outside(move || {
        let container = api.containers.find(&name)?;
        let config = container.config()?;
        if container.state()?.status.name() == "paused" && stays {
            return Err(Failure::conflict(format!(
                "container {} is paused, unpause the container before attach",
                config.name
            )));
        }
        let streams = Streams { stdin: streams.stdin && config.open_stdin, ..streams };
        // Before the log is read, so that nothing is missed between the two.
        let attached = stays.then(|| container.attach(streams)).transpose()?;
        Ok((container, config.tty, attached))
    })
    .await?;
    let body = matches!(takeover, Takeover::Body).then(|| call.request.into_body());
    let (response, client) = takeover.take(body, logs::kind(call.minor, tty));
    tokio::spawn(async move {
        let Some(mut client) = client.await else { return };
        if with_logs && replay(&container, streams, tty, &mut client).await.is_err() {
            return;
        }
        if let Some(attached) = attached {
            // Who left is told nothing.
            let _ = converse(attached, client, tty, Left::Forget, |_| {}).await;
        }
    });
    Ok(response)
}

/// What was written before.
async fn replay(container: &Container, streams: Streams, tty: bool, client: &mut Client) -> io::Result<()> {
    let wanted = Wanted {
        stdout: streams.stdout,
        stderr: streams.stderr,
        until: Some(Utc::now()),
        ..Wanted::default()
    };
    let (out, mut body) = out();
    let container = container.clone();
    let reading = tokio::task::spawn_blocking(move || logs::write(&container, &wanted, &out, !tty, false));
    while let Some(Ok(piece)) = body.frame().await {
        client.to.write_all(&piece.into_data().unwrap_or_default()).await?;
    }
    reading.await.map_err(io::Error::other)?.map_err(io::Error::other)
}

/// What becomes of a guest whose client has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Nothing more is to be known of it.
    Forget,
    /// It is listened to until it ends, for its exit code.
    Follow,
}

/// Carries output to a client and its input to a guest, until the guest ends. `told` gets the exit code before the
/// client sees the end.
pub async fn converse(
    attached: Attached,
    client: Client,
    tty: bool,
    left: Left,
    told: impl FnOnce(Option<i32>),
) -> io::Result<()> {
    attached.stream.set_nonblocking(true)?;
    let (from, to) = UnixStream::from_std(attached.stream)?.into_split();
    let Client { from: typed, to: shown, gone } = client;
    let feeding = tokio::spawn(feed(typed, to));
    let mut output = Output { from, to: Some(shown), raw: tty };
    let ended = match select(pin!(output.carry()), gone).await {
        Either::Left((ended, _)) => Some(ended),
        Either::Right(((), _)) => None,
    };
    let code = match ended {
        Some(Ok(Ended::Guest(code))) => Ok(code),
        Some(Ok(Ended::Client)) | None if left == Left::Follow => {
            output.to = None;
            output.carry().await.map(Ended::code)
        }
        Some(Ok(Ended::Client)) | None => Ok(None),
        Some(Err(error)) => Err(error),
    };
    feeding.abort();
    told(*code.as_ref().unwrap_or(&None));
    if let Some(mut to) = output.to.take() {
        // The client may have left.
        let _ = to.shutdown().await;
    }
    code.map(drop)
}

/// What nobody listens to is read all the same: for the exit code.
pub async fn ignore(attached: Attached) -> io::Result<Option<i32>> {
    attached.stream.set_nonblocking(true)?;
    let (from, _to) = UnixStream::from_std(attached.stream)?.into_split();
    Output { from, to: None, raw: true }.carry().await.map(Ended::code)
}

async fn feed(mut from: Box<dyn AsyncRead + Send + Unpin>, mut to: OwnedWriteHalf) {
    let mut buffer = vec![0; PIECE_MAX_BYTES];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
    // The guest may have ended.
    let _ = to.shutdown().await;
}

struct Output {
    from: OwnedReadHalf,
    /// Nobody: what comes is thrown away.
    to: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    /// Without frames.
    raw: bool,
}

enum Ended {
    /// With its exit code, if it was told.
    Guest(Option<i32>),
    Client,
}

impl Ended {
    fn code(self) -> Option<i32> {
        match self {
            Ended::Guest(code) => code,
            Ended::Client => None,
        }
    }
}

impl Output {
    async fn carry(&mut self) -> io::Result<Ended> {
        let mut piece = Vec::new();
        loop {
            let mut head = [0; HEAD_BYTES];
            match self.from.read_exact(&mut head).await {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Ended::Guest(None)),
                other => drop(other?),
            }
            let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
            if length > FRAME_MAX_BYTES {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame that is too long"));
            }
            piece.clear();
            piece.extend_from_slice(&head);
            piece.resize(HEAD_BYTES + length, 0);
            self.from.read_exact(&mut piece[HEAD_BYTES..]).await?;
            if head[0] == END {
                let text = std::str::from_utf8(&piece[HEAD_BYTES..]);
                return Ok(Ended::Guest(text.ok().and_then(|text| text.parse().ok())));
            }
            let shown = if self.raw { &piece[HEAD_BYTES..] } else { &piece[..] };
            if let Some(to) = &mut self.to
                && (to.write_all(shown).await.is_err() || to.flush().await.is_err())
            {
                return Ok(Ended::Client);
            }
        }
    }
}
