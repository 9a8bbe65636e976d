//! A service of gRPC with framing by hand: in process, or behind a connection of HTTP/2.

use bytes::{BufMut, Bytes, BytesMut};
use futures::{StreamExt, stream};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Body as HttpBody, Frame};
use hyper::client::conn::http2::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use sampan_service::{Answer, Body, BodyError, Handler};
use std::convert::Infallible;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};

/// In process, as a component of the app is.
pub struct Greeter;

impl Handler for Greeter {
    fn handle(&self, request: Request<Body>) -> Answer<'_> {
        Box::pin(greet(request))
    }
}

/// Over HTTP/2, as an upstream is.
pub struct Remote(SendRequest<Body>);

impl Remote {
    pub async fn connect() -> Arc<dyn Handler> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let service = service_fn(|request| async { Ok::<_, Infallible>(greet(request).await) });
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            // It ends with the test.
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
        let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        tokio::spawn(connection);
        Arc::new(Remote(sender))
    }
}

impl Handler for Remote {
    fn handle(&self, mut request: Request<Body>) -> Answer<'_> {
        let mut sender = self.0.clone();
        Box::pin(async move {
            let host = request.headers_mut().remove("host").unwrap();
            let uri = format!("http://{}{}", host.to_str().unwrap(), request.uri());
            *request.uri_mut() = uri.parse().unwrap();
            let response = sender.send_request(request).await.unwrap();
            response.map(|body| body.map_err(Into::into).boxed_unsync())
        })
    }
}

fn frame(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(message.len() as u32);
    frame.put_slice(message);
    frame.freeze()
}

fn trailers(status: &'static str, message: &'static str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(status));
    if !message.is_empty() {
        trailers.insert("grpc-message", HeaderValue::from_static(message));
    }
    trailers
}

type Frames = Vec<Result<Frame<Bytes>, BodyError>>;

fn answer(frames: Frames) -> Response<Body> {
    let body = StreamBody::new(stream::iter(frames)).boxed_unsync();
    Response::builder().header("content-type", "application/grpc").body(body).unwrap()
}

/// `test.Greeter`, a method for every way to answer.
async fn greet<B>(request: Request<B>) -> Response<Body>
where
    B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::fmt::Debug + Send,
{
    let (parts, body) = request.into_parts();
    assert_eq!(parts.method, "POST");
    assert_eq!(parts.headers["content-type"], "application/grpc");
    assert_eq!(parts.headers["te"], "trailers");
    assert_eq!(parts.headers["x-by"], "filter");
    let method = parts.uri.path().strip_prefix("/test.Greeter/").unwrap();
    let data = |bytes: Bytes| Ok(Frame::data(bytes));
    let ok = || Ok(Frame::trailers(trailers("0", "")));
    match method {
        "Say" => {
            assert_eq!(parts.headers["grpc-timeout"], "10000m");
            let sent = body.collect().await.unwrap().to_bytes();
            assert_eq!(sent, frame(b"hello"));
            // In pieces, as a network may cut it.
            let message = frame(b"hello, filter");
            answer(vec![data(message.slice(..3)), data(message.slice(3..9)), data(message.slice(9..)), ok()])
        }
        "Fail" => answer(vec![Ok(Frame::trailers(trailers("7", "not%20you%21")))]),
        "Only" => {
            let mut response = answer(vec![]);
            *response.body_mut() = sampan_service::empty();
            response.headers_mut().extend(trailers("5", "nobody"));
            response
        }
        "Nothing" => answer(vec![ok()]),
        "Twice" => answer(vec![data(frame(b"one")), data(frame(b"two")), ok()]),
        "Unsaid" => answer(vec![data(frame(b"one"))]),
        "Cut" => answer(vec![data(frame(b"one").slice(..6)), ok()]),
        "Compressed" => answer(vec![data(Bytes::from_static(b"\x01\0\0\0\0")), ok()]),
        "Long" => answer(vec![data(Bytes::from_static(b"\0\xff\0\0\0")), ok()]),
        "Busy" => Response::builder().status(503).body(sampan_service::empty()).unwrap(),
        "Slow" => std::future::pending().await,
        // Every message comes back.
        "Chat" => {
            let end = async { Ok(Frame::trailers(trailers("0", ""))) };
            let frames = body.into_data_stream().map(|piece| Ok(Frame::data(piece.unwrap())));
            let frames = frames.chain(stream::once(end));
            let body = StreamBody::new(Box::pin(frames) as futures::stream::BoxStream<'static, _>);
            let mut response = Response::new(body.boxed_unsync());
            response.headers_mut().insert("x-chat", HeaderValue::from_static("yes"));
            response
        }
        other => panic!("{other}"),
    }
}
