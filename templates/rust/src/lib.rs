//! Answers HTTP requests: a component for wasi:http 0.2.

use wstd::http::{Body, Error, Request, Response, StatusCode};

#[wstd::http_server]
async fn main(request: Request<Body>) -> Result<Response<Body>, Error> {
    let (status, text) = match request.uri().path() {
        "/" => (StatusCode::OK, format!("Hello, {}!\n", name(request.uri().query()))),
        path => (StatusCode::NOT_FOUND, format!("There is no {path} here.\n")),
    };
    let response = Response::builder()
        .status(status)
        .header("content-type", "text/plain; charset=utf-8")
        .body(text.into())?;
    Ok(response)
}

/// The value of `name` in a query; who does not say it is the world.
fn name(query: Option<&str>) -> &str {
    let mut pairs = query.unwrap_or_default().split('&');
    pairs.find_map(|pair| pair.strip_prefix("name=")).unwrap_or("world")
}
