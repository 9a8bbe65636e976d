//! What a guest may not do at Dapr's API, and that what it does opens no socket.

use crate::{App, run};
use sampan_testing::{guest_for, temp_dir};
use std::io::ErrorKind;
use std::net::TcpListener;

const STORE: &str = "http://127.0.0.1:3500/v1.0/state/statestore";

#[test]
fn a_guest_reaches_what_its_grant_names() {
    let app = App::up(
        r#"
[component.app]
source = "GUEST"
grant = { dapr = ["pubsub"] }
"#,
    );
    let refused = app.ask("GET", &format!("{STORE}/key"), "");
    assert_eq!(refused.status, 403);
    assert_eq!(
        refused.text(),
        r#"{"errorCode":"ERR_PERMISSION_DENIED","message":"the state store statestore is not granted to the caller"}"#
    );
    let rows = [
        ("POST", "state/statestore", r#"[{"key":"key","value":1}]"#, 403),
        ("DELETE", "state/statestore/key", "", 403),
        ("GET", "secrets/secrets/password", "", 403),
        ("GET", "invoke/app/method/a", "", 403),
        ("POST", "shutdown", "", 403),
        ("POST", "publish/pubsub/orders", "1", 204),
        ("GET", "healthz", "", 204),
    ];
    for (method, path, body, status) in rows {
        let answer = app.ask(method, &format!("http://localhost:3500/v1.0/{path}"), body);
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
    }
}

#[test]
fn without_a_grant_there_is_no_dapr() {
    let app = App::up("[component.app]\nsource = \"GUEST\"\n");
    let refused = app.ask("GET", &format!("{STORE}/key"), "");
    assert_eq!((refused.status, refused.text().as_str()), (502, "ErrorCode::HttpRequestDenied"));
}

#[test]
fn explain_names_the_grant() {
    let home = temp_dir();
    let guest = guest_for("wasm32-wasip2", "http-p2").display().to_string();
    let url = format!("{STORE}/key");
    let refused = run(&["--explain", &guest, "GET", &url], home.path());
    assert!(refused.stdout.contains("HttpRequestDenied"), "{refused:?}");
    assert!(
        refused.stderr.contains(
            "grant it with --dapr, or, for another server there, --allow-http http://127.0.0.1:3500"
        ),
        "{refused:?}"
    );
    // With it the key is not there, but the store is.
    let granted = run(&["--explain", "--dapr", &guest, "GET", &url], home.path());
    assert_eq!((granted.code, &*granted.stdout, &*granted.stderr), (0, "status 204\n\n", ""), "{granted:?}");
}

#[test]
fn no_socket_is_opened() {
    let app = App::up("[component.app]\nsource = \"GUEST\"\ngrant = { dapr = [\"statestore\"] }\n");
    // The port names Dapr, and Sampan binds it for nobody; unless something else has it, whoever came would be seen.
    let listener = TcpListener::bind(("127.0.0.1", 3500)).ok();
    assert_eq!(app.ask("POST", STORE, r#"[{"key":"weapon","value":"x"}]"#).status, 204);
    let found = app.ask("GET", &format!("{STORE}/weapon"), "");
    assert_eq!((found.status, found.text().as_str()), (200, "\"x\""));
    if let Some(listener) = listener {
        listener.set_nonblocking(true).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    }
    // Another port of this machine is no Dapr, and not granted.
    let other = app.ask("GET", "http://127.0.0.1:3499/v1.0/state/statestore/weapon", "");
    assert_eq!((other.status, other.text().as_str()), (502, "ErrorCode::HttpRequestDenied"));
}
