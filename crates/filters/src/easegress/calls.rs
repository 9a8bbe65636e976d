//! Host calls of Easegress that concern the exchange. Almost all have one of four shapes, for which there is one
//! function each; what remains is in the table as it is.

use super::cluster;
use super::exchange::{self, Exchange, header};
use super::instance::{State, give, parts, state};
use super::wire;
use crate::common::headers::{Change, Edit};
use http::HeaderMap;
use http::header::HOST;
use ring::rand::{SecureRandom, SystemRandom};
use sampan_capabilities::{Definer, Host};
use std::time::{SystemTime, UNIX_EPOCH};
use wasmtime::{Caller, Func, ImportType, Result, format_err};

const MODULE: &str = "easegress";

/// A longer message is cut.
const LOG_BYTES_MAX: usize = 8 << 10;

type Guest<'a> = Caller<'a, Host>;

/// The function for an import of this ABI.
pub fn define(definer: &mut Definer<'_>, import: &ImportType<'_>) -> Option<Func> {
    if import.module() != MODULE {
        return None;
    }
    let name = import.name().strip_prefix("host_")?;
    request(definer, name)
        .or_else(|| response(definer, name))
        .or_else(|| cluster::define(definer, name))
        .or_else(|| other(definer, name))
}

fn request(d: &mut Definer<'_>, name: &str) -> Option<Func> {
    Some(match name {
        "req_get_real_ip" => text(d, |e| e.real_ip().into_bytes()),
        "req_get_scheme" => text(d, |e| e.scheme().into()),
        "req_get_proto" => text(d, |e| e.protocol().into()),
        "req_get_method" => text(d, |e| e.request.method.as_str().into()),
        "req_set_method" => take(d, Exchange::set_method),
        "req_get_host" => text(d, |e| header(&e.request.headers, HOST.as_str().as_bytes())),
        "req_set_host" => take(d, Exchange::set_host),
        "req_get_path" => text(d, |e| e.path()),
        "req_set_path" => take(d, Exchange::set_path),
        "req_get_escaped_path" => text(d, |e| e.request.uri.path().into()),
        "req_get_query" => text(d, |e| e.request.uri.query().unwrap_or_default().into()),
        "req_set_query" => take(d, Exchange::set_query),
        // No client sends one.
        "req_get_fragment" => text(d, |_| Vec::new()),
        "req_get_header" => text_of(d, |e, name| header(&e.request.headers, name)),
        "req_get_all_header" => text(d, |e| exchange::lines(&e.request.headers)),
        "req_set_header" => {
            take_two(d, |e, name, value| change(&mut e.request.headers, Change::Set, name, value))
        }
        "req_set_all_header" => take(d, |e, text| exchange::set_lines(&mut e.request.headers, text)),
        "req_add_header" => {
            take_two(d, |e, name, value| change(&mut e.request.headers, Change::Add, name, value))
        }
        "req_del_header" => take(d, |e, name| change(&mut e.request.headers, Change::Remove, name, b"")),
        "req_get_cookie" => text_of(d, |e, name| e.cookie(&String::from_utf8_lossy(name)).into_bytes()),
        "req_get_all_cookie" => answer(d, |e| wire::list(&e.cookies())),
        "req_add_cookie" => take(d, |e, text| e.add_cookie(&String::from_utf8_lossy(text))),
        "req_get_body" => d.wrap_async(|guest, (): ()| Box::new(request_body(guest))),
        "req_set_body" => take_bytes(d, Exchange::set_body),
        _ => return None,
    })
}

fn response(d: &mut Definer<'_>, name: &str) -> Option<Func> {
    Some(match name {
        "resp_get_status_code" => d.wrap(|mut guest: Guest<'_>| -> Result<i32> {
            Ok(exchange(state(guest.data_mut())?)?.status.as_u16().into())
        }),
        "resp_set_status_code" => {
            d.wrap(|mut guest: Guest<'_>, code: i32| exchange(state(guest.data_mut())?)?.set_status(code))
        }
        "resp_get_header" => text_of(d, |e, name| header(&e.headers, name)),
        "resp_get_all_header" => text(d, |e| exchange::lines(&e.headers)),
        "resp_set_header" => take_two(d, |e, name, value| change(&mut e.headers, Change::Set, name, value)),
        "resp_set_all_header" => take(d, |e, text| exchange::set_lines(&mut e.headers, text)),
        "resp_add_header" => take_two(d, |e, name, value| change(&mut e.headers, Change::Add, name, value)),
        "resp_del_header" => take(d, |e, name| change(&mut e.headers, Change::Remove, name, b"")),
        "resp_set_cookie" => take(d, Exchange::set_cookie),
        "resp_get_body" => answer(d, |e| wire::bytes(&e.response_body)),
        "resp_set_body" => take_bytes(d, Exchange::set_response_body),
        _ => return None,
    })
}

fn other(d: &mut Definer<'_>, name: &str) -> Option<Func> {
    Some(match name {
        "add_tag" => d.wrap(|guest: Guest<'_>, tag: i32| say(guest, "tag", tag)),
        "log" => d.wrap(|guest: Guest<'_>, level: i32, message: i32| match level {
            1 => say(guest, "info", message),
            2 => say(guest, "warn", message),
            3 => say(guest, "error", message),
            // Debug, and what does not exist.
            _ => Ok(()),
        }),
        "get_unix_time_in_ms" => d.wrap(|| -> i64 {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            since.as_millis() as i64
        }),
        "rand" => d.wrap(rand),
        _ => return None,
    })
}

pub fn exchange(state: &mut State) -> Result<&mut Exchange> {
    let exchange = state.exchange.as_deref_mut();
    exchange.ok_or_else(|| format_err!("it asks for an exchange before there is one"))
}

/// `() -> i32`: a string.
fn text(d: &mut Definer<'_>, get: fn(&Exchange) -> Vec<u8>) -> Func {
    d.wrap_async(move |guest, (): ()| {
        Box::new(answered(guest, move |exchange| Ok(wire::string(&get(exchange)))))
    })
}

/// `() -> i32`: what is laid out already.
fn answer(d: &mut Definer<'_>, get: fn(&Exchange) -> Vec<u8>) -> Func {
    d.wrap_async(move |guest, (): ()| Box::new(answered(guest, move |exchange| Ok(get(exchange)))))
}

async fn answered(mut guest: Guest<'_>, get: impl Fn(&Exchange) -> Result<Vec<u8>>) -> Result<i32> {
    let laid_out = get(exchange(state(guest.data_mut())?)?)?;
    give(&mut guest, &laid_out).await
}

/// `(i32) -> i32`: a string for a string.
fn text_of(d: &mut Definer<'_>, get: fn(&Exchange, &[u8]) -> Vec<u8>) -> Func {
    d.wrap_async(move |mut guest: Guest<'_>, (at,): (i32,)| {
        Box::new(async move {
            let (memory, state) = parts(&mut guest)?;
            let name = wire::read_string(memory, at as u32)?;
            let laid_out = wire::string(&get(exchange(state)?, name));
            give(&mut guest, &laid_out).await
        })
    })
}

/// `(i32)`: takes a string.
fn take(d: &mut Definer<'_>, set: fn(&mut Exchange, &[u8]) -> Result<()>) -> Func {
    d.wrap(move |mut guest: Guest<'_>, at: i32| {
        let (memory, state) = parts(&mut guest)?;
        set(exchange(state)?, wire::read_string(memory, at as u32)?)
    })
}

/// `(i32)`: takes bytes.
fn take_bytes(d: &mut Definer<'_>, set: fn(&mut Exchange, &[u8]) -> Result<()>) -> Func {
    d.wrap(move |mut guest: Guest<'_>, at: i32| {
        let (memory, state) = parts(&mut guest)?;
        set(exchange(state)?, wire::read_bytes(memory, at as u32)?)
    })
}

/// `(i32, i32)`: takes two strings.
fn take_two(d: &mut Definer<'_>, set: fn(&mut Exchange, &[u8], &[u8]) -> Result<()>) -> Func {
    d.wrap(move |mut guest: Guest<'_>, one: i32, other: i32| {
        let (memory, state) = parts(&mut guest)?;
        let (one, other) = (wire::read_string(memory, one as u32)?, wire::read_string(memory, other as u32)?);
        set(exchange(state)?, one, other)
    })
}

fn change(headers: &mut HeaderMap, change: Change, name: &[u8], value: &[u8]) -> Result<()> {
    let edit = Edit::new(change, name, value)?;
    // A request without it would be for nobody.
    if change == Change::Remove && edit.name() == HOST.as_str() {
        return Ok(());
    }
    edit.apply(headers)
}

/// The whole of it, once it has come.
async fn request_body(mut guest: Guest<'_>) -> Result<i32> {
    let exchange = exchange(state(guest.data_mut())?)?;
    if exchange.body.is_none() {
        let source = exchange.source.clone();
        let body = source.read_all().await?;
        self::exchange(state(guest.data_mut())?)?.body = Some(body);
    }
    answered(guest, |exchange| Ok(wire::bytes(exchange.body.as_deref().unwrap_or_default()))).await
}

fn say(mut guest: Guest<'_>, what: &str, at: i32) -> Result<()> {
    let (memory, state) = parts(&mut guest)?;
    let message = wire::read_string(memory, at as u32)?;
    let message = String::from_utf8_lossy(&message[..message.len().min(LOG_BYTES_MAX)]);
    for line in message.lines() {
        state.code.log(&format!("{what}: {line}"));
    }
    Ok(())
}

/// From 0, and less than 1.
fn rand() -> Result<f64> {
    let mut bytes = [0; 8];
    SystemRandom::new().fill(&mut bytes).map_err(|_| format_err!("the system has no random numbers"))?;
    // As many bits as the number holds.
    Ok((u64::from_le_bytes(bytes) >> 11) as f64 / (1_u64 << 53) as f64)
}
