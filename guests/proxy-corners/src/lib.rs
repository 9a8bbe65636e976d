//! A proxy-wasm filter that asks its host odd questions and tells a client the answers: the path of a request,
//! `/ask/NAME`, says which. Two hosts that agree give the same answers, byte for byte.

mod abi;
mod asks;

use abi::*;
use std::cell::RefCell;
use std::collections::HashMap;

const CONTINUE: u32 = 0;
const PAUSE: u32 = 1;

/// What is known about a stream.
#[derive(Default)]
struct Stream {
    /// The last part of the path.
    ask: String,
    report: String,
    calls: u32,
}

thread_local! {
    static STREAMS: RefCell<HashMap<u32, Stream>> = RefCell::default();
    /// Which stream waits for which call.
    static CALLS: RefCell<HashMap<u32, u32>> = RefCell::default();
    static CONFIGURATION: RefCell<String> = RefCell::default();
    /// Streams that the next tick resumes.
    static WAITING: RefCell<Vec<u32>> = RefCell::default();
    /// What happened on the root context.
    static EVENTS: RefCell<Vec<String>> = RefCell::default();
}

fn stream<T>(id: u32, with: impl FnOnce(&mut Stream) -> T) -> T {
    STREAMS.with_borrow_mut(|streams| with(streams.entry(id).or_default()))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_vm_start(_root: u32, _size: usize) -> u32 {
    log(2, "corners: started");
    1
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(root: u32, size: usize) -> u32 {
    let (_, text) = buffer(PLUGIN_CONFIGURATION, 0, size);
    CONFIGURATION.set(String::from_utf8_lossy(&text).into_owned());
    EVENTS.with_borrow_mut(|events| events.push(format!("configured with {size} bytes")));
    asks::on_root(root);
    unsafe { raw::proxy_set_tick_period_milliseconds(20) };
    1
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_tick(_root: u32) {
    for id in WAITING.take() {
        unsafe { raw::proxy_set_effective_context(id) };
        add(REQUEST_HEADERS, "x-resumed", "by a tick");
        unsafe { raw::proxy_continue_stream(0) };
    }
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_queue_ready(_root: u32, _queue: u32) {
    EVENTS.with_borrow_mut(|events| events.push("queue ready".to_owned()));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(id: u32, count: u32, end: u32) -> u32 {
    let path = String::from_utf8_lossy(&header(REQUEST_HEADERS, ":path").1).into_owned();
    let Some(ask) = path.strip_prefix("/ask/") else { return CONTINUE };
    let ask = ask.split('?').next().unwrap_or_default();
    stream(id, |stream| ask.clone_into(&mut stream.ask));
    if let Some(report) = asks::by_name(ask, count, end) {
        respond(200, &[("content-type", "text/plain")], &report);
        return PAUSE;
    }
    match ask {
        "local-continue" => {
            respond(418, &[("x-local", "one"), ("x-local", "two"), ("content-type", "text/odd")], "short");
            CONTINUE
        }
        "local-empty" => {
            respond(403, &[], "");
            PAUSE
        }
        "local-headers" => {
            let headers = [
                (":status", "500"),
                ("content-length", "99"),
                ("x-Capital", " spaces "),
                ("connection", "x"),
            ];
            respond(201, &headers, "body");
            PAUSE
        }
        "rewrite" => {
            replace(REQUEST_HEADERS, ":path", "/echo?rewritten=yes");
            replace(REQUEST_HEADERS, ":authority", "rewritten.test");
            replace(REQUEST_HEADERS, ":method", "PUT");
            CONTINUE
        }
        "set-all" => {
            let (_, mut all) = headers(REQUEST_HEADERS);
            all.retain(|(name, _)| name != "x-removed");
            all.extend([("x-two", "1"), ("x-two", "2"), ("x-Case", "Kept"), ("x-empty", "")].map(owned));
            let all: Vec<(&str, &str)> = all.iter().map(|(name, value)| (&**name, &**value)).collect();
            set_headers(REQUEST_HEADERS, &pairs(&all));
            CONTINUE
        }
        "tick" => {
            // The root context resumes it.
            WAITING.with_borrow_mut(|waiting| waiting.push(id));
            PAUSE
        }
        edit if edit.starts_with("request-") => {
            remove(REQUEST_HEADERS, "content-length");
            CONTINUE
        }
        "call" | "call-refused" | "call-two" => start_calls(id, ask),
        _ => CONTINUE,
    }
}

/// Pauses for one call, or two at once.
fn start_calls(id: u32, ask: &str) -> u32 {
    let headers =
        [(":method", "POST"), (":path", "/called"), (":authority", "called.test"), ("x-asked", "by filter")];
    let upstream = if ask == "call-refused" { "refused" } else { "upstream" };
    let count = if ask == "call-two" { 2 } else { 1 };
    for number in 0..count {
        let (status, call) = call(upstream, &headers, &format!("call {number}"), 2000);
        stream(id, |stream| stream.report += &format!("called -> {status}\n"));
        if status == 0 {
            CALLS.with_borrow_mut(|calls| calls.insert(call, id));
            stream(id, |stream| stream.calls += 1);
        }
    }
    PAUSE
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_http_call_response(_root: u32, call: u32, count: u32, size: usize, trailers: u32) {
    let Some(id) = CALLS.with_borrow_mut(|calls| calls.remove(&call)) else { return };
    let status = String::from_utf8_lossy(&header(CALL_HEADERS, ":status").1).into_owned();
    let kind = String::from_utf8_lossy(&header(CALL_HEADERS, "X-Kind").1).into_owned();
    let (got, body) = buffer(CALL_BODY, 0, size);
    let body = String::from_utf8_lossy(&body).into_owned();
    let report = match &*stream(id, |stream| stream.ask.clone()) {
        "call-refused" => format!("has headers: {}\n:status {status}\n", count > 0),
        // In the order in which they happen to come.
        "call-two" => format!(":status {status}\n"),
        _ => {
            let (code, text) = abi::status();
            format!(
                ":status {status}, x-kind {kind}, trailers {trailers}\nbody -> {got} {} {body:?}\n\
                 get_status -> {code} {text:?}\n",
                body.len() == size
            )
        }
    };
    let left = stream(id, |stream| {
        stream.report += &report;
        stream.calls -= 1;
        stream.calls
    });
    if left > 0 {
        return;
    }
    let effective = unsafe { raw::proxy_set_effective_context(id) };
    let whole = stream(id, |stream| format!("{}effective context -> {effective}\n", stream.report));
    match &*stream(id, |stream| stream.ask.clone()) {
        "call-two" => {
            // It goes on to the upstream, with what it learned.
            add(REQUEST_HEADERS, "x-calls", &whole.lines().count().to_string());
            unsafe { raw::proxy_continue_stream(0) };
        }
        "response-call" => {
            add(RESPONSE_HEADERS, "x-report", &whole.replace('\n', "; "));
            unsafe { raw::proxy_continue_stream(1) };
        }
        _ => {
            respond(200, &[("x-called", "yes")], &whole);
        }
    }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_body(id: u32, size: usize, end: u32) -> u32 {
    let ask = stream(id, |stream| stream.ask.clone());
    let Some(edit) = ask.strip_prefix("request-") else { return CONTINUE };
    if end == 0 {
        return PAUSE;
    }
    if edit == "local" {
        respond(413, &[], "too much");
        return PAUSE;
    }
    let report = asks::edit(REQUEST_BODY, edit, size);
    add(REQUEST_HEADERS, "x-late", &report);
    stream(id, |stream| stream.report = report);
    CONTINUE
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_headers(id: u32, count: u32, end: u32) -> u32 {
    let (ask, report) = stream(id, |stream| (stream.ask.clone(), stream.report.replace('\n', "; ")));
    if !report.is_empty() {
        add(RESPONSE_HEADERS, "x-report", &report);
    }
    match &*ask {
        "response-local" => {
            respond(503, &[("x-from", "response headers")], "instead");
            PAUSE
        }
        "response-call" => start_calls(id, &ask),
        "response-status" => {
            replace(RESPONSE_HEADERS, ":status", "207");
            CONTINUE
        }
        "response-remove-status" => {
            let status = remove(RESPONSE_HEADERS, ":status");
            add(RESPONSE_HEADERS, "x-report", &status.to_string());
            replace(RESPONSE_HEADERS, ":status", "208");
            CONTINUE
        }
        "response-ask" => {
            let report = asks::response_headers(count, end).replace('\n', "; ");
            add(RESPONSE_HEADERS, "x-report", &report);
            CONTINUE
        }
        edit if edit.starts_with("body-") => {
            remove(RESPONSE_HEADERS, "content-length");
            CONTINUE
        }
        _ => CONTINUE,
    }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_body(id: u32, size: usize, end: u32) -> u32 {
    let ask = stream(id, |stream| stream.ask.clone());
    let Some(edit) = ask.strip_prefix("body-") else { return CONTINUE };
    if end == 0 {
        return PAUSE;
    }
    let report = asks::edit(RESPONSE_BODY, edit, size);
    // The answer's head is still held, or it is gone: then this does nothing.
    add(RESPONSE_HEADERS, "x-late", &report);
    CONTINUE
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_delete(id: u32) {
    STREAMS.with_borrow_mut(|streams| streams.remove(&id));
}
