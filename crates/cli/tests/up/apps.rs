//! Several apps in one process, TLS, and the end of a process with requests in flight.

use crate::{App, component};
use sampan_testing::{Running, finish, http_send, sampan, skip};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

fn hello(name: &str, host: &str) -> String {
    format!(
        "[app]\nname = \"{name}\"\n[component.hello]\nsource = \"{}\"\n\
         [[route]]\npath = \"/...\"\n{host}to = \"hello\"\n\
         [[route]]\npath = \"/name\"\n{host}to = \"redirect:/{name}\"\n",
        component("serve-hello").display()
    )
}

fn up(apps: &[&App]) -> Command {
    let mut command = sampan();
    command.arg("up");
    for app in apps {
        command.arg("-f").arg(app.path());
    }
    command.args(["--listen", "127.0.0.1:0"]);
    command
}

#[test]
fn two_apps_share_an_address_by_host() {
    let shop = App::new(&hello("shop", "host = \"shop.example\"\n"));
    let blog = App::new(&hello("blog", "host = \"blog.example\"\n"));
    let mut process = Running::start(&mut up(&[&shop, &blog]));
    let line = process.wait_for_line("listening on http://");
    let address = line.trim_start_matches("listening on http://").trim_end_matches('/').to_owned();
    let name = |host: &str| {
        let answer = http_send(&*address, "GET", "/name", &[("Host", host)], b"").unwrap();
        (answer.status, answer.header("location").unwrap_or_default().to_owned())
    };
    assert_eq!(name("shop.example").1, "/shop");
    assert_eq!(name("blog.example").1, "/blog");
    assert_eq!(name("else.example").0, 404);
}

#[test]
fn two_apps_that_want_the_same_requests_are_a_conflict() {
    let (shop, blog) = (App::new(&hello("shop", "")), App::new(&hello("blog", "")));
    let end = finish(&mut up(&[&shop, &blog]), "");
    assert_eq!(end.code, 1);
    assert!(end.stderr.contains("shop") && end.stderr.contains("blog"), "{}", end.stderr);
}

#[test]
fn tls_speaks_http_2() {
    let app = App::new("");
    let (cert, key) = (app.path().join("cert.pem"), app.path().join("key.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .output();
    if !made.is_ok_and(|output| output.status.success()) {
        return skip("openssl is not installed").unwrap_or_default();
    }
    let listen = "[[listen]]\naddress = \"127.0.0.1:0\"\ntls = { cert = \"cert.pem\", key = \"key.pem\" }\n";
    app.write("sampan.toml", listen.to_owned() + &hello("a", ""));
    let mut command = sampan();
    command.arg("up").arg("-f").arg(app.path());
    let mut process = Running::start(&mut command);
    let line = process.wait_for_line("listening on https://");
    let url = line.trim_start_matches("listening on ").to_owned();
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--http2", "--write-out", "%{http_version}", "--cacert"]);
    let end = finish(curl.arg(&cert).arg(&url), "");
    assert_eq!((end.code, end.stdout.as_str()), (0, "Hello, world!\n2"), "{}", end.stderr);
}

#[test]
fn a_request_in_flight_is_answered_before_the_end() {
    let app = App::new(&format!(
        "[app]\nname = \"a\"\n[component.x]\nsource = \"{}\"\n[[route]]\npath = \"/...\"\nto = \"x\"\n",
        component("serve-p2").display()
    ));
    let up = app.up();
    let mut client = TcpStream::connect(up.address.as_str()).unwrap();
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n";
    client.write_all(head.as_bytes()).unwrap();
    let mut seen = String::new();
    // Its echo tells that the request is with the guest.
    while !seen.contains("first") {
        seen += &read(&mut client);
    }
    up.signal("TERM");
    // Nobody new comes in any more.
    while TcpStream::connect(up.address.as_str()).is_ok() {}
    client.write_all(b"6\r\nsecond\r\n0\r\n\r\n").unwrap();
    while !seen.ends_with("0\r\n\r\n") {
        seen += &read(&mut client);
    }
    assert!(seen.starts_with("HTTP/1.1 200") && seen.contains("second"), "{seen}");
    assert_eq!(up.process.finish().code, 0);
}

/// What has come; fails at the end of the connection.
fn read(client: &mut TcpStream) -> String {
    let mut bytes = [0; 4096];
    let count = client.read(&mut bytes).unwrap();
    assert!(count > 0, "the connection ended");
    String::from_utf8_lossy(&bytes[..count]).into_owned()
}
