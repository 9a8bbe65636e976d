//! HTTP/2 without TLS, known beforehand.

use crate::support::{Site, block_on};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode, Version};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use sampan_service::{Body, BodyError, Limits, full};
use std::net::SocketAddr;

pub type Client = http2::SendRequest<Body>;

pub async fn connect(
    address: SocketAddr,
) -> (Client, impl Future<Output = hyper::Result<()>> + Send + 'static) {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap()
}

/// A client whose connection is looked after.
async fn client(site: &Site) -> Client {
    let (client, connection) = connect(site.address).await;
    tokio::spawn(connection);
    client
}

pub fn get(path: &str) -> Request<Body> {
    Request::get(format!("http://test{path}")).body(sampan_service::empty()).unwrap()
}

async fn text(client: &mut Client, request: Request<Body>) -> (StatusCode, String) {
    let response = client.send_request(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[test]
fn what_is_not_answered_resets_its_stream_alone() {
    let site = Site::start();
    block_on(async {
        let mut client = client(&site).await;
        let waits = client.send_request(get("/wait"));
        let error = client.send_request(get("/reset")).await.unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.starts_with("stream error received"), "{cause}");
        assert_eq!(text(&mut client, get("/hello")).await, (StatusCode::OK, "hello".to_owned()));
        site.expect("waiting");
        site.open_gate();
        assert_eq!(waits.await.unwrap().status(), StatusCode::OK);
    });
}

#[test]
fn many_requests_share_a_connection() {
    let site = Site::start();
    block_on(async {
        let mut client = client(&site).await;
        let waits = client.send_request(get("/wait"));
        for _ in 0..3 {
            assert_eq!(text(&mut client, get("/hello")).await, (StatusCode::OK, "hello".to_owned()));
        }
        let mut echo = get("/echo");
        *echo.method_mut() = http::Method::POST;
        *echo.body_mut() = full("back");
        assert_eq!(text(&mut client, echo).await.1, "back");
        site.expect("waiting");
        site.open_gate();
        let waited = waits.await.unwrap().into_body().collect().await.unwrap().to_bytes();
        assert_eq!(waited, "waited");
    });
}

#[test]
fn a_request_has_a_name_and_a_host() {
    let site = Site::start();
    block_on(async {
        let mut client = client(&site).await;
        let mut request = get("/about");
        request.headers_mut().insert("x-request-id", HeaderValue::from_static("mine"));
        let response = client.send_request(request).await.unwrap();
        assert_eq!(response.version(), Version::HTTP_2);
        assert_eq!(response.headers()["x-request-id"], "mine");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(body.starts_with(b"GET http://test/about peer="), "{body:?}");
    });
}

#[test]
fn trailers_pass_both_ways() {
    let site = Site::start();
    block_on(async {
        let mut client = client(&site).await;
        let mut sum = HeaderMap::new();
        sum.insert("sum", HeaderValue::from_static("6"));
        let frames: [Result<Frame<Bytes>, BodyError>; 2] =
            [Ok(Frame::data(Bytes::from_static(b"abc"))), Ok(Frame::trailers(sum))];
        let body = StreamBody::new(futures::stream::iter(frames)).boxed_unsync();
        let request = Request::post("http://test/read").body(body).unwrap();
        assert_eq!(text(&mut client, request).await.1, "3 bytes sum=6");
        let all = client.send_request(get("/trailers")).await.unwrap().into_body().collect().await.unwrap();
        assert_eq!(all.trailers().unwrap()["sum"], "7");
        assert_eq!(all.to_bytes(), "data");
    });
}

#[test]
fn a_panic_ends_its_request_alone() {
    let site = Site::start();
    block_on(async {
        let mut client = client(&site).await;
        assert_eq!(text(&mut client, get("/panic")).await.0, StatusCode::INTERNAL_SERVER_ERROR);
        let broken = client.send_request(get("/panic-body")).await;
        // The reset may overtake the head.
        if let Ok(broken) = broken {
            assert!(broken.into_body().collect().await.is_err());
        }
        assert_eq!(text(&mut client, get("/hello")).await.1, "hello");
    });
}

#[test]
fn a_client_that_resets_its_stream_cancels_that_request() {
    let site = Site::start();
    block_on(async {
        let mut client = client(&site).await;
        let waits = tokio::spawn(client.send_request(get("/wait")));
        while !site.events.try_iter().any(|event| event == "waiting") {
            tokio::task::yield_now().await;
        }
        waits.abort();
        while !site.events.try_iter().any(|event| event == "cancelled") {
            tokio::task::yield_now().await;
        }
        assert_eq!(text(&mut client, get("/hello")).await.1, "hello");
    });
}

#[test]
fn a_client_that_is_gone_cancels_all_its_requests() {
    let site = Site::start();
    block_on(async {
        let (mut client, connection) = connect(site.address).await;
        let driver = tokio::spawn(connection);
        let waits = [
            tokio::spawn(client.send_request(get("/wait"))),
            tokio::spawn(client.send_request(get("/wait"))),
        ];
        let mut waiting = 0;
        while waiting < 2 {
            waiting += site.events.try_iter().filter(|event| event == "waiting").count();
            tokio::task::yield_now().await;
        }
        driver.abort();
        assert!(driver.await.unwrap_err().is_cancelled());
        drop(waits);
    });
    site.expect("cancelled");
    site.expect("cancelled");
}

#[test]
fn a_host_that_contradicts_the_authority_is_refused() {
    let site = Site::start();
    block_on(async {
        let mut client = client(&site).await;
        for (host, status) in [("test", StatusCode::OK), ("other", StatusCode::BAD_REQUEST)] {
            let mut request = get("/hello");
            request.headers_mut().insert("host", HeaderValue::from_static(host));
            assert_eq!(text(&mut client, request).await.0, status, "{host}");
        }
    });
}

#[test]
fn large_heads_and_targets_are_refused() {
    let limits = Limits { header_bytes: 8 << 10, headers: 20, target_bytes: 1000, ..Limits::default() };
    let site = Site::limited(limits);
    block_on(async {
        let mut client = client(&site).await;
        let long = get(&format!("/{}", "x".repeat(1000)));
        assert_eq!(text(&mut client, long).await.0, StatusCode::URI_TOO_LONG);
        let mut many = get("/hello");
        for _ in 0..21 {
            many.headers_mut().append("x", HeaderValue::from_static("y"));
        }
        assert_eq!(text(&mut client, many).await.0, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        let mut large = get("/hello");
        large.headers_mut().insert("x", HeaderValue::from_str(&"y".repeat(9 << 10)).unwrap());
        let status = client.send_request(large).await.map(|response| response.status());
        assert!(!status.is_ok_and(|status| status == StatusCode::OK));
    });
}

#[test]
fn one_stream_too_many_waits() {
    let site = Site::limited(Limits { streams: 2, ..Limits::default() });
    block_on(async {
        let mut client = client(&site).await;
        // The client learns of the limit with the first answer.
        text(&mut client, get("/hello")).await;
        let waits: Vec<_> = (0..3).map(|_| tokio::spawn(client.send_request(get("/wait")))).collect();
        let mut waiting = 0;
        while waiting < 2 {
            waiting += site.events.try_iter().filter(|event| event == "waiting").count();
            tokio::task::yield_now().await;
        }
        site.open_gate();
        while !site.events.try_iter().any(|event| event == "waiting") {
            tokio::task::yield_now().await;
        }
        site.open_gate();
        site.open_gate();
        for wait in waits {
            assert_eq!(wait.await.unwrap().unwrap().status(), StatusCode::OK);
        }
    });
}

#[test]
fn rapid_resets_end_the_connection() {
    let site = Site::limited(Limits { streams_reset_pending: 5, ..Limits::default() });
    let mut raw = site.raw();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    for stream in (1..400_u32).step_by(2) {
        // HEADERS (1) with END_STREAM and END_HEADERS: GET, http, /, and :authority of one letter; RST_STREAM (3).
        let block = b"\x82\x86\x84\x41\x01t";
        bytes.extend([0, 0, block.len() as u8, 1, 5]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(block);
        bytes.extend([0, 0, 4, 3, 0]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(8_u32.to_be_bytes());
    }
    raw.send(bytes);
    // GOAWAY (7) with ENHANCE_YOUR_CALM (11), and the end.
    let answer = raw.rest();
    assert!(answer.as_bytes().contains(&7) && answer.as_bytes().contains(&11), "{answer:?}");
}
