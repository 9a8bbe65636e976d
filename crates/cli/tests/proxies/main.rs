//! Proxy-wasm filters in Sampan and, the same files unchanged, in Envoy: what a client sees is compared.

mod corners;
mod languages;
mod real;
mod site;

use sampan_testing::{HttpServer, Request, Response, http_send};
use std::fmt::Write;
use std::net::SocketAddr;

/// One request of a table.
#[derive(Clone, Copy)]
struct Ask {
    method: &'static str,
    path: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
}

const fn get(path: &'static str) -> Ask {
    Ask { method: "GET", path, headers: &[], body: "" }
}

impl Ask {
    /// Asks by way of the filters of this number. Beside its own headers the request has some that filters remove,
    /// replace and read.
    #[track_caller]
    fn send(&self, address: SocketAddr, chain: usize) -> Response {
        let host = format!("chain-{chain}.test");
        let usual = [("host", &*host), ("x-removed", "secret"), ("x-replaced", "by client")];
        let headers = [&usual[..], &[("x-asked", "one"), ("x-asked", "two")], self.headers].concat();
        http_send(address, self.method, self.path, &headers, self.body.as_bytes())
            .unwrap_or_else(|error| panic!("{} {}: {error}", self.method, self.path))
    }
}

const fn post(path: &'static str) -> Ask {
    Ask { method: "POST", path, headers: &[], body: "some body" }
}

/// What stands behind both: it tells what it was asked.
fn upstream() -> HttpServer {
    HttpServer::start(|request| {
        let path = request.target.split('?').next().unwrap_or_default();
        let answer = match path.rsplit('/').next().unwrap_or_default() {
            "json" => Response::new(200, "{\"a\":\"b\"}").with("content-type", "application/json"),
            "missing" => Response::new(404, "there is nothing").with("content-type", "text/plain"),
            "empty" => Response::new(204, ""),
            "called" => Response::new(200, format!("called: {}", seen(request))).with("x-kind", "call"),
            _ => Response::new(200, seen(request)).with("content-type", "text/plain; charset=utf-8"),
        };
        answer.with("x-wasm-processed", "no").with("x-twice", "1").with("x-twice", "2")
    })
}

/// A request without what every proxy adds in its own way.
fn seen(request: &Request) -> String {
    let mut text = format!("{} {}\n", request.method, request.target);
    let mut headers: Vec<_> =
        request.headers.iter().map(|(name, value)| (name.to_lowercase(), value)).collect();
    headers.retain(|(name, _)| (name.starts_with("x-") && !is_of_proxies(name)) || name == "host");
    headers.sort();
    for (name, value) in headers {
        writeln!(text, "{name}: {value}").expect("a string grows");
    }
    text + &String::from_utf8_lossy(&request.body)
}

/// Headers that differ between proxies for reasons that have nothing to do with filters.
fn is_of_proxies(name: &str) -> bool {
    const OTHERS: [&str; 9] = [
        "connection",
        "content-length",
        "date",
        "forwarded",
        "keep-alive",
        "server",
        "transfer-encoding",
        "via",
        "x-request-id",
    ];
    name.starts_with("x-envoy-") || name.starts_with("x-forwarded-") || OTHERS.contains(&name)
}

/// An answer as text that two proxies can agree on.
fn shown(response: &Response) -> String {
    let mut headers: Vec<_> =
        response.headers.iter().map(|(name, value)| (name.to_lowercase(), value)).collect();
    headers.retain(|(name, _)| !is_of_proxies(name));
    headers.sort();
    let mut text = format!("{}\n", response.status);
    for (name, value) in headers {
        writeln!(text, "{name}: {value}").expect("a string grows");
    }
    text + "\n" + &response.text()
}
