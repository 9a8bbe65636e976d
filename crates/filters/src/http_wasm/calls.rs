//! Host calls of the HTTP handler ABI (http-wasm.io/http-handler-abi). What the ABI calls an error ends the guest.

use super::exchange::{BUFFER_REQUEST, BUFFER_RESPONSE, Exchange, TRAILERS};
use super::instance::{State, parts, state};
use crate::common::headers::{Change, Edit};
use crate::common::memory;
use http::header::HOST;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, Method, StatusCode, Uri, Version};
use sampan_capabilities::{Definer, Host};
use sampan_service::Peer;
use std::borrow::Cow;
use wasmtime::{Caller, Func, ImportType, Result, bail, format_err};

const MODULE: &str = "http_handler";

/// A longer message is cut.
const LOG_BYTES_MAX: usize = 8 << 10;

type Guest<'a> = Caller<'a, Host>;

/// The function for an import of this ABI.
pub fn define(definer: &mut Definer<'_>, import: &ImportType<'_>) -> Option<Func> {
    if import.module() != MODULE {
        return None;
    }
    Some(match import.name() {
        "enable_features" => definer.wrap(enable_features),
        "get_config" => definer.wrap(get_config),
        "log_enabled" => definer.wrap(log_enabled),
        "log" => definer.wrap(log),
        "get_method" => definer.wrap(get_method),
        "set_method" => definer.wrap(set_method),
        "get_uri" => definer.wrap(get_uri),
        "set_uri" => definer.wrap(set_uri),
        "get_protocol_version" => definer.wrap(get_protocol_version),
        "get_source_addr" => definer.wrap(get_source_addr),
        "get_header_names" => definer.wrap(get_header_names),
        "get_header_values" => definer.wrap(get_header_values),
        "set_header_value" => definer.wrap(set_header_value),
        "add_header_value" => definer.wrap(add_header_value),
        "remove_header" => definer.wrap(remove_header),
        "read_body" => definer.wrap_async(|caller, (kind, at, limit): (u32, u32, u32)| {
            Box::new(read_body(caller, kind, at, limit))
        }),
        "write_body" => definer.wrap(write_body),
        "get_status_code" => definer.wrap(get_status_code),
        "set_status_code" => definer.wrap(set_status_code),
        _ => return None,
    })
}

fn exchange(state: &mut State) -> Result<&mut Exchange> {
    let exchange = state.exchange.as_deref_mut();
    exchange.ok_or_else(|| format_err!("it asks for an exchange while it is started"))
}

/// Writes what fits, and says how long it is.
fn answer(memory: &mut [u8], at: u32, limit: u32, value: &[u8]) -> Result<u32> {
    let length = u32::try_from(value.len())?;
    if length <= limit {
        memory::place(memory, at, length)?.copy_from_slice(value);
    }
    Ok(length)
}

fn enable_features(mut guest: Guest<'_>, features: u32) -> Result<u32> {
    let state = state(guest.data_mut())?;
    match &mut state.exchange {
        // For this exchange only.
        Some(exchange) => {
            exchange.enable(features);
            Ok(exchange.features)
        }
        None => {
            state.features |= features & super::exchange::FEATURES;
            Ok(state.features)
        }
    }
}

fn get_config(mut guest: Guest<'_>, at: u32, limit: u32) -> Result<u32> {
    let (memory, state) = parts(&mut guest)?;
    answer(memory, at, limit, state.config.as_bytes())
}

/// Levels: −1 debug, 0 info, 1 warn, 2 error, 3 none.
fn is_logged(level: i32) -> bool {
    (0..=2).contains(&level)
}

fn log_enabled(_: Guest<'_>, level: i32) -> u32 {
    is_logged(level).into()
}

fn log(mut guest: Guest<'_>, level: i32, at: u32, length: u32) -> Result<()> {
    let (memory, state) = parts(&mut guest)?;
    let message = memory::read(memory, at, length)?;
    if is_logged(level) {
        let message = String::from_utf8_lossy(&message[..message.len().min(LOG_BYTES_MAX)]);
        let level = ["info", "warn", "error"][level as usize];
        for line in message.lines() {
            state.code.log(&format!("{level}: {line}"));
        }
    }
    Ok(())
}

fn get_method(mut guest: Guest<'_>, at: u32, limit: u32) -> Result<u32> {
    let (memory, state) = parts(&mut guest)?;
    answer(memory, at, limit, exchange(state)?.request.method.as_str().as_bytes())
}

fn set_method(mut guest: Guest<'_>, at: u32, length: u32) -> Result<()> {
    let (memory, state) = parts(&mut guest)?;
    let exchange = exchange(state)?;
    exchange.before_next("setting the method")?;
    let name = memory::read(memory, at, length)?;
    let method = Method::from_bytes(name).ok().filter(|method| *method != Method::CONNECT);
    exchange.request.method =
        method.ok_or_else(|| format_err!("`{}` is no method of a request", name.escape_ascii()))?;
    Ok(())
}

fn get_uri(mut guest: Guest<'_>, at: u32, limit: u32) -> Result<u32> {
    let (memory, state) = parts(&mut guest)?;
    let uri = exchange(state)?.request.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    answer(memory, at, limit, uri.as_bytes())
}

fn set_uri(mut guest: Guest<'_>, at: u32, length: u32) -> Result<()> {
    let (memory, state) = parts(&mut guest)?;
    let exchange = exchange(state)?;
    exchange.before_next("setting the URI")?;
    let text = memory::read(memory, at, length)?;
    let target = match text {
        [] => PathAndQuery::from_static("/"),
        // Anything else could be read as another host.
        [b'/', ..] => PathAndQuery::try_from(text)
            .map_err(|_| format_err!("`{}` is no path with a query", text.escape_ascii()))?,
        _ => bail!("`{}` is no path: it must begin with `/`", text.escape_ascii()),
    };
    exchange.request.uri = Uri::from(target);
    Ok(())
}

fn get_protocol_version(mut guest: Guest<'_>, at: u32, limit: u32) -> Result<u32> {
    let (memory, state) = parts(&mut guest)?;
    let name = match exchange(state)?.request.version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    };
    answer(memory, at, limit, name.as_bytes())
}

fn get_source_addr(mut guest: Guest<'_>, at: u32, limit: u32) -> Result<u32> {
    let (memory, state) = parts(&mut guest)?;
    let peer = exchange(state)?.request.extensions.get::<Peer>();
    let address = peer.map(|peer| peer.address.to_string()).unwrap_or_default();
    answer(memory, at, limit, address.as_bytes())
}

fn get_status_code(mut guest: Guest<'_>) -> Result<u32> {
    let exchange = exchange(state(guest.data_mut())?)?;
    exchange.response_is_open("reading the status code")?;
    Ok(exchange.response.status.as_u16().into())
}

fn set_status_code(mut guest: Guest<'_>, code: u32) -> Result<()> {
    let exchange = exchange(state(guest.data_mut())?)?;
    exchange.response_is_open("setting the status code")?;
    let status = u16::try_from(code).ok().filter(|code| (200..=599).contains(code));
    let status = status.and_then(|code| StatusCode::from_u16(code).ok());
    exchange.response.status = status.ok_or_else(|| format_err!("{code} is no status of a response"))?;
    Ok(())
}

/// Kinds of headers: 0 request, 1 response, 2 and 3 their trailers.
fn headers(exchange: &Exchange, kind: u32) -> Result<Cow<'_, HeaderMap>> {
    Ok(match kind {
        0 => Cow::Borrowed(&exchange.request.headers),
        1 => Cow::Borrowed(&exchange.response.headers),
        2 | 3 => {
            exchange.needs(TRAILERS, "a trailer", "trailers")?;
            let message = if kind == 2 { &exchange.request_body } else { &exchange.response_body };
            Cow::Owned(message.trailers()?)
        }
        _ => bail!("{kind} is no kind of headers"),
    })
}

/// Each with a NUL behind it: how many, and how long all are together.
fn answer_list<'a, I: Iterator<Item = &'a [u8]>>(
    memory: &mut [u8],
    at: u32,
    limit: u32,
    values: impl Fn() -> I,
) -> Result<u64> {
    let (mut count, mut length) = (0_u64, 0_u64);
    for value in values() {
        count += 1;
        length += value.len() as u64 + 1;
    }
    let all = u32::try_from(length)?;
    if all <= limit {
        let mut place = memory::place(memory, at, all)?;
        for value in values() {
            let (one, rest) = place.split_at_mut(value.len() + 1);
            one[..value.len()].copy_from_slice(value);
            one[value.len()] = 0;
            place = rest;
        }
    }
    Ok(count << 32 | length)
}

fn get_header_names(mut guest: Guest<'_>, kind: u32, at: u32, limit: u32) -> Result<u64> {
    let (memory, state) = parts(&mut guest)?;
    let headers = headers(exchange(state)?, kind)?;
    answer_list(memory, at, limit, || headers.keys().map(|name| name.as_str().as_bytes()))
}

fn get_header_values(
    mut guest: Guest<'_>,
    kind: u32,
    name: u32,
    name_length: u32,
    at: u32,
    limit: u32,
) -> Result<u64> {
    let (memory, state) = parts(&mut guest)?;
    let headers = headers(exchange(state)?, kind)?;
    let name = memory::read(memory, name, name_length)?;
    let name = HeaderName::from_bytes(name)
        .map_err(|_| format_err!("`{}` is no name of a header", name.escape_ascii()))?;
    let values = headers.get_all(&name);
    answer_list(memory, at, limit, || values.iter().map(|value| value.as_bytes()))
}

fn set_header_value(g: Guest<'_>, kind: u32, name: u32, length: u32, at: u32, value: u32) -> Result<()> {
    change(g, Change::Set, kind, (name, length), (at, value))
}

fn add_header_value(g: Guest<'_>, kind: u32, name: u32, length: u32, at: u32, value: u32) -> Result<()> {
    change(g, Change::Add, kind, (name, length), (at, value))
}

fn remove_header(guest: Guest<'_>, kind: u32, name: u32, length: u32) -> Result<()> {
    change(guest, Change::Remove, kind, (name, length), (0, 0))
}

fn change(
    mut guest: Guest<'_>,
    change: Change,
    kind: u32,
    name: (u32, u32),
    value: (u32, u32),
) -> Result<()> {
    let (memory, state) = parts(&mut guest)?;
    let exchange = exchange(state)?;
    match kind {
        0 | 2 => exchange.before_next("changing the request")?,
        _ => exchange.response_is_open("changing the response")?,
    }
    let value = memory::read(memory, value.0, value.1)?;
    let edit = Edit::new(change, memory::read(memory, name.0, name.1)?, value)?;
    if matches!(kind, 2 | 3) {
        exchange.needs(TRAILERS, "a trailer", "trailers")?;
    }
    match kind {
        // A request without it would be for nobody.
        0 if change == Change::Remove && edit.name() == HOST.as_str() => Ok(()),
        0 => edit.apply(&mut exchange.request.headers),
        1 => edit.apply(&mut exchange.response.headers),
        2 => exchange.request_body.edit_trailers(edit),
        3 => exchange.response_body.edit_trailers(edit),
        _ => bail!("{kind} is no kind of headers"),
    }
}

/// Kinds of bodies: 0 request, 1 response.
fn is_request(kind: u32) -> Result<bool> {
    match kind {
        0 => Ok(true),
        1 => Ok(false),
        _ => bail!("{kind} is no kind of body"),
    }
}

/// Fills the place, or comes to the end of the body: it waits for whoever sends it.
async fn read_body(mut guest: Guest<'_>, kind: u32, at: u32, limit: u32) -> Result<u64> {
    let (memory, state) = parts(&mut guest)?;
    let exchange = exchange(state)?;
    let request = is_request(kind)?;
    if limit == 0 {
        bail!("reading no byte of a body would never come to its end");
    }
    memory::place(memory, at, limit)?;
    let source = match (request, exchange.after_next) {
        (true, true) => {
            exchange.needs(BUFFER_REQUEST, "reading the request's body afterwards", "buffer_request")?;
            exchange.request_body.source.clone()
        }
        (true, false) => exchange.request_body.source.clone(),
        (false, _) => {
            exchange.needs(BUFFER_RESPONSE, "reading the response's body", "buffer_response")?;
            exchange.response_body.source.clone()
        }
    };
    let mut filled = 0;
    let over = loop {
        let Some(source) = &source else { break true };
        let piece = source.read((limit - filled) as usize).await?;
        if piece.is_empty() {
            break true;
        }
        let (memory, _) = parts(&mut guest)?;
        memory::place(memory, at + filled, piece.len() as u32)?.copy_from_slice(&piece);
        filled += piece.len() as u32;
        if filled == limit {
            break false;
        }
    };
    Ok(u64::from(over) << 32 | u64::from(filled))
}

fn write_body(mut guest: Guest<'_>, kind: u32, at: u32, length: u32) -> Result<()> {
    let (memory, state) = parts(&mut guest)?;
    let exchange = exchange(state)?;
    let request = is_request(kind)?;
    match request {
        true => exchange.before_next("writing the request's body")?,
        false => exchange.response_is_open("writing the response's body")?,
    }
    exchange.write(request, memory::read(memory, at, length)?)
}
