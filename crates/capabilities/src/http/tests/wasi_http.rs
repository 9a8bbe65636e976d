//! The way from wasi:http to the door: options, errors, and how a request's body ends.

use super::server::{Server, describe, reply};
use crate::Explain;
use crate::http::Http;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Frame;
use std::time::Duration;
use tokio::sync::mpsc;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

type Sent = Result<(Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>;

fn http(grants: &[&str]) -> Http {
    Http::new(&super::origins(grants), &Explain::default())
}

async fn send(http: &mut Http, request: Request<WasiBody>, options: Option<RequestOptions>) -> Sent {
    let nothing = Box::new(std::future::ready(Ok(())));
    Box::into_pin(http.guest.hooks.send_request(request, options, nothing)).await
}

fn get(uri: &str) -> Request<WasiBody> {
    Request::get(uri).body(Empty::new().map_err(|never| match never {}).boxed_unsync()).unwrap()
}

/// A POST whose body is what is sent into the channel.
fn post(uri: &str) -> (mpsc::UnboundedSender<Result<Bytes, Error>>, Request<WasiBody>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let stream = futures::stream::unfold(receiver, |mut receiver| async move {
        let piece: Result<Bytes, Error> = receiver.recv().await?;
        Some((piece.map(Frame::data), receiver))
    });
    (sender, Request::post(uri).body(StreamBody::new(stream).boxed_unsync()).unwrap())
}

#[test]
fn a_request_and_its_answer() {
    super::run(async {
        let server = Server::http(describe).await;
        let mut http = http(&[&server.origin()]);
        let (response, sent) = send(&mut http, get(&server.origin()), None).await.unwrap();
        assert!(Box::into_pin(sent).await.is_ok());
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(body.starts_with(b"GET / host=127.0.0.1:"), "{body:?}");
    });
}

#[test]
fn refusals_have_their_codes() {
    super::run(async {
        let server = Server::http(describe).await;
        let secure = format!("https://127.0.0.1:{}", server.port);
        let mut narrow = http(&[&server.origin()]);
        let denied = send(&mut narrow, get(&secure), None).await;
        assert!(matches!(denied, Err(Error::HttpRequestDenied)));
        let mut wide = http(&["*"]);
        let prohibited = send(&mut wide, get(&server.origin()), None).await;
        assert!(matches!(prohibited, Err(Error::DestinationIpProhibited)));
        let unknown = send(&mut wide, get("http://no..such.name"), None).await;
        assert!(matches!(unknown, Err(Error::DnsError { .. })));
        assert_eq!(server.connections(), 0);
    });
}

/// A guest that writes all before it looks at the answer hears why, instead of a closed stream.
#[test]
fn what_a_refused_request_still_writes_is_read_up_to_a_limit() {
    super::run(async {
        let (sender, request) = post("https://127.0.0.1:1");
        let denied = send(&mut http(&[]), request, None).await;
        assert!(matches!(denied, Err(Error::HttpRequestDenied)));
        let piece = Bytes::from(vec![0; 128 << 10]);
        assert!(sender.send(Ok(piece.clone())).is_ok());
        for _ in 0..8 {
            let _ = sender.send(Ok(piece.clone()));
        }
        tokio::time::timeout(sampan_testing::PATIENCE, sender.closed()).await.expect("an end");
    });
}

#[test]
fn options_are_obeyed() {
    super::run(async {
        let server = Server::http(|_| std::future::pending()).await;
        let mut http = http(&[&server.origin()]);
        let first_byte_timeout = Some(Duration::from_millis(20));
        let options = RequestOptions { first_byte_timeout, ..RequestOptions::default() };
        let late = send(&mut http, get(&server.origin()), Some(options)).await;
        assert!(matches!(late, Err(Error::ConnectionReadTimeout)));
    });
}

#[test]
fn transmission_ends_with_the_body() {
    super::run(async {
        let server = Server::http(|_| async { reply(200, &[], "early") }).await;
        let mut http = http(&[&server.origin()]);
        let (body, request) = post(&server.origin());
        body.send(Ok(Bytes::from_static(b"piece"))).unwrap();
        let (_response, sent) = send(&mut http, request, None).await.unwrap();
        drop(body);
        assert!(Box::into_pin(sent).await.is_ok());
    });
}

#[test]
fn the_guests_own_failure_comes_back() {
    super::run(async {
        let server = Server::http(describe).await;
        let mut http = http(&[&server.origin()]);
        let (body, request) = post(&server.origin());
        body.send(Ok(Bytes::from_static(b"piece"))).unwrap();
        body.send(Err(Error::HttpRequestBodySize(Some(5)))).unwrap();
        let failed = send(&mut http, request, None).await;
        assert!(matches!(failed, Err(Error::HttpRequestBodySize(Some(5)))));
    });
}
