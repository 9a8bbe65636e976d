//! Properties, with Envoy's paths and encodings (envoyproxy.io, "Attributes"): numbers in 8 bytes, little-endian;
//! times in nanoseconds; truth in one byte; maps as pairs; everything else as text.

use super::memory::{Guest, Out, bytes, give, split, status};
use crate::proxy_wasm::facts::vm_id;
use crate::proxy_wasm::head::Fields;
use crate::proxy_wasm::map;
use crate::proxy_wasm::state::{State, Stream};
use crate::proxy_wasm::values::{BAD_ARGUMENT, INTERNAL, NOT_FOUND, OK, Status};
use http::Version;
use http::header::{REFERER, USER_AGENT};
use sampan_capabilities::Definer;
use std::net::SocketAddr;
use std::sync::PoisonError;
use std::time::SystemTime;
use wasmtime::Func;

/// What filters may set for an exchange.
const SET_MAX: usize = 256;
const SET_BYTES_MAX: usize = 64 << 10;

pub fn function(to: &mut Definer<'_>, name: &str) -> Option<Func> {
    Some(match name {
        "get_property" => {
            to.wrap_async(|mut guest: Guest<'_>, (path, len, data, size): (u32, u32, u32, u32)| {
                Box::new(async move {
                    let found = split(&mut guest).and_then(|(memory, state)| {
                        let path = trimmed(bytes(memory, path, len)?);
                        // Envoy keeps what filters set under this name.
                        let path = path.strip_prefix(b"filter_state\0wasm.").unwrap_or(path);
                        get(state, path).ok_or(NOT_FOUND)
                    });
                    give(&mut guest, found, Out { data, size }).await
                })
            })
        }
        "set_property" => to.wrap(|mut guest: Guest<'_>, path: u32, len: u32, value: u32, value_len: u32| {
            status(split(&mut guest).and_then(|(memory, state)| {
                let (path, value) = (bytes(memory, path, len)?, bytes(memory, value, value_len)?);
                match set(state, trimmed(path), value) {
                    OK => Ok(()),
                    status => Err(status),
                }
            }))
        }),
        _ => return None,
    })
}

/// Some SDKs end the last part too.
fn trimmed(path: &[u8]) -> &[u8] {
    path.strip_suffix(b"\0").unwrap_or(path)
}

pub fn set(state: &mut State, path: &[u8], value: &[u8]) -> Status {
    let State { streams, roots, effective, .. } = state;
    let Some(stream) = streams.get_mut(effective) else { return NOT_FOUND };
    let properties = stream.properties.get_or_insert_default();
    let mut properties = properties.lock().unwrap_or_else(PoisonError::into_inner);
    let full = properties.len() >= SET_MAX && !properties.contains_key(path);
    if full || path.len() + value.len() > SET_BYTES_MAX {
        return INTERNAL;
    }
    let once = roots.get(&stream.root).and_then(|root| root.declared.get(path)).is_some_and(|once| *once);
    if once && properties.contains_key(path) {
        return BAD_ARGUMENT;
    }
    properties.insert(path.to_vec(), value.to_vec());
    OK
}

fn get(state: &mut State, path: &[u8]) -> Option<Vec<u8>> {
    let mut parts = path.split(|byte| *byte == 0);
    let first = parts.next()?;
    let rest: Vec<&[u8]> = parts.collect();
    let facts = state.calling();
    match first {
        b"plugin_name" => return Some(facts.code.spec.name.clone().into_bytes()),
        b"plugin_root_id" => return Some(facts.code.spec.root_id.clone().into_bytes()),
        b"plugin_vm_id" => return Some(vm_id(&facts.code).as_bytes().to_vec()),
        _ => {}
    }
    let stream = state.stream()?;
    match (first, &rest[..]) {
        (b"request", [name]) => request(stream, name),
        (b"request", [b"headers", name]) => joined(stream.request.as_ref()?, name),
        (b"response", [name]) => response(stream, name),
        (b"response", [b"headers", name]) => joined(stream.response.as_ref()?, name),
        (b"response", [b"trailers", name]) => joined(stream.response_trailers.as_ref()?, name),
        (b"source", [name]) => address(stream.about.peer?.address, name),
        (b"destination", [name]) => address(stream.about.peer?.local, name),
        (b"upstream", [name]) => address(stream.about.upstream?, name),
        (b"connection", [name]) => connection(stream, name),
        (b"route_name", []) => Some(stream.about.route.as_ref()?.as_bytes().to_vec()),
        (b"cluster_name", []) => Some(stream.about.cluster.as_ref()?.as_bytes().to_vec()),
        // 1: inbound, as all listeners of a gateway are.
        (b"listener_direction", []) => Some(number(1)),
        _ => stream.properties.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner).get(path).cloned(),
    }
}

/// All values of a name, with commas between them, as Envoy gives them.
fn joined(fields: &impl Fields, name: &[u8]) -> Option<Vec<u8>> {
    let mut all = fields.value(name)?;
    let mut seen = 0;
    fields.each(&mut |one, value| {
        if one.eq_ignore_ascii_case(name) {
            seen += 1;
            if seen > 1 {
                all.push(b',');
                all.extend_from_slice(value);
            }
        }
    });
    Some(all)
}

fn request(stream: &Stream, name: &[u8]) -> Option<Vec<u8>> {
    let head = stream.request.as_ref()?;
    let header = |name| head.parts.headers.get(name).map(|value| value.as_bytes().to_vec());
    Some(match name {
        b"path" => head.path().as_bytes().to_vec(),
        b"url_path" => head.parts.uri.path().as_bytes().to_vec(),
        b"query" => head.parts.uri.query().unwrap_or_default().as_bytes().to_vec(),
        b"host" => head.authority().to_vec(),
        b"scheme" => head.scheme().to_vec(),
        b"method" => head.parts.method.as_str().as_bytes().to_vec(),
        b"headers" => map::encode(&head.pairs()),
        b"referer" => return header(REFERER),
        b"useragent" => return header(USER_AGENT),
        b"id" => stream.about.id.as_ref()?.as_bytes().to_vec(),
        b"protocol" => match head.parts.version {
            Version::HTTP_10 => b"HTTP/1.0".to_vec(),
            Version::HTTP_2 => b"HTTP/2".to_vec(),
            _ => b"HTTP/1.1".to_vec(),
        },
        b"time" => {
            let since = stream.about.time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            number(since.as_nanos() as i64)
        }
        b"duration" => number(stream.about.began.elapsed().as_nanos() as i64),
        b"size" => number(stream.about.request_bytes as i64),
        b"total_size" => number(stream.about.request_bytes as i64 + i64::from(head.bytes())),
        _ => return None,
    })
}

fn response(stream: &Stream, name: &[u8]) -> Option<Vec<u8>> {
    let head = stream.response.as_ref()?;
    let grpc = || {
        let trailers = stream.response_trailers.as_ref();
        let status = trailers.and_then(|map| map.value(b"grpc-status"));
        let status = status.or_else(|| head.value(b"grpc-status"))?;
        str::from_utf8(&status).ok()?.parse().ok()
    };
    Some(match name {
        b"code" => number(head.parts.status.as_u16().into()),
        b"headers" => map::encode(&head.pairs()),
        b"trailers" => map::encode(&stream.response_trailers.as_ref()?.pairs()),
        b"grpc_status" => number(grpc()?),
        b"flags" => number(0),
        b"size" => number(stream.about.response_bytes as i64),
        b"total_size" => number(stream.about.response_bytes as i64 + i64::from(head.bytes())),
        _ => return None,
    })
}

fn address(address: SocketAddr, name: &[u8]) -> Option<Vec<u8>> {
    match name {
        b"address" => Some(address.to_string().into_bytes()),
        b"port" => Some(number(address.port().into())),
        _ => None,
    }
}

fn connection(stream: &Stream, name: &[u8]) -> Option<Vec<u8>> {
    let peer = stream.about.peer?;
    match name {
        b"mtls" => Some(vec![0]),
        // Of this process, as long as the connection is open.
        b"id" => Some(number(i64::from(peer.address.port()) << 16 | i64::from(peer.local.port()))),
        _ => None,
    }
}

fn number(number: i64) -> Vec<u8> {
    number.to_le_bytes().to_vec()
}
