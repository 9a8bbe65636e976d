//! Requests with their answers, as a table.

use crate::site::Up;
use sampan_testing::Response;

/// A request (`METHOD PATH`), its body, the status, and what the answer says: `ERR_…` with perhaps the reason of its
/// first detail, else the exact body.
pub type Row<'a> = (&'a str, &'a str, u16, &'a str);

/// Sends each request in order and compares the answers.
#[track_caller]
pub fn check(up: &Up, rows: &[Row<'_>]) {
    for (request, body, status, says) in rows {
        let (method, path) = request.split_once(' ').expect("METHOD PATH");
        let answer = up.send(method, path, &[("Content-Type", "application/json")], body.as_bytes());
        compare(&answer, *status, says, &format!("{request} {body}"));
    }
}

#[track_caller]
pub fn compare(answer: &Response, status: u16, says: &str, row: &str) {
    let text = answer.text();
    assert_eq!(answer.status, status, "{row}: {text}");
    let Some((code, reason)) = says.starts_with("ERR_").then(|| says.split_once(' ').unwrap_or((says, "")))
    else {
        return assert_eq!(text, says, "{row}");
    };
    let content_type = answer.header("content-type");
    assert_eq!(content_type, Some("application/json"), "{row}");
    assert!(text.contains(&format!("\"errorCode\":\"{code}\"")), "{row}: {text}");
    assert!(text.contains("\"message\":\""), "{row}: {text}");
    if reason.is_empty() {
        assert!(!text.contains("\"details\""), "{row}: {text}");
    } else {
        assert!(text.contains("\"@type\":\"type.googleapis.com/google.rpc.ErrorInfo\""), "{row}: {text}");
        assert!(text.contains(&format!("\"reason\":\"{reason}\"")), "{row}: {text}");
        assert!(text.contains("\"domain\":\"dapr.io\""), "{row}: {text}");
    }
}
