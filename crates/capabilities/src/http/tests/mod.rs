//! Tests of the door against real servers on this machine. The servers are in [`server`].

mod errors;
mod exchange;
mod experimental;
mod grants;
mod guests;
mod redirects;
mod server;
mod streaming;
mod tls;
mod wasi_http;
mod wire;

use super::{Body, Door, Error, Timeouts};
use crate::Explain;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use sampan_app::Origin;

/// Runs a test on the kind of runtime that `sampan run` uses.
fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

fn origins(grants: &[&str]) -> Vec<Origin> {
    grants.iter().map(|text| text.parse().unwrap()).collect()
}

fn door(grants: &[&str]) -> Door {
    Door::new(&origins(grants), &Explain::default())
}

fn get(uri: &str) -> Request<Body> {
    let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
    Request::get(uri).body(body).unwrap()
}

fn post(uri: &str, body: impl Into<Bytes>) -> Request<Body> {
    let body = Full::new(body.into()).map_err(|never| match never {}).boxed_unsync();
    Request::post(uri).body(body).unwrap()
}

async fn text(response: Response<Body>) -> Result<String, Error> {
    let bytes = response.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Sends a GET and reads the answer.
async fn fetch(door: &Door, uri: &str) -> Result<String, Error> {
    text(door.send(get(uri), Timeouts::default()).await?).await
}
