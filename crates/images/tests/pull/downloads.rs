//! Files of the web, from servers of the test's own.

use crate::User;
use crate::faults::read_head;
use sampan_app::{Download, Remote};
use sampan_images::{Digest, DownloadError, FetchError, Progress, fetch};
use sampan_testing::servers::sha256;
use sampan_testing::{HttpServer, Response, TcpServer};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::time::Duration;

const CODE: &[u8] = b"the code";

fn download(url: &str, digest: &str) -> Download {
    Download { url: url.parse().unwrap(), digest: digest.parse::<Digest>().unwrap() }
}

impl User {
    fn download(&self, url: &str, content: &[u8]) -> Result<PathBuf, DownloadError> {
        let remote = Remote::Download(download(url, &sha256(content)));
        match self.runtime.block_on(fetch(&remote, &self.settings)) {
            Err(FetchError::Download(error)) => Err(error),
            other => Ok(other.unwrap()),
        }
    }

    #[track_caller]
    fn downloaded(&self, url: &str) -> Vec<u8> {
        let path = self.download(url, CODE).unwrap_or_else(|error| panic!("{url}: {error}"));
        std::fs::read(path).unwrap()
    }
}

#[test]
fn a_file_is_fetched_once() {
    let server = HttpServer::start(|_| Response::new(200, CODE));
    let user = User::new();
    let url = format!("http://{}/a/b.wasm?token=x", server.address);
    for _ in 0..2 {
        assert_eq!(user.downloaded(&url), CODE);
    }
    // Wherever it is said to be.
    assert_eq!(user.downloaded("https://nowhere.invalid/b.wasm"), CODE);
    let [request] = server.requests().try_into().unwrap();
    assert_eq!((&*request.method, &*request.target), ("GET", "/a/b.wasm?token=x"));
    assert_eq!(user.steps(), [Progress::FetchBegins { bytes: Some(8) }, Progress::FetchEnds]);
}

#[test]
fn a_damaged_copy_is_fetched_again() {
    let server = HttpServer::start(|_| Response::new(200, CODE));
    let user = User::new();
    let url = format!("http://{}/b.wasm", server.address);
    let path = user.download(&url, CODE).unwrap();
    std::fs::write(path, b"the c0de").unwrap();
    assert_eq!(user.downloaded(&url), CODE);
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn what_is_not_the_file_leaves_nothing_behind() {
    let large = vec![b'x'; (1 << 20) + 1];
    for (status, body, length, what, help) in [
        (200, &b"the c0de"[..], None, "not what its digest says: sha256:", "its new digest"),
        (200, b"", None, "not what its digest says", ""),
        (200, &large, None, "more than 1048576 bytes", "smaller"),
        // The server says so before it sends anything.
        (200, CODE, Some("999999999999"), "more than 1048576 bytes", ""),
        // The connection ends before the body does.
        (200, b"the", Some("8"), "does not answer", "the network"),
        (404, CODE, None, "answers with 404", "check the URL"),
        (401, CODE, None, "answers with 401", "USER:PASSWORD"),
        (503, CODE, None, "answers with 503", "try again later"),
        (206, CODE, None, "answers with 206", ""),
    ] {
        let content = body.to_vec();
        let server = HttpServer::start(move |_| {
            let response = Response::new(status, content.clone());
            if let Some(length) = length { response.with("Content-Length", length) } else { response }
        });
        let user = User::new();
        let error = user.download(&format!("http://{}/b.wasm", server.address), CODE).unwrap_err();
        assert!(error.to_string().contains(what), "{status} {what}: {error}");
        assert!(error.help().contains(help), "{status} {what}: {}", error.help());
        assert_eq!(user.kept(), 0, "{status} {what}: nothing is left behind");
    }
}

#[test]
fn a_body_without_a_length_is_bounded_too() {
    // It would go on for ever.
    let server = TcpServer::start(|mut stream| {
        read_head(&mut stream)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
        loop {
            stream.write_all(&[0; 4096])?;
        }
    });
    let user = User::new();
    let error = user.download(&format!("http://{}/b.wasm", server.address), CODE).unwrap_err();
    assert!(matches!(error, DownloadError::TooLarge { max: 1_048_576 }), "{error}");
    assert_eq!(user.steps(), [Progress::FetchBegins { bytes: None }]);
    assert_eq!(user.kept(), 0);
}

#[test]
fn servers_that_stall() {
    let dribble = "HTTP/1.1 200 OK\r\n\r\n";
    for head in ["", "HTTP/1.1 200 OK\r\nX: ", "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nthe", dribble] {
        let server = TcpServer::start(move |mut stream| {
            read_head(&mut stream)?;
            stream.write_all(head.as_bytes())?;
            if head == dribble {
                // A byte now and then, which is never too long to wait for.
                loop {
                    stream.write_all(b"x")?;
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
            stream.read_to_end(&mut Vec::new()).map(drop)
        });
        let user = User::impatient();
        let error = user.download(&format!("http://{}/b.wasm", server.address), CODE).unwrap_err();
        assert!(error.to_string().contains("not done within"), "{head:?}: {error}");
        assert_eq!(user.kept(), 0);
    }
}

#[test]
fn redirects_are_followed_to_another_host() {
    let elsewhere = HttpServer::start(|_| Response::new(200, CODE));
    let to = format!("http://{}/releases/b.wasm", elsewhere.address);
    let server = HttpServer::start(move |request| match &*request.target {
        "/b.wasm" => Response::new(302, "").with("Location", "/c.wasm"),
        _ => Response::new(302, "").with("Location", &to),
    });
    let user = User::new();
    // Who asks, only the first host is told.
    assert_eq!(user.downloaded(&format!("http://me:pass%20word@{}/b.wasm", server.address)), CODE);
    let basic = Some("Basic bWU6cGFzcyB3b3Jk");
    let seen = |server: &HttpServer| -> Vec<(String, Option<String>)> {
        let requests = server.requests().into_iter();
        let one = |request: sampan_testing::Request| {
            (request.target.clone(), request.header("authorization").map(str::to_owned))
        };
        requests.map(one).collect()
    };
    let expected = ["/b.wasm", "/c.wasm"].map(|path| (path.to_owned(), basic.map(str::to_owned)));
    assert_eq!(seen(&server), expected);
    assert_eq!(seen(&elsewhere), [("/releases/b.wasm".to_owned(), None)]);
}

#[test]
fn redirects_that_lead_nowhere() {
    for (location, what) in [
        (Some("/again"), "in a circle"),
        (None, "to nowhere"),
        (Some("file:///etc/passwd"), "no host"),
        (Some("ftp://files.example/b.wasm"), "without TLS"),
    ] {
        let server = HttpServer::start(move |_| match location {
            Some(location) => Response::new(302, "").with("Location", location),
            None => Response::new(302, ""),
        });
        let user = User::new();
        let error = user.download(&format!("http://{}/b.wasm", server.address), CODE).unwrap_err();
        assert!(error.to_string().contains(what), "{location:?}: {error}");
        assert_eq!(user.kept(), 0);
    }
}

#[test]
fn messages_name_the_place_and_no_secret() {
    let shown = Remote::Download(download("https://me:secret@a.dev:444/b.wasm?key=secret", &sha256(CODE)));
    assert_eq!(shown.to_string(), "https://a.dev:444/b.wasm");
    assert!(!format!("{shown:?}").contains("secret"), "{shown:?}");
}
