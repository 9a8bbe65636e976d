//! Containers that are reached at a port: a program that listens, a component, a CGI program.

use crate::Place;
use sampan_testing::{guest, guest_for, http_send};
use std::path::Path;

pub fn get(port: u16, path: &str) -> (u16, String) {
    let address = format!("127.0.0.1:{port}");
    let begun = std::time::Instant::now();
    loop {
        match http_send(address.as_str(), "GET", path, &[("Host", "shop.example")], b"") {
            Ok(answer) => return (answer.status, String::from_utf8_lossy(&answer.body).into_owned()),
            Err(error) => assert!(begun.elapsed() < sampan_testing::PATIENCE, "{error}"),
        }
    }
}

/// Starts it with a port that is free, and says which.
fn published(place: &Place, name: &str, guest: &Path, args: &[&str]) -> u16 {
    place.start(name, &["-p", "127.0.0.1:0:8080"], guest, args);
    let port = place.ok(&["port", name, "8080"]);
    port.rsplit(':').next().unwrap().parse().unwrap()
}

#[test]
fn a_component_is_served_at_the_containers_port() {
    let place = Place::new();
    let port = published(&place, "api", &guest_for("wasm32-wasip2", "serve-p2"), &[]);
    assert_eq!(get(port, "/hello"), (200, "Hello, world!\n".to_owned()));
    // A request that traps hurts itself alone.
    assert_eq!(get(port, "/trap").0, 500);
    assert_eq!(get(port, "/hello").0, 200);
    let listed = place.ok(&["ps"]);
    assert!(listed.contains(&format!("127.0.0.1:{port}->8080/tcp")), "{listed}");
    place.ok(&["stop", "api"]);
    assert_eq!(place.inspect("api")["State"]["ExitCode"], 0);
}

#[test]
fn a_program_that_cannot_listen_is_called_by_cgi() {
    let place = Place::new();
    let port = published(&place, "cgi", &guest("cgi"), &[]);
    let (status, body) = get(port, "/env?x=1");
    assert_eq!(status, 200, "{body}");
    assert!(body.contains("QUERY_STRING=x=1"), "{body}");
}

#[test]
fn a_program_that_listens_by_itself_is_left_to_it() {
    let place = Place::new();
    let port = published(&place, "server", &guest("web-server"), &["0.0.0.0:8080", "/"]);
    let (status, _) = get(port, "/web-server.wasm");
    assert_eq!(status, 200);
    assert!(place.ok(&["stats", "--no-stream", "--json", "server"]).contains("\"HostCalls\":"));
}
