//! Pausing, answering, ending, and which context is meant.

use super::memory::{Answer, Guest, Out, bytes, give, split, state, status, write_u32};
use crate::proxy_wasm::head::Fields;
use crate::proxy_wasm::local::LocalResponse;
use crate::proxy_wasm::map;
use crate::proxy_wasm::state::{Local, State};
use crate::proxy_wasm::values::{BAD_ARGUMENT, NOT_FOUND, OK, Side, Status};
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, StatusCode};
use sampan_capabilities::Definer;
use wasmtime::Func;

/// `silent`: the guest's import has no result, as the specification of 0.1.0 has some functions; SDKs have one.
pub fn function(to: &mut Definer<'_>, name: &str, silent: bool) -> Option<Func> {
    Some(match (name, silent) {
        ("continue_request", true) => to.wrap(|guest: Guest<'_>| {
            resume(guest, 0);
        }),
        ("continue_request", false) => to.wrap(|guest: Guest<'_>| resume(guest, 0)),
        ("continue_response", true) => to.wrap(|guest: Guest<'_>| {
            resume(guest, 1);
        }),
        ("continue_response", false) => to.wrap(|guest: Guest<'_>| resume(guest, 1)),
        // The route has been chosen by then and is not chosen again.
        ("clear_route_cache", true) => to.wrap(|_: Guest<'_>| ()),
        ("clear_route_cache", false) => to.wrap(|_: Guest<'_>| OK),
        ("continue_stream", false) => to.wrap(resume),
        ("close_stream", false) => to.wrap(close),
        ("set_effective_context", false) => to.wrap(|mut guest: Guest<'_>, context: u32| {
            let state = state(&mut guest);
            if !state.roots.contains_key(&context) && !state.streams.contains_key(&context) {
                return BAD_ARGUMENT;
            }
            state.effective = context;
            OK
        }),
        ("done", false) => to.wrap(|mut guest: Guest<'_>| done(state(&mut guest))),
        ("get_status", false) => {
            to.wrap_async(|mut guest: Guest<'_>, (code, data, size): (u32, u32, u32)| {
                Box::new(async move {
                    let found = split(&mut guest).and_then(|(memory, state)| {
                        write_u32(memory, code, state.status.0)?;
                        Ok(state.status.1.clone())
                    });
                    give(&mut guest, found, Out { data, size }).await
                })
            })
        }
        ("send_local_response", false) => to.wrap(
            |mut guest: Guest<'_>,
             code: u32,
             d: u32,
             dl: u32,
             b: u32,
             bl: u32,
             h: u32,
             hl: u32,
             grpc: u32| { status(answer(&mut guest, code, (d, dl), (b, bl), (h, hl), grpc)) },
        ),
        _ => return None,
    })
}

/// It takes effect when the callback has returned.
fn resume(mut guest: Guest<'_>, stream: u32) -> Status {
    let state = state(&mut guest);
    let (side, tcp) = match stream {
        0 => (Side::Request, false),
        1 => (Side::Response, false),
        2 => (Side::Request, true),
        3 => (Side::Response, true),
        _ => return BAD_ARGUMENT,
    };
    let Some(stream) = state.stream().filter(|stream| stream.tcp == tcp) else { return OK };
    match side {
        Side::Request => stream.request_resumed = stream.request_resumed.wrapping_add(1),
        Side::Response => stream.response_resumed = stream.response_resumed.wrapping_add(1),
    }
    let wakers = std::mem::take(&mut stream.wakers);
    state.after.wakers.extend(wakers);
    OK
}

fn close(mut guest: Guest<'_>, stream: u32) -> Status {
    let state = state(&mut guest);
    if stream > 3 {
        return BAD_ARGUMENT;
    }
    // Of an exchange over HTTP there are no TCP streams to close.
    let Some(stream) = state.stream().filter(|one| one.tcp == (stream > 1)) else { return OK };
    stream.closed = true;
    let wakers = std::mem::take(&mut stream.wakers);
    state.after.wakers.extend(wakers);
    OK
}

fn done(state: &mut State) -> Status {
    let context = state.effective;
    let leaving = match (state.streams.get(&context), state.roots.get(&context)) {
        (Some(stream), _) => stream.leaving,
        (None, Some(root)) => root.leaving,
        (None, None) => false,
    };
    if !leaving {
        return NOT_FOUND;
    }
    // Once is enough.
    if !state.after.done.contains(&context) {
        state.after.done.push(context);
    }
    OK
}

fn answer(
    guest: &mut Guest<'_>,
    code: u32,
    details: (u32, u32),
    body: (u32, u32),
    headers: (u32, u32),
    grpc: u32,
) -> Answer {
    let (memory, state) = split(guest)?;
    let details = bytes(memory, details.0, details.1)?;
    let body = bytes(memory, body.0, body.1)?;
    let pairs = map::decode(bytes(memory, headers.0, headers.1)?).ok_or(BAD_ARGUMENT)?;
    let status = u16::try_from(code).ok().and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.filter(|status| !status.is_informational()).ok_or(BAD_ARGUMENT)?;
    let mut headers = HeaderMap::new();
    for (name, value) in pairs.iter().filter(|(name, _)| !name.starts_with(b":")) {
        headers.add(name, value).map_err(|_| BAD_ARGUMENT)?;
    }
    // How long the body is, and what holds for the connection, is not for a filter to say.
    for name in [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
    // The first one counts; one for a stream that is gone goes nowhere.
    let Some(stream) = state.stream().filter(|stream| matches!(stream.local, Local::None)) else {
        return Ok(());
    };
    stream.local = Local::Asked(Box::new(LocalResponse {
        status,
        headers,
        body: body.to_vec(),
        details: details.to_vec(),
        // SDKs say -1 where it is not given.
        grpc: (grpc <= 16).then_some(grpc),
    }));
    let wakers = std::mem::take(&mut stream.wakers);
    state.after.wakers.extend(wakers);
    Ok(())
}
