//! Starting, answering, ending.

use crate::{App, component};
use sampan_testing::{Running, finish, free_port, sampan};

fn hello() -> App {
    App::new(&format!(
        "[app]\nname = \"a\"\n[component.hello]\nsource = \"{}\"\n[[route]]\npath = \"/...\"\nto = \"hello\"\n",
        component("serve-hello").display()
    ))
}

#[test]
fn serves_until_sigterm() {
    let up = hello().up();
    let answer = up.get("/");
    assert_eq!((answer.status, answer.text().as_str()), (200, "Hello, world!\n"));
    assert!(answer.header("x-request-id").is_some(), "{:?}", answer.headers);
    up.signal("TERM");
    let end = up.process.finish();
    assert_eq!(end.code, 0, "{}", end.stderr);
}

#[test]
fn the_manifest_of_the_folder_is_found() {
    let app = hello();
    let mut command = sampan();
    command.args(["up", "--listen", "127.0.0.1:0"]).current_dir(app.path());
    let mut process = Running::start(&mut command);
    process.wait_for_line("listening on http://127.0.0.1:");
}

#[test]
fn a_taken_port_is_said_before_anything_is_compiled() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let app = hello();
    let manifest = app.path().join("sampan.toml");
    let end = finish(sampan().arg("up").arg("-f").arg(manifest).args(["--listen", &address]), "");
    assert_eq!(end.code, 1);
    assert!(
        end.stderr.contains(&format!("error: cannot listen on {address}: the port is in use")),
        "{}",
        end.stderr
    );
    assert!(end.stderr.contains("help: "), "{}", end.stderr);
}

#[test]
fn the_admin_listener_has_health_and_metrics() {
    let port = free_port();
    let admin = format!("127.0.0.1:{port}");
    let up = hello().up_with(&["--admin", &admin]);
    assert_eq!(up.get("/").status, 200);
    let ask = |path| sampan_testing::http_get(&*admin, path).unwrap();
    assert_eq!(ask("/healthz").status, 200);
    assert_eq!(ask("/readyz").status, 200);
    let metrics = ask("/metrics").text();
    let expected = r#"sampan_requests_total{app="a",route="/...",to="hello",status="2xx"} 1"#;
    assert!(metrics.contains(expected), "{metrics}");
    // The app's port knows nothing of them.
    assert!(!up.get("/metrics").text().contains("sampan_requests_total"));
}
