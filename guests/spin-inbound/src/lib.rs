//! A component of Spin 1: `/hello`; `/echo` gives back what came; `/fetch` sends a request to the origin in the
//! header `x-origin`; `/nothing`, `/status` and `/header` answer with little and with what cannot be.

wit_bindgen::generate!({
    path: ["../../wit/spin-unversioned"],
    inline: "
        package sampan:guest;
        world spin-inbound {
            import fermyon:spin/http;
            export fermyon:spin/inbound-http;
        }
    ",
    world: "sampan:guest/spin-inbound",
    generate_all,
});

use exports::fermyon::spin::inbound_http::Guest;
use fermyon::spin::http::send_request;
use fermyon::spin::http_types::{HttpError, Method, Request, Response};

struct Inbound;

impl Guest for Inbound {
    fn handle_request(request: Request) -> Response {
        match request.uri.split('?').next() {
            Some("/hello") => text(200, "hello from Spin 1\n".to_owned()),
            Some("/echo") => echo(&request),
            Some("/fetch") => fetch(&request),
            Some("/nothing") => Response { status: 204, headers: None, body: None },
            Some("/status") => text(7, String::new()),
            Some("/header") => {
                let headers = Some(vec![("x-bad".to_owned(), "a\nb".to_owned())]);
                Response { status: 200, headers, body: None }
            }
            _ => text(404, "not here".to_owned()),
        }
    }
}

fn text(status: u16, body: String) -> Response {
    let headers = Some(vec![("content-type".to_owned(), "text/plain".to_owned())]);
    Response { status, headers, body: Some(body.into_bytes()) }
}

fn header<'a>(request: &'a Request, name: &str) -> &'a str {
    request.headers.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
}

fn echo(request: &Request) -> Response {
    let body = String::from_utf8_lossy(request.body.as_deref().unwrap_or_default());
    let (mine, params) = (header(request, "x-mine"), request.params.len());
    text(201, format!("{:?} {} {mine} {params} {body}", request.method, request.uri))
}

fn fetch(request: &Request) -> Response {
    let send = |uri: String| {
        let headers = vec![("x-from".to_owned(), "guest".to_owned())];
        let body = Some(b"from the guest".to_vec());
        send_request(&Request { method: Method::Post, uri, headers, params: Vec::new(), body })
    };
    let answer = match send(format!("{}/outbound?x=1", header(request, "x-origin"))) {
        Ok(response) => {
            let body = String::from_utf8_lossy(&response.body.unwrap_or_default()).into_owned();
            format!("{} {body}", response.status)
        }
        Err(error) => error.name().to_owned(),
    };
    let name = |sent: Result<Response, HttpError>| sent.err().map(|error| error.name().to_owned());
    let refused = name(send("http://192.0.2.1/".to_owned()));
    let invalid = name(send("no url".to_owned()));
    text(200, format!("{answer}, {refused:?}, {invalid:?}"))
}

export!(Inbound);
