//! The client library for Rust, and many calls in a row.

use crate::App;

const MANIFEST: &str = r#"
[component.app]
source = "GUEST"
grant = { dapr = ["statestore", "pubsub", "secrets", "app:other"] }

[component.other]
source = "GUEST"
"#;

#[test]
fn every_call_of_the_library() {
    let app = App::up(MANIFEST);
    let answer = app.get("/client");
    let expected = [
        r#"got Some("Death Star")"#,
        "missing None",
        "bytes Some([91, 49, 44, 50, 93])",
        "conflict true",
        "conflict true",
        "first write true",
        r#"bulk [("count", 7)]"#,
        "expires true",
        "deleted None",
        r#"secret {"password": "ahoy"}"#,
        "secrets 1",
        "invoked 200 OK PUT /a/b shop ahoy",
        "refused 403 Forbidden: ERR_PERMISSION_DENIED: the state store hidden is not granted to the caller",
    ];
    assert_eq!((answer.status, answer.text()), (200, expected.join("\n")));
}

/// A guest may still be writing the end of a request that is answered already.
#[test]
fn thousands_of_calls_of_one_guest() {
    let app = App::up(MANIFEST);
    let answer = app.get("/measure/statestore/5000");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.text().starts_with("5000 gets of 100 bytes: p50 "), "{}", answer.text());
}
