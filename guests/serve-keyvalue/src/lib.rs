//! Serves the keys of wasi:keyvalue's stores over HTTP: `GET` and `PUT` of `/STORE/KEY`.

use bindings::wasi::keyvalue::store::{Bucket, Error, open};
use wstd::http::{Body, Error as HttpError, Method, Request, Response, StatusCode};

mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/wasi-keyvalue-0.2.0-draft2",
        world: "wasi:keyvalue/imports",
        generate_all,
    });
}

#[wstd::http_server]
async fn main(mut request: Request<Body>) -> Result<Response<Body>, HttpError> {
    let body = request.body_mut().contents().await?.to_vec();
    let path = request.uri().path().trim_start_matches('/').to_owned();
    let (store, key) = path.split_once('/').unwrap_or((&path, ""));
    let (status, body) = match open(store).and_then(|bucket| answer(&bucket, request.method(), key, &body)) {
        Ok(Some(value)) => (StatusCode::OK, value),
        Ok(None) => (StatusCode::NO_CONTENT, Vec::new()),
        Err(error) => (StatusCode::BAD_GATEWAY, format!("{error:?}").into_bytes()),
    };
    Ok(Response::builder().status(status).body(Body::from(body))?)
}

fn answer(bucket: &Bucket, method: &Method, key: &str, body: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    if *method == Method::PUT {
        return bucket.set(key, body).map(|()| None);
    }
    bucket.get(key)
}
