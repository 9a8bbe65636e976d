//! A server with a handler whose paths misbehave in every way, and a client that sends any bytes.

use bytes::Bytes;
use futures::channel::oneshot;
use http::header::{CONNECTION, TRAILER, UPGRADE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::TokioIo;
use sampan_service::{
    Answer, Body, Handler, Handshake, Limits, Listen, Listener, Notices, Options, Peer, RequestId, Served,
    Server, TlsFiles, empty, full, serve,
};
use sampan_testing::PATIENCE;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub struct Site {
    pub server: Option<Server>,
    pub address: SocketAddr,
    /// What happened inside.
    pub events: Receiver<String>,
    /// Lets the requests of `/wait` go, oldest first.
    gates: Arc<Mutex<VecDeque<oneshot::Sender<()>>>>,
}

impl Site {
    pub fn start() -> Site {
        Site::with(Options::default(), None)
    }

    pub fn limited(limits: Limits) -> Site {
        Site::with(Options { limits, ..Options::default() }, None)
    }

    pub fn with(mut options: Options, tls: Option<TlsFiles>) -> Site {
        let listen = Listen { address: ([127, 0, 0, 1], 0).into(), tls };
        let listener = Listener::bind(&listen).unwrap();
        let address = listener.address();
        let (tell, events) = channel();
        let notices = Mutex::new(tell.clone());
        options.notices = Notices::to(move |notice| {
            let _ = notices.lock().unwrap().send(notice.to_string());
        });
        let gates = Arc::default();
        let handler = Paths { tell: Mutex::new(tell), gates: Arc::clone(&gates) };
        let server = serve(vec![listener], Arc::new(handler), options).unwrap();
        Site { server: Some(server), address, events, gates }
    }

    pub fn raw(&self) -> Raw {
        Raw::connect(self.address)
    }

    /// Waits for an event that begins so, and forgets those before it.
    #[track_caller]
    pub fn expect(&self, event: &str) -> String {
        loop {
            let next = self.events.recv_timeout(PATIENCE);
            let next = next.unwrap_or_else(|_| panic!("`{event}` did not happen"));
            if next.starts_with(event) {
                return next;
            }
        }
    }

    pub fn open_gate(&self) {
        let gate = self.gates.lock().unwrap().pop_front().expect("a request that waits");
        // The request may have been cancelled.
        let _ = gate.send(());
    }
}

struct Paths {
    tell: Mutex<Sender<String>>,
    gates: Arc<Mutex<VecDeque<oneshot::Sender<()>>>>,
}

/// Tells that it is dropped, whatever the reason.
struct Dropped(Sender<String>, &'static str);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send(self.1.to_owned());
    }
}

impl Handler for Paths {
    fn handle(&self, request: Request<Body>) -> Answer<'_> {
        let tell = self.tell.lock().unwrap().clone();
        assert!(request.uri().path() != "/panic-early", "early");
        Box::pin(async move {
            let path = request.uri().path().to_owned();
            let _ = tell.send(format!("request {path}"));
            match path.as_str() {
                "/hello" => Response::new(full("hello")),
                "/empty" => Response::new(empty()),
                "/echo" => Response::new(request.into_body()),
                "/read" => read(request, &tell).await,
                "/ignore" => Response::new(full("ignored")),
                "/about" => about(&request),
                "/wait" => {
                    let dropped = Dropped(tell.clone(), "cancelled");
                    let (open, gate) = oneshot::channel();
                    self.gates.lock().unwrap().push_back(open);
                    let _ = tell.send("waiting".to_owned());
                    let _ = gate.await;
                    // Not cancelled.
                    std::mem::forget(dropped);
                    Response::new(full("waited"))
                }
                "/panic" => panic!("on purpose"),
                "/panic-body" => Response::new(stream(tell, "panic")),
                "/endless" => Response::new(stream(tell, "endless")),
                "/silent" => Response::new(stream(tell, "silent")),
                "/reset" => sampan_service::reset(),
                "/break" => Response::new(stream(tell, "break")),
                "/trailers" => trailers(),
                "/upgrade" => upgrade(request, tell),
                "/served" => {
                    let mut response = Response::new(full("1234567"));
                    response.extensions_mut().insert(Served { route: "/s/...".into(), to: "api".into() });
                    response
                }
                path => {
                    let status = path.strip_prefix("/status/").and_then(|code| code.parse::<u16>().ok());
                    let mut response = Response::new(full("body"));
                    *response.status_mut() =
                        status.map_or(StatusCode::NOT_FOUND, |code| StatusCode::from_u16(code).unwrap());
                    response
                }
            }
        })
    }
}

async fn read(request: Request<Body>, tell: &Sender<String>) -> Response<Body> {
    match request.into_body().collect().await {
        Ok(all) => {
            let sum = all.trailers().and_then(|trailers| trailers.get("sum")).cloned();
            let sum = sum.map_or(String::new(), |sum| format!(" sum={}", sum.to_str().unwrap()));
            Response::new(full(format!("{} bytes{sum}", all.to_bytes().len())))
        }
        Err(error) => {
            let _ = tell.send(format!("body error {error}"));
            let mut response = Response::new(full(format!("cannot read: {error}")));
            *response.status_mut() = StatusCode::BAD_REQUEST;
            response
        }
    }
}

fn about(request: &Request<Body>) -> Response<Body> {
    let peer = request.extensions().get::<Peer>().unwrap();
    let id = request.extensions().get::<RequestId>().unwrap();
    let host = request.headers().get("host").map_or("none", |host| host.to_str().unwrap());
    let handshake = request.extensions().get::<Arc<Handshake>>().map_or("none".to_owned(), |one| {
        let ours = one.ours.as_ref().map_or(0, |certificate| certificate.len());
        format!("{:?} {} ours={ours} theirs={}", one.server_name, one.version, one.theirs.is_some())
    });
    Response::new(full(format!(
        "{} {} peer={} local={} tls={} id={} handshake={handshake} host={host}",
        request.method(),
        request.uri(),
        peer.address,
        peer.local,
        peer.tls,
        id.0.to_str().unwrap()
    )))
}

type Frames = Result<Frame<Bytes>, sampan_service::BodyError>;

/// A kilobyte, and then what is asked for.
fn stream(tell: Sender<String>, then: &'static str) -> Body {
    let state = (0_u32, Dropped(tell, "body dropped"));
    let frames = futures::stream::unfold(state, move |(count, guard)| async move {
        let kilobyte = Frame::data(Bytes::from_static(&[b'x'; 1024]));
        let frame: Frames = match (count, then) {
            (0, _) | (_, "endless") => {
                let _ = guard.0.send(format!("frame {count}"));
                Ok(kilobyte)
            }
            (_, "silent") => std::future::pending().await,
            (_, "panic") => panic!("in the body"),
            _ => Err("it broke".into()),
        };
        Some((frame, (count + 1, guard)))
    });
    StreamBody::new(frames).boxed_unsync()
}

fn trailers() -> Response<Body> {
    let mut sum = HeaderMap::new();
    sum.insert("sum", HeaderValue::from_static("7"));
    let frames: [Frames; 2] = [Ok(Frame::data(Bytes::from_static(b"data"))), Ok(Frame::trailers(sum))];
    let mut response = Response::new(StreamBody::new(futures::stream::iter(frames)).boxed_unsync());
    response.headers_mut().insert(TRAILER, HeaderValue::from_static("sum"));
    response
}

/// Sends back what comes until the client ends.
fn upgrade(mut request: Request<Body>, tell: Sender<String>) -> Response<Body> {
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let _dropped = Dropped(tell, "upgrade over");
        let Ok(upgraded) = upgraded.await else { return };
        let (mut from, mut to) = tokio::io::split(TokioIo::new(upgraded));
        let mut bytes = [0; 1024];
        while let Ok(count @ 1..) = from.read(&mut bytes).await {
            if to.write_all(&bytes[..count]).await.is_err() {
                return;
            }
        }
    });
    let mut response = Response::new(empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static("echo"));
    response
}

/// A client that sends whatever it is told to.
pub struct Raw(pub TcpStream);

impl Raw {
    pub fn connect(address: SocketAddr) -> Raw {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Raw(stream)
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.0.write_all(bytes.as_ref()).unwrap();
        self
    }

    /// `METHOD PATH` and nothing but a host.
    pub fn get(&mut self, path: &str) -> &mut Self {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n"))
    }

    /// Everything until the server closes; a reset is an end too.
    pub fn rest(&mut self) -> String {
        let mut all = Vec::new();
        let mut part = [0; 4096];
        loop {
            match self.0.read(&mut part) {
                Ok(0) => break,
                Ok(count) => all.extend_from_slice(&part[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
                Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&all)),
            }
        }
        String::from_utf8_lossy(&all).into_owned()
    }

    /// What comes up to and with this text.
    #[track_caller]
    pub fn until(&mut self, end: &str) -> String {
        let mut all = Vec::new();
        while !all.ends_with(end.as_bytes()) {
            let mut byte = [0];
            let count = self.0.read(&mut byte).unwrap();
            assert!(count > 0, "ended before {end:?}: {:?}", String::from_utf8_lossy(&all));
            all.push(byte[0]);
        }
        String::from_utf8_lossy(&all).into_owned()
    }

    /// A response with a length: its head, its body.
    #[track_caller]
    pub fn response(&mut self) -> (String, String) {
        let head = self.until("\r\n\r\n");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        self.0.read_exact(&mut body).unwrap();
        (head, String::from_utf8(body).unwrap())
    }

    pub fn status(&mut self) -> u16 {
        status(&self.response().0)
    }
}

/// Of a response's head; 0 where there is none.
pub fn status(head: &str) -> u16 {
    head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
}

/// Runs a client that needs a runtime.
pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(work)
}
