//! `docker-compose` of Debian (1.29): services that are built, started, changed, asked and taken down.

use crate::Engine;
use sampan_testing::{Finished, finish, free_port, guest, http_get, skip};
use std::fs;
use std::path::Path;

const COMPOSE: &str = "/usr/bin/docker-compose";

fn compose(engine: &Engine, arguments: &[&str]) -> Finished {
    let mut command = engine.client(COMPOSE);
    finish(command.current_dir(engine.path().join("site")).args(arguments), "")
}

#[track_caller]
fn good(engine: &Engine, arguments: &[&str]) -> String {
    let finished = compose(engine, arguments);
    assert_eq!(finished.code, 0, "{arguments:?}: {}{}", finished.stdout, finished.stderr);
    finished.stdout + &finished.stderr
}

fn write(engine: &Engine, port: u16, greeting: &str) {
    let text = format!(
        r#"version: "3.8"
services:
  web:
    build: ./web
    ports: ["127.0.0.1:{port}:8080"]
    environment: {{GREETING: {greeting}}}
    volumes: ["data:/data"]
    depends_on: [worker]
    networks: [front]
  worker:
    image: guests
    command: ["lines", "2"]
    networks: [front]
volumes: {{data: {{}}}}
networks: {{front: {{}}}}
"#
    );
    fs::write(engine.path().join("site/docker-compose.yml"), text).expect("a file");
}

#[test]
fn a_site_goes_up_changes_and_comes_down() {
    if !Path::new(COMPOSE).exists() {
        skip::<()>("there is no docker-compose (Debian's docker-compose)");
        return;
    }
    let engine = Engine::start();
    fs::create_dir_all(engine.path().join("site/web")).unwrap();
    fs::copy(guest("cgi"), engine.path().join("site/web/cgi.wasm")).unwrap();
    let dockerfile = "FROM scratch\nCOPY cgi.wasm /\nEXPOSE 8080\nENTRYPOINT [\"/cgi.wasm\"]\n";
    fs::write(engine.path().join("site/web/Dockerfile"), dockerfile).unwrap();
    let port = free_port();
    write(&engine, port, "hello");

    good(&engine, &["up", "-d"]);
    let greeting = || http_get(("127.0.0.1", port), "/env").map(|answer| answer.text()).unwrap_or_default();
    crate::until("the site greets", || greeting().contains("GREETING=hello\n"));
    assert!(good(&engine, &["ps"]).contains("Up"));
    assert!(good(&engine, &["logs", "--no-color", "worker"]).contains("| 1"));
    assert!(good(&engine, &["up", "-d"]).contains("web_1 is up-to-date"));

    write(&engine, port, "bye");
    good(&engine, &["up", "-d"]);
    crate::until("the site was made anew", || greeting().contains("GREETING=bye\n"));
    assert!(good(&engine, &["run", "--rm", "worker", "lines", "1"]).contains('0'));
    // In the foreground, until all have ended.
    let shown = good(&engine, &["up", "--no-color", "worker"]);
    assert!(shown.contains("| 1") && shown.contains("exited with code 0"), "{shown}");
    good(&engine, &["stop"]);

    good(&engine, &["down", "-v", "--rmi", "local"]);
    assert_eq!(engine.sampan(&["ps", "-aq"]).stdout, "");
    assert!(!engine.sampan(&["volume", "ls"]).stdout.contains("site_data"));
    assert!(!engine.send("GET", "/networks", "").contains("site_front"));
}
