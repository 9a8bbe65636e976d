//! Servers that misbehave: each fault has its own error.

use super::server::Server;
use super::*;
use crate::http::MAX_RESPONSE_HEAD_BYTES;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A server that reads a request, writes `answer` and closes the connection, or keeps it open.
async fn answering(answer: impl Into<Vec<u8>>, then_close: bool) -> Server {
    let answer = answer.into();
    Server::raw(move |mut stream| {
        let answer = answer.clone();
        async move {
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(&answer).await;
            while !then_close && !matches!(stream.read(&mut buffer).await, Ok(0) | Err(_)) {}
        }
    })
    .await
}

async fn outcome(server: &Server, timeouts: Timeouts) -> Result<String, Error> {
    text(door(&[&server.origin()]).send(get(&server.origin()), timeouts).await?).await
}

#[test]
fn broken_answers() {
    let huge = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(MAX_RESPONSE_HEAD_BYTES));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(1000));
    let cases = [
        ("", Error::Terminated),
        ("HTTP/1.1 200 OK\r\nContent-Le", Error::Terminated),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", Error::ResponseIncomplete),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf", Error::ResponseIncomplete),
        (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
            Error::UpgradeRefused,
        ),
        (&huge, Error::ResponseHeadTooLarge),
        (&many, Error::ResponseHeadTooLarge),
    ];
    for (answer, error) in cases {
        let got = run(async { outcome(&answering(answer, true).await, Timeouts::default()).await });
        assert_eq!(got, Err(error), "{}", &answer[..answer.len().min(60)]);
    }
    for answer in
        ["SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 999999 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nA b: c\r\n\r\n"]
    {
        let got = run(async { outcome(&answering(answer, true).await, Timeouts::default()).await });
        assert!(matches!(got, Err(Error::Protocol(_))), "{answer}: {got:?}");
    }
}

#[test]
fn slow_servers() {
    let short = Duration::from_millis(50);
    let first = Timeouts { first_byte: short, ..Timeouts::default() };
    let between = Timeouts { between_bytes: short, ..Timeouts::default() };
    run(async {
        let silent = answering("", false).await;
        assert_eq!(outcome(&silent, first).await, Err(Error::ReadTimeout));
        let stuck = answering("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", false).await;
        assert_eq!(outcome(&stuck, between).await, Err(Error::ReadTimeout));
        // Silence is measured between bytes, not from the start: 10 times 20 ms are no 50 ms of silence.
        let steady = Server::raw(|mut stream| async move {
            let mut buffer = [0; 1024];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n").await;
            let mut tick = tokio::time::interval(Duration::from_millis(20));
            for _ in 0..10 {
                tick.tick().await;
                let _ = stream.write_all(b"x").await;
            }
        })
        .await;
        let patient = Timeouts { between_bytes: Duration::from_secs(5), ..Timeouts::default() };
        assert_eq!(outcome(&steady, patient).await.as_deref(), Ok("xxxxxxxxxx"));
    });
}

#[test]
fn endless_and_zero_timeouts() {
    run(async {
        let server = answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", true).await;
        let endless =
            Timeouts { connect: Duration::MAX, first_byte: Duration::MAX, between_bytes: Duration::MAX };
        assert_eq!(outcome(&server, endless).await.as_deref(), Ok("ok"));
        let none = Timeouts { first_byte: Duration::ZERO, ..Timeouts::default() };
        let silent = answering("", false).await;
        assert_eq!(outcome(&silent, none).await, Err(Error::ReadTimeout));
    });
}

#[test]
fn nobody_there() {
    run(async {
        let server = answering("", true).await;
        let gone = server.origin();
        let port = server.port;
        drop(server);
        // The port is free once the server's task has ended.
        while tokio::net::TcpListener::bind(("127.0.0.1", port)).await.is_err() {
            tokio::task::yield_now().await;
        }
        assert_eq!(fetch(&door(&[&gone]), &gone).await, Err(Error::ConnectionRefused));
    });
}

#[test]
fn unknown_names() {
    run(async {
        // No resolver asks the network about a name with an empty label.
        let got = fetch(&door(&["*"]), "http://no..such.name").await;
        assert!(matches!(got, Err(Error::Dns(_))), "{got:?}");
    });
}

#[test]
fn the_callers_body_fails() {
    use http_body_util::StreamBody;
    use hyper::body::Frame;
    run(async {
        let server = Server::http(super::server::describe).await;
        let pieces = [Ok(Frame::data(Bytes::from_static(b"some"))), Err(Error::RequestBody)];
        let body = StreamBody::new(futures::stream::iter(pieces)).boxed_unsync();
        let request = Request::post(server.origin()).body(body).unwrap();
        let got = door(&[&server.origin()]).send(request, Timeouts::default()).await;
        assert_eq!(got.unwrap_err(), Error::RequestBody);
    });
}
