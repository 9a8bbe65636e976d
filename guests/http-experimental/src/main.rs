//! `METHOD URL [BODY]` prints the status, the headers (sorted) and the body; an error is the crate's own text.

use bytes::Bytes;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (method, url, body) = match *arguments {
        [method, url] => (method, url, None),
        [method, url, body] => (method, url, Some(Bytes::copy_from_slice(body.as_bytes()))),
        _ => return ExitCode::from(2),
    };
    let request = http::Request::builder().method(method).uri(url).header("x-from", "guest").body(body);
    let request = request.expect("method and URL are well formed");
    let mut response = match wasi_experimental_http::request(request) {
        Ok(response) => response,
        Err(error) => {
            println!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    println!("status {}", response.status_code.as_u16());
    let headers = response.headers_get_all().expect("the headers");
    let mut names: Vec<_> = headers.keys().map(|name| name.as_str().to_owned()).collect();
    names.sort_unstable();
    for name in names {
        println!("{name}: {}", response.header_get(name.clone()).expect("a header that is there"));
    }
    assert!(response.header_get("x-not-there".to_owned()).is_err());
    let body = response.body_read_all().expect("the body");
    println!("{}", String::from_utf8_lossy(&body));
    ExitCode::SUCCESS
}
