//! The text forms of `wasi_experimental_http`.

use crate::http::host::experimental_wire::{Malformed, method, request_headers, response_headers, text};

#[test]
fn request_header_blocks() {
    assert_eq!(request_headers(""), Ok(vec![]));
    assert_eq!(request_headers("a:b"), Ok(vec![("a", "b")]));
    assert_eq!(request_headers("a:b\nc:d\n"), Ok(vec![("a", "b"), ("c", "d")]));
    // The first colon splits, and nothing is trimmed.
    assert_eq!(request_headers("a: b:c \n"), Ok(vec![("a", " b:c ")]));
    assert_eq!(request_headers("a:\n:b\n\n"), Ok(vec![("a", ""), ("", "b")]));
    assert_eq!(request_headers("a:b\r\nc:d"), Ok(vec![("a", "b"), ("c", "d")]));
    assert_eq!(request_headers("a:b\nno colon\n"), Err(Malformed::HeaderLine));
}

#[test]
fn response_header_blocks() {
    let headers = [("a", &b"b"[..]), ("c", b" d:e "), ("f", b"")];
    let block = |limit| response_headers(headers.into_iter(), limit);
    assert_eq!(block(100), Ok(Some("a:b\nc: d:e \nf:\n".to_owned())));
    assert_eq!(block(15), Ok(Some("a:b\nc: d:e \nf:\n".to_owned())));
    for limit in 0..15 {
        assert_eq!(block(limit), Ok(None), "{limit}");
    }
    assert_eq!(response_headers([].into_iter(), 0), Ok(Some(String::new())));
    let latin = [("a", &b"\xe9"[..])];
    assert_eq!(response_headers(latin.into_iter(), 100), Err(Malformed::Utf8));
}

#[test]
fn methods_and_texts() {
    assert_eq!(method("DELET"), "DELETE");
    for name in ["GET", "DELETE", "DELETED", "delet", ""] {
        assert_eq!(method(name), name);
    }
    assert_eq!(text(b"\xff"), Err(Malformed::Utf8));
}
