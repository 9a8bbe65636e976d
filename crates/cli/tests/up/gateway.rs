//! Routes to upstreams.

use crate::App;
use sampan_testing::{TcpServer, free_port, http_send};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Answers with its name and the path, keeps connections, and counts them.
fn server(name: &'static str) -> (TcpServer, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = count.clone();
    let server = TcpServer::start(move |mut stream| {
        counter.fetch_add(1, Ordering::SeqCst);
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        let mut path = None;
        while let Some(Ok(line)) = lines.next() {
            if path.is_none() {
                path = line.split(' ').nth(1).map(str::to_owned);
            }
            if line.is_empty() {
                let text = format!("{name} {}", path.take().unwrap_or_default());
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len());
                stream.write_all(answer.as_bytes())?;
            }
        }
        Ok(())
    });
    (server, count)
}

/// Asks again on one connection.
struct Client(BufReader<TcpStream>);

impl Client {
    fn get(&mut self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
        let (mut line, mut length) = (String::new(), 0);
        while line != "\r\n" {
            line.clear();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "the connection ended");
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        String::from_utf8(body).unwrap()
    }
}

fn manifest(servers: &str, more: &str) -> String {
    format!(
        "[app]\nname = \"front\"\n[upstream.back]\nservers = [{servers}]\n{more}\n\
         [[route]]\npath = \"/api/...\"\nto = \"upstream:back\"\n\
         [[route]]\npath = \"/version\"\nto = \"redirect:/x\"\n"
    )
}

#[test]
fn a_route_leads_to_servers_and_a_reload_keeps_what_did_not_change() {
    let ((one, connections), (two, _)) = (server("one"), server("two"));
    let one = format!("\"{}\"", one.address);
    let app = App::new(&manifest(&one, ""));
    let mut up = app.up();
    let answer = up.get("/api/a?b=c");
    assert_eq!((answer.status, answer.text().as_str()), (200, "one /api/a?b=c"));
    assert!(answer.header("x-request-id").is_some());
    // Connections to servers belong to the worker that holds the client's.
    let mut client = Client(BufReader::new(TcpStream::connect(&up.address).unwrap()));
    assert_eq!(client.get("/api/"), "one /api/");
    let before = connections.load(Ordering::SeqCst);
    assert_eq!(client.get("/api/"), "one /api/");
    // Another route, the same upstream: its connection stays.
    app.write("sampan.toml", manifest(&one, "").replace("redirect:/x", "redirect:/y"));
    up.signal("HUP");
    up.process.wait_for_error("loaded anew");
    assert_eq!(up.get("/version").header("location"), Some("/y"));
    assert_eq!(client.get("/api/"), "one /api/");
    assert_eq!(connections.load(Ordering::SeqCst), before, "the upstream began anew");
    // Another upstream.
    app.write("sampan.toml", manifest(&format!("\"{}\"", two.address), ""));
    up.signal("HUP");
    up.process.wait_for_error("loaded anew");
    assert_eq!(client.get("/api/"), "two /api/");
}

#[test]
fn what_cannot_work_is_said_at_start_or_counted() {
    let gone = format!("\"127.0.0.1:{}\"", free_port());
    let admin = format!("127.0.0.1:{}", free_port());
    let app = App::new(&manifest(&gone, ""));
    let up = app.up_with(&["--admin", &admin]);
    assert_eq!(up.get("/api/").status, 502);
    let metrics = http_send(&*admin, "GET", "/metrics", &[("Host", &admin)], b"").unwrap().text();
    for line in [
        "sampan_upstream_failures_total{app=\"front\",upstream=\"back\",reason=\"connect\"} 1",
        "sampan_upstream_requests_total{app=\"front\",upstream=\"back\",status=\"5xx\"} 1",
    ] {
        assert!(metrics.contains(line), "no {line} in:\n{metrics}");
    }
    let app = App::new(&manifest("\"https://127.0.0.1:1\"", "tls = { ca = \"ca.pem\" }"));
    let mut command = sampan_testing::sampan();
    command.args(["up", "--listen", "127.0.0.1:0", "-f"]).arg(app.path().join("sampan.toml"));
    let said = sampan_testing::finish(&mut command, "");
    assert_eq!(said.code, 1, "{said:?}");
    assert!(
        said.stderr.contains("app front, upstream back: cannot read") && said.stderr.contains("help:"),
        "{said:?}"
    );
}
