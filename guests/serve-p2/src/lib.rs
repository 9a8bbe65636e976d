//! Answers HTTP by wasi:http 0.2. The path says how: well (`/hello`, `/echo`, `/trailers`, `/request`, `/count`),
//! badly (`/trap`, `/abort`, `/short`, `/long`, `/status/101`, `/twice`, `/exit`), late (`/slow`, `/loop`,
//! `/after`), or never (`/never`, `/drop`).

mod bodies;

use bodies::{copy, finish, write_all};
use std::cell::Cell;
use wasip2::clocks::monotonic_clock::subscribe_duration;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingRequest, IncomingResponse, OutgoingBody, OutgoingRequest,
    OutgoingResponse, ResponseOutparam, Scheme,
};

wasip2::http::proxy::export!(Serve);

struct Serve;

thread_local! {
    static COUNT: Cell<u32> = const { Cell::new(0) };
}

impl wasip2::exports::http::incoming_handler::Guest for Serve {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let (path, query) = path.split_once('?').unwrap_or((&path, ""));
        match path {
            "/hello" => text(out, 200, "Hello, world!\n"),
            "/echo" => echo(&request, out),
            "/trailers" => trailers(&request, out),
            "/request" => describe(&request, out),
            "/count" => {
                COUNT.set(COUNT.get() + 1);
                text(out, 200, &COUNT.get().to_string());
            }
            "/print" => {
                println!("printed {query}");
                text(out, 200, "printed");
            }
            "/chain" => chain(query, out),
            "/error" => ResponseOutparam::set(out, Err(ErrorCode::LoopDetected)),
            "/trap" => panic!("trap was asked for"),
            "/exit" => std::process::exit(3),
            "/abort" => {
                let body = out_of(out, 200, &[]);
                write_all(&body, [b"half"]);
                panic!("trap after half of the body");
            }
            "/short" => {
                let body = out_of(out, 200, &[("content-length", "10")]);
                write_all(&body, [b"short"]);
                assert!(OutgoingBody::finish(body, None).is_err());
            }
            "/long" => {
                let body = out_of(out, 200, &[("content-length", "2")]);
                let stream = body.write().unwrap();
                assert!(stream.blocking_write_and_flush(b"too long").is_err());
            }
            "/twice" => {
                // SAFETY: it is not: the second use of the handle is what is tried here.
                let again = unsafe { ResponseOutparam::from_handle(out.handle()) };
                text(out, 200, "first");
                text(again, 200, "second");
            }
            "/slow" => {
                subscribe_duration(query.parse::<u64>().unwrap() * 1_000_000).block();
                text(out, 200, "slow");
            }
            "/file" => match std::fs::read_to_string(query) {
                Ok(content) => text(out, 200, &content),
                Err(error) => text(out, 404, &error.to_string()),
            },
            "/loop" => loop {
                std::hint::black_box(0);
            },
            "/after" => {
                text(out, 200, "answered");
                // What it does after its answer shows in the log.
                subscribe_duration(1_000_000).block();
                println!("went on");
            }
            "/stream" => stream(query, out),
            "/memory" => {
                let bytes = vec![1u8; query.parse::<usize>().unwrap() << 20];
                text(out, 200, &bytes.len().to_string());
            }
            "/recursion" => text(out, 200, &recursion(query.len() as u64).to_string()),
            "/never" => {}
            "/drop" => {
                drop(out);
                loop {
                    subscribe_duration(1_000_000_000).block();
                }
            }
            _ => match path.strip_prefix("/status/") {
                Some(status) => text(out, status.parse().unwrap(), "status"),
                None => text(out, 404, "not found\n"),
            },
        }
    }
}

fn recursion(depth: u64) -> u64 {
    let place = std::hint::black_box([depth; 64]);
    if depth == u64::MAX {
        return 0;
    }
    recursion(std::hint::black_box(depth + 1)) + place[0]
}

/// Sends the head of a response, and returns what its body is written to.
fn out_of(out: ResponseOutparam, status: u16, headers: &[(&str, &str)]) -> OutgoingBody {
    let fields = Fields::new();
    for (name, value) in headers {
        fields.append(name, value.as_bytes()).unwrap();
    }
    let response = OutgoingResponse::new(fields);
    response.set_status_code(status).unwrap();
    let body = response.body().unwrap();
    ResponseOutparam::set(out, Ok(response));
    body
}

fn text(out: ResponseOutparam, status: u16, text: &str) {
    let body = out_of(out, status, &[("content-type", "text/plain")]);
    write_all(&body, text.as_bytes().chunks(4096));
    finish(body, None);
}

fn echo(request: &IncomingRequest, out: ResponseOutparam) {
    let body = out_of(out, 200, &[]);
    let incoming = request.consume().unwrap();
    if let Err(error) = copy(&incoming, &body) {
        println!("echo ended: {error}");
        return;
    }
    finish(body, None);
}

/// Sends back the trailers of the request, each with `seen-` before its name.
fn trailers(request: &IncomingRequest, out: ResponseOutparam) {
    let body = out_of(out, 200, &[("trailer", "seen-checksum")]);
    let incoming = request.consume().unwrap();
    copy(&incoming, &body).unwrap();
    let future = IncomingBody::finish(incoming);
    future.subscribe().block();
    let seen = Fields::new();
    if let Some(Ok(Ok(Some(trailers)))) = future.get() {
        for (name, value) in trailers.entries() {
            seen.append(&format!("seen-{name}"), &value).unwrap();
        }
    }
    finish(body, Some(seen));
}

fn describe(request: &IncomingRequest, out: ResponseOutparam) {
    let mut lines = format!(
        "{:?} {:?} {} {}\n",
        request.method(),
        request.scheme(),
        request.authority().unwrap_or_default(),
        request.path_with_query().unwrap_or_default()
    );
    let headers = request.headers();
    for (name, value) in headers.entries() {
        lines.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(&value)));
    }
    text(out, 200, &lines);
}

/// `COUNT` pieces of 64 KiB.
fn stream(count: &str, out: ResponseOutparam) {
    let body = out_of(out, 200, &[]);
    let bytes = count.parse::<usize>().unwrap() * 65536;
    write_all(&body, std::iter::repeat_n(&[b'x'; 4096], bytes / 4096));
    finish(body, None);
}

/// Asks another server, and passes its status and body on.
fn chain(url: &str, out: ResponseOutparam) {
    let (authority, path) = url.split_once('/').unwrap();
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&Scheme::Http)).unwrap();
    request.set_authority(Some(authority)).unwrap();
    request.set_path_with_query(Some(&format!("/{path}"))).unwrap();
    let answer = match outgoing_handler::handle(request, None) {
        Ok(future) => {
            future.subscribe().block();
            future.get().unwrap().unwrap()
        }
        Err(error) => Err(error),
    };
    match answer {
        Ok(response) => pass_on(&response, out),
        Err(error) => text(out, 502, &format!("{error:?}")),
    }
}

fn pass_on(response: &IncomingResponse, out: ResponseOutparam) {
    let body = out_of(out, response.status(), &[]);
    copy(&response.consume().unwrap(), &body).unwrap();
    finish(body, None);
}
