//! `METHOD URL` prints the status and the body; `echo URL COUNT` sends COUNT pieces of 64 KiB while it reads the
//! answer, and prints how many bytes came. An error is printed as wasi:http's code.
//! URLs have a scheme, an authority and a path.

use wasip3::cli::{environment, stdout};
use wasip3::http::client;
use wasip3::http::types::{ErrorCode, Fields, Method, Request, Response, Scheme};
use wasip3::wit_bindgen::StreamReader;
use wasip3::{wit_future, wit_stream};

wasip3::cli::command::export!(Command);

struct Command;

impl wasip3::exports::cli::run::Guest for Command {
    async fn run() -> Result<(), ()> {
        let arguments = environment::get_arguments();
        let arguments: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
        let result = match *arguments {
            ["echo", url, count] => echo(url, count.parse().map_err(drop)?).await,
            [method, url] => once(method, url).await,
            _ => return Err(()),
        };
        match result {
            Ok(text) => print(text).await,
            Err(code) => print(format!("error: {code:?}")).await.and(Err(())),
        }
    }
}

async fn print(text: String) -> Result<(), ()> {
    let (mut sender, receiver) = wit_stream::new();
    let write = async {
        let rest = sender.write_all((text + "\n").into_bytes()).await;
        drop(sender);
        if rest.is_empty() { Ok(()) } else { Err(()) }
    };
    let (written, sent) = futures::join!(write, stdout::write_via_stream(receiver).into_future());
    written.and(sent.map_err(drop))
}

/// A request without headers, and what says how sending it ended.
fn request(
    method: &str,
    url: &str,
    body: Option<StreamReader<u8>>,
) -> Result<(Request, impl Future<Output = Result<(), ErrorCode>>), ErrorCode> {
    let (no_trailers, trailers) = wit_future::new(|| Ok(None));
    drop(no_trailers);
    let (request, sent) = Request::new(Fields::new(), body, trailers, None);
    let invalid = |()| ErrorCode::HttpRequestUriInvalid;
    let (scheme, rest) = url.split_once("://").ok_or(ErrorCode::HttpRequestUriInvalid)?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    };
    request
        .set_method(&Method::Other(method.to_owned()))
        .map_err(|()| ErrorCode::HttpRequestMethodInvalid)?;
    request.set_scheme(Some(&scheme)).map_err(invalid)?;
    request.set_authority(Some(authority)).map_err(invalid)?;
    request.set_path_with_query(Some(path).filter(|path| !path.is_empty())).map_err(invalid)?;
    Ok((request, sent.into_future()))
}

async fn read(response: Response) -> Result<Vec<u8>, ErrorCode> {
    let (done, result) = wit_future::new(|| Ok(()));
    drop(done);
    let (body, trailers) = Response::consume_body(response, result);
    let bytes = body.collect().await;
    trailers.await?;
    Ok(bytes)
}

async fn once(method: &str, url: &str) -> Result<String, ErrorCode> {
    let (request, sent) = request(method, url, None)?;
    let response = client::send(request).await?;
    let status = response.get_status_code();
    let body = read(response).await?;
    sent.await?;
    Ok(format!("status {status}\n{}", String::from_utf8_lossy(&body)))
}

async fn echo(url: &str, count: usize) -> Result<String, ErrorCode> {
    let (mut sender, body) = wit_stream::new();
    let (request, sent) = request("POST", url, Some(body))?;
    let write = async {
        for _ in 0..count {
            if !sender.write_all(vec![b'x'; 65536]).await.is_empty() {
                break;
            }
        }
        drop(sender);
    };
    let receive = async { read(client::send(request).await?).await };
    let ((), received) = futures::join!(write, receive);
    let total = received?.len();
    sent.await?;
    Ok(format!("echoed {total}"))
}
