//! The guest's response before it goes out: checked, because a guest may have put anything into it.

use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, PROXY_AUTHENTICATE, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::{Method, Response, StatusCode};
use hyper::body::Body as _;
use sampan_service::remove_named_by_connection;
use wasmtime_wasi_http::WasiBody;

/// More headers than this are no response but an attack on whoever reads them.
const HEADERS_MAX: usize = 512;
/// Names and values together.
const HEADERS_BYTES_MAX: usize = 256 << 10;

/// Whether a response has no body whatever its headers say (RFC 9110 §6.4.1).
pub(super) fn is_bodyless(method: &Method, status: StatusCode) -> bool {
    method == Method::HEAD || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Refuses what cannot be sent, and removes what concerns the connection alone.
///
/// # Errors
///
/// What is wrong with it, for the log.
pub(super) fn check(method: &Method, response: &mut Response<WasiBody>) -> Result<(), String> {
    let status = response.status();
    if status.is_informational() {
        return Err(format!("its response has the status {status}, which is none of a final response"));
    }
    if status.as_u16() > 599 {
        return Err(format!("its response has the status {}, which does not exist", status.as_u16()));
    }
    if response.headers().len() > HEADERS_MAX || bytes(response.headers()) > HEADERS_BYTES_MAX {
        return Err(format!("its response has more than {HEADERS_MAX} headers or {HEADERS_BYTES_MAX} bytes"));
    }
    let length = content_length(response.headers())?;
    let bodyless = is_bodyless(method, status);
    let body = response.body();
    if let (Some(length), false, true) = (length, bodyless, body.is_end_stream())
        && length != 0
    {
        return Err(format!("its response promises {length} bytes and has no body"));
    }
    let headers = response.headers_mut();
    if status == StatusCode::NO_CONTENT {
        headers.remove(CONTENT_LENGTH);
    }
    remove_hop_by_hop(headers);
    Ok(())
}

/// One number, however often it is said (RFC 9110 §8.6).
fn content_length(headers: &HeaderMap) -> Result<Option<u64>, String> {
    let mut length = None;
    for value in headers.get_all(CONTENT_LENGTH) {
        let text =
            value.to_str().ok().filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()));
        let one = text.and_then(|text| text.parse::<u64>().ok());
        let one = one.ok_or_else(|| format!("its response has the content-length {value:?}"))?;
        if length.is_some_and(|length| length != one) {
            return Err("its response has two lengths".to_owned());
        }
        length = Some(one);
    }
    Ok(length)
}

/// Most of these wasi:http does not let a guest set in the first place.
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    remove_named_by_connection(headers);
    const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
    for name in [CONNECTION, KEEP_ALIVE, PROXY_AUTHENTICATE, TE, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
}

fn bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt, Empty};

    fn response(status: u16, headers: &[(&str, &str)]) -> Response<WasiBody> {
        let mut builder = Response::builder().status(status);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(Empty::new().map_err(|never| match never {}).boxed_unsync()).unwrap()
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        for (status, headers, accepted) in [
            (200, vec![], true),
            (200, vec![("content-length", "0")], true),
            (200, vec![("content-length", "5")], false),
            (304, vec![("content-length", "5")], true),
            (200, vec![("content-length", "0"), ("content-length", "0")], true),
            (200, vec![("content-length", "0"), ("content-length", "5")], false),
            (200, vec![("content-length", "+1")], false),
            (101, vec![], false),
            (199, vec![], false),
            (999, vec![], false),
        ] {
            let checked = check(&Method::GET, &mut response(status, &headers));
            assert_eq!(checked.is_ok(), accepted, "{status} {headers:?}: {checked:?}");
        }
        assert!(check(&Method::HEAD, &mut response(200, &[("content-length", "5")])).is_ok());
    }

    #[test]
    fn the_connection_is_not_the_guests() {
        let mut one = response(
            200,
            &[
                ("connection", "close, x-mine"),
                ("x-mine", "1"),
                ("transfer-encoding", "chunked"),
                ("x-other", "1"),
            ],
        );
        check(&Method::GET, &mut one).unwrap();
        assert_eq!(one.headers().keys().collect::<Vec<_>>(), ["x-other"]);
    }
}
