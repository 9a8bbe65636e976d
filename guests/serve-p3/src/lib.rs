//! Answers HTTP by wasi:http 0.3. The path says how: well (`/hello`, `/echo`, `/count`, `/after`), badly (`/trap`,
//! `/abort`, `/error`), late (`/slow`, `/loop`, `/wait` for a `/go` in the same instance), or never (`/never`).

use std::cell::Cell;
use wasip3::clocks::monotonic_clock::wait_for;
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::{wit_bindgen, wit_future, wit_stream};

wasip3::http::service::export!(Serve);

struct Serve;

thread_local! {
    static COUNT: Cell<u32> = const { Cell::new(0) };
    /// Requests to `/wait` that wait now.
    static WAITING: Cell<u32> = const { Cell::new(0) };
}

impl wasip3::exports::http::handler::Guest for Serve {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let path = request.get_path_with_query().unwrap_or_default();
        let (path, query) = path.split_once('?').unwrap_or((&path, ""));
        match path {
            "/hello" => Ok(text("Hello, world!\n", "")),
            "/echo" => Ok(echo(request)),
            "/count" => {
                COUNT.set(COUNT.get() + 1);
                Ok(text(&COUNT.get().to_string(), ""))
            }
            "/wait" => {
                WAITING.set(WAITING.get() + 1);
                println!("waiting");
                while WAITING.get() > 0 {
                    wait_for(1_000_000).await;
                }
                Ok(text("waited", ""))
            }
            "/go" => Ok(text(&WAITING.replace(0).to_string(), "")),
            "/after" => {
                wit_bindgen::spawn_local(async {
                    wait_for(1_000_000).await;
                    println!("went on");
                });
                Ok(text("answered", ""))
            }
            "/abort" => Ok(text("half", "abort")),
            "/trap" => panic!("trap was asked for"),
            "/error" => Err(ErrorCode::LoopDetected),
            "/slow" => {
                wait_for(query.parse::<u64>().unwrap() * 1_000_000).await;
                Ok(text("slow", ""))
            }
            "/loop" => {
                println!("looping");
                loop {
                    std::hint::black_box(0);
                }
            }
            "/never" => loop {
                wait_for(1_000_000_000).await;
            },
            _ => Ok(text("not found\n", "")),
        }
    }
}

/// A response whose body is written after it was returned.
fn text(text: &str, then: &'static str) -> Response {
    let (mut body, read) = wit_stream::new();
    let (end, ended) = wit_future::new(|| Ok(None));
    let (response, _sent) = Response::new(Fields::new(), Some(read), ended);
    let text = text.as_bytes().to_vec();
    drop(end);
    wit_bindgen::spawn_local(async move {
        body.write_all(text).await;
        assert_ne!(then, "abort", "trap after half of the body");
    });
    response
}

/// Passes the body and the trailers back as they come.
fn echo(request: Request) -> Response {
    let (done, result) = wit_future::new(|| Ok(()));
    drop(done);
    let (body, trailers) = Request::consume_body(request, result);
    let (response, _sent) = Response::new(Fields::new(), Some(body), trailers);
    response
}
