//! Middleware of wasi:http 0.3. The path says what it does: answers itself (`/self`), makes a body upper case
//! (`/upper`), asks the next handler more than once (`/again`, `/many`), or fails (`/trap`, `/loop`, `/never`,
//! `/error`, `/half`). Else it adds a header in both directions.

wit_bindgen::generate!({ path: "wit", world: "middleware", generate_all });

use exports::wasi::http::handler::Guest;
use wasi::http::handler;
use wasi::http::types::{ErrorCode, Fields, Request, Response};

struct Middleware;

export!(Middleware);

impl Guest for Middleware {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let path = request.get_path_with_query().unwrap_or_default();
        match path.split('?').next().unwrap_or_default() {
            "/self" => Ok(text("from the middleware\n")),
            "/upper" => upper(handler::handle(request).await?),
            "/again" => {
                let first = handler::handle(get(&path)).await?.get_status_code();
                let second = handler::handle(get(&path)).await?;
                second_with(second, "x-first", &first.to_string())
            }
            "/many" => {
                for _ in 0..1000 {
                    handler::handle(get(&path)).await?;
                }
                Ok(text("it was asked a thousand times\n"))
            }
            "/trap" => panic!("a trap was asked for"),
            "/trap-after" => {
                handler::handle(request).await?;
                panic!("a trap was asked for")
            }
            "/loop" => loop {
                std::hint::black_box(0);
            },
            "/never" => std::future::pending().await,
            "/error" => Err(ErrorCode::LoopDetected),
            "/half" => {
                let (mut writer, body) = wit_stream::new();
                let (response, _sent) = Response::new(Fields::new(), Some(body), no_trailers());
                wit_bindgen::spawn_local(async move {
                    writer.write_all(b"half".to_vec()).await;
                    panic!("a trap in the middle of the body");
                });
                Ok(response)
            }
            _ => {
                let response = handler::handle(with_header(request)).await?;
                second_with(response, "x-middleware", "response")
            }
        }
    }
}

fn get(path: &str) -> Request {
    let (request, _sent) = Request::new(Fields::new(), None, no_trailers(), None);
    request.set_path_with_query(Some(path)).unwrap();
    request.set_authority(Some("again.example")).unwrap();
    request
}

/// The same request, with one header more.
fn with_header(request: Request) -> Request {
    let headers = request.get_headers().clone();
    let (method, path) = (request.get_method(), request.get_path_with_query());
    let (scheme, authority) = (request.get_scheme(), request.get_authority());
    headers.set("x-middleware", &[b"request".to_vec()]).unwrap();
    let (body, trailers) = Request::consume_body(request, done());
    let (request, _sent) = Request::new(headers, Some(body), trailers, None);
    request.set_method(&method).unwrap();
    request.set_path_with_query(path.as_deref()).unwrap();
    request.set_scheme(scheme.as_ref()).unwrap();
    request.set_authority(authority.as_deref()).unwrap();
    request
}

/// The same response, with one header more.
fn second_with(response: Response, name: &str, value: &str) -> Result<Response, ErrorCode> {
    let (status, headers) = (response.get_status_code(), response.get_headers().clone());
    headers.set(name, &[value.as_bytes().to_vec()]).unwrap();
    let (body, trailers) = Response::consume_body(response, done());
    let (response, _sent) = Response::new(headers, Some(body), trailers);
    response.set_status_code(status).unwrap();
    Ok(response)
}

/// Each piece of the body as it comes, in upper case.
fn upper(response: Response) -> Result<Response, ErrorCode> {
    let (mut body, trailers) = Response::consume_body(response, done());
    let (mut writer, reader) = wit_stream::new();
    let (response, _sent) = Response::new(Fields::new(), Some(reader), trailers);
    wit_bindgen::spawn_local(async move {
        loop {
            let (result, mut piece) = body.read(Vec::with_capacity(4096)).await;
            if !piece.is_empty() {
                piece.make_ascii_uppercase();
                writer.write_all(piece).await;
            }
            if !matches!(result, wit_bindgen::StreamResult::Complete(_)) {
                break;
            }
        }
    });
    Ok(response)
}

fn text(text: &str) -> Response {
    let (mut writer, body) = wit_stream::new();
    let (response, _sent) = Response::new(Fields::new(), Some(body), no_trailers());
    let text = text.as_bytes().to_vec();
    wit_bindgen::spawn_local(async move {
        writer.write_all(text).await;
    });
    response
}

fn no_trailers() -> wit_bindgen::FutureReader<Result<Option<Fields>, ErrorCode>> {
    wit_future::new(|| Ok(None)).1
}

fn done() -> wit_bindgen::FutureReader<Result<(), ErrorCode>> {
    wit_future::new(|| Ok(())).1
}
