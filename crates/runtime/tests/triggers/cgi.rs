//! CGI programs: what they are told, what becomes of what they say, and what happens when they misbehave.

use crate::site::{Site, cgi, limited, load_failure, mounted};
use sampan_app::{CgiDialect, Component, ComponentKind, Limits};
use sampan_testing::{PATIENCE, Response, go_program, guest, guest_for, http_send, temp_dir, wat};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

fn wagi() -> Component {
    cgi("cgi", &guest("cgi"), CgiDialect::Wagi)
}

fn site() -> Site {
    Site::start(vec![wagi()])
}

#[track_caller]
fn ok(response: &Response) -> String {
    assert_eq!(response.status, 200, "{}", response.text());
    response.text()
}

#[test]
fn a_program_sees_the_request_in_its_environment() {
    let mut component = wagi();
    if let Some(ComponentKind::Cgi(cgi)) = &mut component.kind {
        cgi.argv = vec!["-v".to_owned(), "${ARGS}".to_owned()];
    }
    component.grants.env = vec![("GREETING".into(), "hi".into()), ("PATH_INFO".into(), "not this".into())];
    let site = Site::start(vec![component]);
    let headers = [("Host", "example.com:81"), ("X-Token", "t"), ("Proxy", "http://evil")];
    let response = http_send(site.address, "POST", "/cgi/env?a=1", &headers, b"body").unwrap();
    let text = ok(&response);
    for line in [
        "REQUEST_METHOD=POST",
        "SCRIPT_NAME=/cgi",
        "PATH_INFO=/env",
        "QUERY_STRING=a=1",
        "CONTENT_LENGTH=4",
        "SERVER_NAME=example.com",
        "SERVER_PORT=81",
        "HTTP_X_TOKEN=t",
        "X_FULL_URL=http://example.com:81/cgi/env?a=1",
        "REMOTE_ADDR=127.0.0.1",
        "GREETING=hi",
    ] {
        assert!(text.lines().any(|one| one == line), "{line} is not in {text}");
    }
    assert!(!text.contains("HTTP_PROXY"), "{text}");
    assert_eq!(response.header("content-type"), Some("text/plain"));
    assert_eq!(
        ok(&site.get("/cgi/args?x=1&y")).lines().collect::<Vec<_>>(),
        ["/cgi/args", "-v", "x", "1", "y"]
    );
}

#[test]
fn a_component_is_a_program_too() {
    let site = Site::start(vec![cgi("root", &guest_for("wasm32-wasip2", "cgi"), CgiDialect::Wcgi)]);
    assert!(ok(&site.get("/env")).contains("DOCUMENT_ROOT=/app/"));
    assert_eq!(ok(&http_send(site.address, "POST", "/echo", &[], b"abc").unwrap()), "abc");
}

#[test]
fn responses() {
    let site = site();
    let response = site.get("/cgi/crlf");
    assert_eq!((response.status, response.text()), (201, "body\n".to_owned()));
    assert_eq!((response.header("x-one"), response.header("content-type")), (Some("1"), Some("text/x")));
    let response = site.get("/cgi/location");
    assert_eq!((response.status, response.header("location")), (302, Some("/elsewhere")));
    assert_eq!(site.get("/cgi/missing").status, 404);
    let head = http_send(site.address, "HEAD", "/cgi/big?100000", &[], b"").unwrap();
    assert_eq!((head.status, head.body.len()), (200, 0));
    // What goes beyond the program's own length is cut; what lacks is an error of the connection.
    assert_eq!(ok(&site.get("/cgi/length?4")), "0123");
    assert!(sampan_testing::http_get(site.address, "/cgi/length?11").is_err());
}

#[test]
fn bodies_stream_both_ways() {
    let site = site();
    let big: Vec<u8> = (0..3_000_000u32).map(|n| n as u8).collect();
    let response = http_send(site.address, "POST", "/cgi/echo", &[], &big).unwrap();
    assert!(response.body == big, "{} bytes came back", response.body.len());
    assert_eq!(site.get("/cgi/big?5000000").body.len(), 5_000_000);
    // What it does not read is nobody's.
    assert_eq!(ok(&http_send(site.address, "POST", "/cgi/some?10", &[], &big).unwrap()), "10\n");
}

#[test]
fn a_chunked_body_gets_a_length() {
    let site = site();
    let mut stream = TcpStream::connect(site.address).unwrap();
    let head = "POST /cgi/env HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(b"3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.contains("CONTENT_LENGTH=7\n"), "{text}");
}

#[test]
fn a_body_that_is_too_large_starts_nothing() {
    let mut component = wagi();
    component.serving.body_bytes = 10;
    let site = Site::start(vec![component]);
    assert_eq!(http_send(site.address, "POST", "/cgi/echo", &[], b"01234567890").unwrap().status, 413);
    assert_eq!(ok(&http_send(site.address, "POST", "/cgi/echo", &[], b"0123456789").unwrap()), "0123456789");
}

#[test]
fn output_that_is_no_response_is_500_and_said() {
    let site = site();
    for (path, said) in [
        ("/cgi/nothing", "it wrote nothing"),
        ("/cgi/cut", "ended within the headers"),
        ("/cgi/html", "its line `<html>` is no header"),
        ("/cgi/long?100000", "longer than 64 KiB"),
        ("/cgi/insufficient", "none of the headers"),
        ("/cgi/exit?3", "exit code 3"),
        ("/cgi/trap", "trapped"),
    ] {
        let response = site.get(path);
        assert_eq!(response.status, 500, "{path}: {}", response.text());
        site.log.wait_for(said);
    }
    // An exit without error and without output is no answer either, and none of it hurt the next request.
    assert_eq!(site.get("/cgi/exit?0").status, 500);
    ok(&site.get("/cgi/env"));
}

#[test]
fn an_end_after_the_headers() {
    let site = site();
    // A program that ends with an error has said what it had to say.
    assert_eq!(ok(&site.get("/cgi/exit-after")), "said before\n");
    site.log.wait_for("exit code 3");
    // One that was ended has not.
    assert!(sampan_testing::http_get(site.address, "/cgi/trap-after").is_err());
    site.log.wait_for("trapped");
}

#[test]
fn standard_error_is_logged_with_the_components_name() {
    let site = site();
    ok(&site.get("/cgi/lines"));
    assert_eq!(site.log.wait_for("standard error"), "[test/cgi] a line on standard error");
}

#[test]
fn limits_end_one_request_alone() {
    let named = |name: &str, limits| Component { name: name.to_owned(), ..limited(wagi(), limits) };
    let site = Site::start(vec![
        named("small", Limits { memory_bytes: Some(16 << 20), ..Limits::default() }),
        named("short", Limits { timeout: Some(Duration::from_millis(300)), ..Limits::default() }),
        named("quick", Limits { cpu_time: Some(Duration::from_millis(50)), ..Limits::default() }),
        wagi(),
    ]);
    assert_eq!(site.get("/small/memory").status, 500);
    site.log.wait_for("16.0 MiB (limits.memory)");
    assert_eq!(site.get("/short/loop").status, 504);
    site.log.wait_for("(limits.time)");
    assert_eq!(site.get("/quick/loop").status, 500);
    site.log.wait_for("(limits.cpu)");
    // Somebody who asks for all and reads nothing: the program's time is over all the same.
    let mut slow = TcpStream::connect(site.address).unwrap();
    slow.write_all(b"GET /short/forever HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    while site.log.count("(limits.time)") < 2 {
        assert_eq!(site.get("/cgi/missing").status, 404);
    }
}

#[test]
fn a_client_that_leaves_ends_the_program() {
    let mut component = wagi();
    // Places are scarce: the next request gets the one that the first left.
    component.serving.instances = 1;
    component.serving.queue_timeout = PATIENCE;
    let site = Site::start(vec![component]);
    let mut leaving = TcpStream::connect(site.address).unwrap();
    leaving.write_all(b"GET /cgi/forever HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut some = [0; 1000];
    leaving.read_exact(&mut some).unwrap();
    drop(leaving);
    ok(&site.get("/cgi/env"));
    // The same before there is a head.
    let mut leaving = TcpStream::connect(site.address).unwrap();
    leaving.write_all(b"GET /cgi/loop HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    drop(leaving);
    ok(&site.get("/cgi/env"));
}

#[test]
fn a_program_that_cannot_run_is_refused_when_it_is_loaded() {
    let reactor = cgi("c", &guest("reactor"), CgiDialect::Wagi);
    assert_eq!(
        load_failure(reactor),
        "component c: it is no program: it exports no `_start` and has no start section"
    );
    let unknown = load_failure(cgi("c", &wat("unknown-import"), CgiDialect::Wagi));
    assert!(unknown.contains("imports what Sampan does not provide"), "{unknown}");
    let rootless = load_failure(cgi("c", &guest("cgi"), CgiDialect::Script));
    assert!(rootless.contains("its document root `/` is in no folder"), "{rootless}");
}

#[test]
fn a_program_reads_the_folders_that_it_was_granted() {
    let folder = temp_dir();
    std::fs::write(folder.path().join("one"), "1").unwrap();
    let site = Site::start(vec![mounted(wagi(), folder.path(), "/data")]);
    assert_eq!(ok(&site.get("/cgi/files")), "one\n");
}

#[test]
fn a_program_that_imports_one_name_with_two_types() {
    let site = Site::start(vec![cgi("wat", &wat("cgi-two-types"), CgiDialect::Wagi)]);
    for _ in 0..3 {
        assert_eq!(ok(&site.get("/wat")), "ok\n");
    }
}

#[test]
fn a_program_of_go() {
    let source = r#"package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cgi"
)

func main() {
	cgi.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Path", r.URL.Path)
		w.WriteHeader(202)
		fmt.Fprintf(w, "%s %s %s", r.Method, r.FormValue("q"), body)
	}))
}
"#;
    let Some(program) = go_program("cgi", source) else { return };
    let site = Site::start(vec![cgi("go", &program, CgiDialect::Wagi)]);
    let response = http_send(site.address, "PUT", "/go/a/b?q=what", &[], b"text").unwrap();
    assert_eq!((response.status, response.text()), (202, "PUT what text".to_owned()));
    assert_eq!(response.header("x-path"), Some("/go/a/b"));
}
