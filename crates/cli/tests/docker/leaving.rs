//! Clients that leave: nothing of theirs stays behind.

use crate::{Engine, dockers};
use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;

/// Of the server: connections, and what it watches for them.
fn open(engine: &Engine) -> usize {
    let folder = format!("/proc/{}/fd", engine.api.child.id());
    fs::read_dir(folder).map_or(0, |entries| entries.count())
}

#[test]
fn streams_end_with_their_clients() {
    let engine = Engine::start();
    let Some(docker) = dockers().pop() else { return };
    let run = ["run", "-d", "--name", "on", "-i", "--entrypoint", "/endless.wasm", "guests", "sleep"];
    engine.good(&docker, &run);
    let before = open(&engine);
    let paths = [
        ("GET", "/events"),
        ("GET", "/containers/on/logs?follow=1&stdout=1"),
        ("GET", "/containers/on/stats"),
        ("POST", "/containers/on/wait"),
        ("POST", "/containers/on/wait?condition=removed"),
        ("POST", "/containers/on/attach?stream=1&stdin=1&stdout=1"),
    ];
    let mut clients = Vec::new();
    for (method, path) in paths {
        for upgrade in ["", "Connection: Upgrade\r\nUpgrade: tcp\r\n"] {
            let mut client = engine.connect();
            let head = format!("{method} {path} HTTP/1.1\r\nHost: d\r\n{upgrade}\r\n");
            client.write_all(head.as_bytes()).unwrap();
            let mut first = [0; 12];
            client.read_exact(&mut first).unwrap();
            assert!(first.starts_with(b"HTTP/1.1 ") && matches!(first[9], b'1' | b'2'), "{path}: {first:?}");
            clients.push(client);
        }
    }
    assert!(open(&engine) > before + clients.len());
    drop(clients);
    crate::until("nothing of the clients is left", || open(&engine) <= before);
}

/// A client that ends its input, and no more, still gets the output.
#[test]
fn half_of_a_connection() {
    let engine = Engine::start();
    let Some(docker) = dockers().pop() else { return };
    let body = r#"{"Image":"guests","Cmd":["count"],"OpenStdin":true,"StdinOnce":true}"#;
    assert!(engine.send("POST", "/containers/create?name=half", body).starts_with("HTTP/1.1 201 "));
    let id = "half";
    let mut client = engine.connect();
    let path = format!("/containers/{id}/attach?stream=1&stdin=1&stdout=1");
    let head = format!("POST {path} HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n");
    client.write_all(head.as_bytes()).unwrap();
    let mut first = [0; 21];
    client.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 101 UPGRADED");
    client.write_all(b"1234567").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    engine.good(&docker, &["start", id]);
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).unwrap();
    assert!(rest.ends_with(b"\x01\0\0\0\0\0\0\x027\n"), "{:?}", String::from_utf8_lossy(&rest));
}

#[test]
fn archives_that_break_off() {
    let engine = Engine::start();
    let Some(docker) = dockers().pop() else { return };
    let id = engine.good(&docker, &["create", "guests"]);
    for path in [format!("/containers/{id}/archive?path=/"), "/build?t=half".into(), "/images/load".into()] {
        let method = if path.contains("archive") { "PUT" } else { "POST" };
        let mut client = engine.connect();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: d\r\nContent-Length: 100000\r\n\r\n");
        client.write_all(head.as_bytes()).unwrap();
        client.write_all(&[0; 700]).unwrap();
        client.shutdown(Shutdown::Both).unwrap();
    }
    assert!(engine.send("GET", "/_ping", "").ends_with("OK"));
    assert_eq!(engine.good(&docker, &["images", "-q", "half"]), "");
}
