//! CGI (RFC 3875): a program is run for each request, in a fresh instance. Meta-variables are its environment,
//! the request's body its standard input, the response its standard output.

mod exchange;
mod head;
mod pipe;
mod request;
mod script;
mod variables;

use super::program::Program;
use crate::serve::{Ended, Place, Ready, Unit, failure_response};
use exchange::{Exchange, Failed};
use http::header::LOCATION;
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use pipe::{Input, Output};
use sampan_app::{Cgi, CgiDialect};
use sampan_capabilities::Host;
use sampan_engine::Loaded;
use sampan_service::{Body, full};
use script::{Found, Root, Script};
use std::sync::Arc;
use variables::Facts;
use wasmtime::{Result, Store};

/// A CGI program, ready to be run.
pub struct Entry {
    program: Program,
    cgi: Cgi,
    /// Of the dialect `Script`.
    root: Option<Root>,
}

impl Entry {
    /// Proves the program; `store` is one as it will get it.
    pub(crate) fn of(loaded: &Loaded, unit: &Unit, cgi: &Cgi, store: &mut Store<Host>) -> Result<Entry> {
        let mut cgi = cgi.clone();
        let mut root = None;
        if cgi.dialect == CgiDialect::Script {
            let found = Root::new(cgi.document_root.as_deref(), &unit.component.grants.mounts);
            let found = found.ok_or_else(|| {
                let root = cgi.document_root.as_deref().unwrap_or("/");
                wasmtime::format_err!(
                    "its document root `{root}` is in no folder that it was granted; grant one with \
                     files = [\"FOLDER:{root}\"]"
                )
            })?;
            cgi.document_root = Some(found.guest.clone());
            root = Some(found);
        }
        Ok(Entry { program: Program::of(loaded, store)?, cgi, root })
    }
}

/// Answers one request.
pub async fn handle(
    unit: Arc<Unit>,
    ready: Arc<Ready>,
    request: Request<Body>,
    place: Place,
) -> Response<Body> {
    let super::Entry::Cgi(entry) = &ready.entry else {
        return failure_response(StatusCode::INTERNAL_SERVER_ERROR);
    };
    let (parts, body) = request.into_parts();

    // 1. Which script.
    let facts = Facts::of(&parts);
    let script = match entry.root.as_ref().map(|root| root.find(facts.base_and_path().1)) {
        None => None,
        Some(Found::Script(script)) => Some(script),
        Some(Found::AddSlash) => return with_slash(&parts.uri),
        Some(Found::Nothing) => return failure_response(StatusCode::NOT_FOUND),
    };

    // 2. The body's length, before the program starts.
    let body = match request::sized(body, unit.component.serving.body_bytes).await {
        Ok(body) => body,
        Err(refused) => {
            unit.metrics.refused("body");
            unit.log(&refused.to_string());
            return failure_response(refused.status());
        }
    };

    // 3. The program, and what it prints until the end of its headers.
    let exchange = match start(&unit, &ready, entry, &facts, script.as_ref(), body, place) {
        Ok(exchange) => exchange,
        Err(ended) => {
            unit.ended(&ended);
            return failure_response(ended.status());
        }
    };
    match exchange.respond(&parts.method).await {
        Ok(response) => response,
        // Its end was counted and logged where it happened.
        Err(Failed::Ended(ended)) => failure_response(ended.status()),
        Err(Failed::Head(error)) => {
            unit.metrics.failed("invalid_response");
            unit.log(&format!("its output is no response: {error}; {}", error.help()));
            failure_response(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

fn start(
    unit: &Arc<Unit>,
    ready: &Ready,
    entry: &Entry,
    facts: &Facts<'_>,
    script: Option<&Script>,
    body: request::Sized,
    place: Place,
) -> Result<Exchange, Ended> {
    let output = Output::default();
    let mut wasi = unit.wasi();
    wasi.args(&variables::arguments(facts, &entry.cgi, &unit.component.name))
        .envs(&variables::variables(facts, &entry.cgi, script, body.length))
        .stdout(output.clone());
    if let Some(length) = body.length {
        wasi.stdin(Input::new(body.body, length));
    }
    let store = unit.store(&ready.engine, wasi)?;
    unit.metrics.created.inc();
    unit.metrics.live.inc();
    let guest = unit.bounded(entry.program.clone().run(store));
    let live = Live { unit: Arc::clone(unit), _place: place };
    let after = move |result: &Result<(), Ended>| {
        match result {
            Ok(()) => {}
            // Not `instead of answering`: it may well have.
            Err(Ended::Exit(code)) => {
                live.unit.metrics.failed("exit");
                live.unit.log(&format!("it ended with exit code {code}"));
            }
            Err(ended) => live.unit.ended(ended),
        }
        drop(live);
    };
    Ok(Exchange::new(guest, output, Box::new(after)))
}

/// An instance that exists; it makes room when it ends, also where its client left.
struct Live {
    unit: Arc<Unit>,
    _place: Place,
}

impl Drop for Live {
    fn drop(&mut self) {
        self.unit.metrics.live.dec();
    }
}

/// A folder's path ends in a slash, or the relative links of its page mean other places.
fn with_slash(uri: &Uri) -> Response<Body> {
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    // Two slashes at the beginning would name another host.
    let path = uri.path().trim_start_matches('/');
    let location = HeaderValue::from_str(&format!("/{path}/{query}"));
    let mut response = Response::new(full("301 Moved Permanently\n"));
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    if let Ok(location) = location {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}
