//! `METHOD URL` prints the status and the body; `echo URL COUNT` sends COUNT pieces of 64 KiB, then
//! reads the answer, and prints how many bytes came; `slow URL MS` waits so long for the first byte; `many URL COUNT`
//! sends so many requests at once. An error is printed as wasi:http's code.

use bytes::Bytes;
use futures::future::join_all;
use futures::stream;
use std::time::Duration;
use wstd::http::error::ErrorCode;
use wstd::http::{Body, BodyExt, Client, Error, Request};

const PIECE: [u8; 65536] = [b'x'; 65536];

#[wstd::main]
async fn main() -> Result<(), ()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match *arguments {
        ["echo", url, count] => echo(url, count.parse().map_err(drop)?).await,
        ["slow", url, ms] => slow(url, ms.parse().map_err(drop)?).await,
        ["many", url, count] => many(url, count.parse().map_err(drop)?).await,
        [method, url] => once(method, url).await,
        _ => return Err(()),
    };
    result.map_err(|error| match error.downcast_ref::<ErrorCode>() {
        Some(code) => println!("error: {code:?}"),
        None => println!("error: {error:#}"),
    })
}

async fn once(method: &str, url: &str) -> Result<(), Error> {
    let request = Request::builder().method(method).uri(url).body(Body::empty())?;
    let mut response = Client::new().send(request).await?;
    println!("status {}", response.status().as_u16());
    println!("{}", response.body_mut().str_contents().await?);
    Ok(())
}

async fn echo(url: &str, count: usize) -> Result<(), Error> {
    let pieces = stream::iter((0..count).map(|_| Bytes::from_static(&PIECE)));
    let request = Request::post(url).body(Body::from_stream(pieces))?;
    let response = Client::new().send(request).await?;
    let mut body = response.into_body().into_boxed_body();
    let mut total = 0;
    while let Some(frame) = body.frame().await {
        total += frame?.into_data().map_or(0, |data| data.len());
    }
    println!("echoed {total}");
    Ok(())
}

async fn slow(url: &str, ms: u64) -> Result<(), Error> {
    let mut client = Client::new();
    client.set_first_byte_timeout(Duration::from_millis(ms));
    client.send(Request::get(url).body(Body::empty())?).await.map(drop)
}

async fn many(url: &str, count: usize) -> Result<(), Error> {
    let client = Client::new();
    let requests = (0..count).map(async |_| {
        let mut response = client.send(Request::get(url).body(Body::empty())?).await?;
        response.body_mut().str_contents().await.map(str::len)
    });
    let sizes = join_all(requests).await.into_iter().collect::<Result<Vec<_>, Error>>()?;
    println!("{} answers", sizes.len());
    Ok(())
}
