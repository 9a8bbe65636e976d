//! What is known of a request and its response.

use super::Attribute;
use crate::proxy_wasm::head::Fields;
use crate::proxy_wasm::state::Stream;
use http::header::{CONTENT_LENGTH, REFERER, USER_AGENT};
use http::{HeaderMap, Version};
use sampan_service::Via;
use std::time::{Duration, SystemTime};

pub const REQUEST: &[&str] = &[
    "path",
    "url_path",
    "host",
    "scheme",
    "method",
    "headers",
    "headers_bytes",
    "referer",
    "useragent",
    "time",
    "id",
    "protocol",
    "query",
    "duration",
    "size",
    "total_size",
];

pub const RESPONSE: &[&str] = &[
    "code",
    "code_details",
    "flags",
    "grpc_status",
    "headers",
    "headers_bytes",
    "trailers",
    "size",
    "total_size",
    "backend_latency",
];

pub fn request(stream: &Stream, name: &[u8]) -> Option<Attribute> {
    let head = stream.request.as_ref()?;
    let text = Attribute::text;
    let header = |name| head.parts.headers.get(name).map(|value| Attribute::text(value.as_bytes()));
    Some(match name {
        b"path" => text(head.path()),
        b"url_path" => text(head.parts.uri.path()),
        b"query" => text(head.parts.uri.query().unwrap_or_default()),
        b"host" => text(std::str::from_utf8(head.authority()).unwrap_or_default()),
        b"scheme" => Attribute::Text(head.scheme().to_vec()),
        b"method" => text(head.parts.method.as_str()),
        b"headers" => Attribute::Map(head.pairs()),
        b"headers_bytes" => Attribute::Int(head.bytes().into()),
        b"referer" => return header(REFERER),
        b"useragent" => return header(USER_AGENT),
        b"id" => Attribute::Text(stream.about.id.as_ref()?.as_bytes().to_vec()),
        b"protocol" => text(match head.parts.version {
            Version::HTTP_10 => "HTTP/1.0",
            Version::HTTP_2 => "HTTP/2",
            _ => "HTTP/1.1",
        }),
        b"time" => {
            let since = stream.about.time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            Attribute::Time(nanoseconds(since))
        }
        b"duration" => Attribute::Duration(nanoseconds(stream.about.began.elapsed())),
        b"size" => Attribute::Int(size(&head.parts.headers, stream.about.request_bytes)?),
        b"total_size" => Attribute::Int(stream.about.request_bytes as i64 + i64::from(head.bytes())),
        _ => return None,
    })
}

/// What the head promises, or what has been seen so far; `None` where it promises nonsense.
fn size(headers: &HeaderMap, seen: u64) -> Option<i64> {
    match headers.get(CONTENT_LENGTH) {
        Some(length) => length.to_str().ok()?.parse().ok(),
        None => Some(seen as i64),
    }
}

pub fn response(stream: &Stream, name: &[u8]) -> Option<Attribute> {
    let head = stream.response.as_ref()?;
    let trailers = stream.response_trailers.as_ref();
    let grpc = || {
        let status = trailers.and_then(|map| map.value(b"grpc-status"));
        let status = status.or_else(|| head.value(b"grpc-status"))?;
        str::from_utf8(&status).ok()?.parse().ok()
    };
    let via = stream.about.via.as_deref();
    let bytes = stream.about.response_bytes as i64;
    Some(match name {
        b"code" => Attribute::Int(head.parts.status.as_u16().into()),
        b"code_details" => match (&stream.about.details, via) {
            (Some(details), _) => Attribute::text(details),
            (None, Some(via)) => Attribute::text(details(via)),
            (None, None) => return None,
        },
        b"flags" => Attribute::Int(via.map_or(0, flags)),
        b"headers" => Attribute::Map(head.pairs()),
        b"headers_bytes" => Attribute::Int(head.bytes().into()),
        b"trailers" => Attribute::Map(trailers?.pairs()),
        b"grpc_status" => Attribute::Int(grpc()?),
        b"size" => Attribute::Int(bytes),
        b"total_size" => {
            let trailers = trailers.map_or(0, Fields::bytes);
            Attribute::Int(bytes + i64::from(head.bytes()) + i64::from(trailers))
        }
        b"backend_latency" => Attribute::Duration(nanoseconds(via?.waited)),
        _ => return None,
    })
}

/// Envoy's word where the upstream has answered; else ours, which metrics have too (Envoy's are "subject to change").
fn details(via: &Via) -> &'static str {
    via.failure.unwrap_or("via_upstream")
}

/// Envoy's bits (envoyproxy/envoy, envoy/stream_info/stream_info.h).
fn flags(via: &Via) -> i64 {
    match via.failure.unwrap_or_default() {
        "no_server" => 0x2,
        "connect_timeout" | "connect" | "tls" => 0x20,
        "first_byte" | "total" => 0x4,
        "reset" => 0x40,
        "connections" | "queue_full" | "queue_time" => 0x80,
        "bad_response" | "switched" => 0x80_0000,
        _ => 0,
    }
}

fn nanoseconds(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

/// All values of a name, with commas between them, as Envoy gives them.
pub fn joined(fields: &impl Fields, name: &[u8]) -> Option<Attribute> {
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
    Some(Attribute::Text(all))
}
