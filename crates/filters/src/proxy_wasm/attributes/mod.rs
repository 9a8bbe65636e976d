//! Attributes: what is known of an exchange, by Envoy's names and with its types (envoyproxy.io, "Attributes").
//! Guests read them as properties, and expressions as variables.

mod certificate;
mod connection;
mod heads;

use super::facts::vm_id;
use super::state::{State, Stream};
use super::{map, values};
use std::sync::PoisonError;

#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    Text(Vec<u8>),
    Bytes(Vec<u8>),
    Int(i64),
    Uint(u64),
    Bool(bool),
    /// Nanoseconds since 1970.
    Time(i64),
    /// Nanoseconds.
    Duration(i64),
    /// In their order; names may come several times.
    Map(Vec<(Vec<u8>, Vec<u8>)>),
}

impl Attribute {
    /// As Envoy hands it to guests: numbers in 8 bytes, little-endian; truth in one byte; maps as pairs; everything else
    /// as it is.
    pub fn encode(self) -> Vec<u8> {
        match self {
            Attribute::Text(bytes) | Attribute::Bytes(bytes) => bytes,
            Attribute::Int(number) | Attribute::Time(number) | Attribute::Duration(number) => {
                number.to_le_bytes().to_vec()
            }
            Attribute::Uint(number) => number.to_le_bytes().to_vec(),
            Attribute::Bool(truth) => vec![truth.into()],
            Attribute::Map(pairs) => map::encode(&pairs),
        }
    }

    fn text(text: impl AsRef<[u8]>) -> Self {
        Attribute::Text(text.as_ref().to_vec())
    }
}

/// What has attributes of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Request,
    Response,
    Source,
    Destination,
    Connection,
    Upstream,
    Xds,
}

impl Group {
    pub fn of(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"request" => Group::Request,
            b"response" => Group::Response,
            b"source" => Group::Source,
            b"destination" => Group::Destination,
            b"connection" => Group::Connection,
            b"upstream" => Group::Upstream,
            b"xds" => Group::Xds,
            _ => return None,
        })
    }

    /// The names of its attributes, whether or not they are known now.
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Group::Request => heads::REQUEST,
            Group::Response => heads::RESPONSE,
            Group::Source | Group::Destination => connection::ADDRESS,
            Group::Connection => connection::CONNECTION,
            Group::Upstream => connection::UPSTREAM,
            Group::Xds => &["cluster_name", "route_name", "listener_direction"],
        }
    }

    /// `None`: there is none of this name, or it is not known now.
    pub fn get(self, stream: &Stream, name: &[u8]) -> Option<Attribute> {
        match self {
            Group::Request => heads::request(stream, name),
            Group::Response => heads::response(stream, name),
            Group::Source => connection::address(stream.about.peer?.address, name),
            Group::Destination => connection::address(stream.about.peer?.local, name),
            Group::Connection => connection::connection(stream, name),
            Group::Upstream => connection::upstream(stream, name),
            Group::Xds => single(stream, name),
        }
    }
}

/// An attribute, or what a filter has set under the path.
pub fn get(state: &mut State, path: &[u8], memory_bytes: usize) -> Option<Attribute> {
    let mut parts = path.split(|byte| *byte == 0);
    let first = parts.next()?;
    let rest: Vec<&[u8]> = parts.collect();
    if rest.is_empty() {
        // Not Envoy's, but Higress's: plug-ins that grow look at it.
        if first == b"plugin_vm_memory" {
            return Some(Attribute::Uint(memory_bytes as u64));
        }
        if let Some(found) = of_plugin(state, first) {
            return Some(found);
        }
    }
    let stream = state.stream()?;
    let found = match (Group::of(first), &rest[..]) {
        (Some(group), [name]) => group.get(stream, name),
        (Some(Group::Request), [b"headers", name]) => heads::joined(stream.request.as_ref()?, name),
        (Some(Group::Response), [b"headers", name]) => heads::joined(stream.response.as_ref()?, name),
        (Some(Group::Response), [b"trailers", name]) => {
            heads::joined(stream.response_trailers.as_ref()?, name)
        }
        (None, []) => single(stream, first),
        _ => None,
    };
    found.or_else(|| of_filters(stream, path))
}

/// What is the plug-in's own, whether or not there is an exchange.
pub fn of_plugin(state: &State, name: &[u8]) -> Option<Attribute> {
    let facts = state.calling();
    Some(match name {
        b"plugin_name" => Attribute::text(&facts.code.spec.name),
        b"plugin_root_id" => Attribute::text(&facts.code.spec.root_id),
        b"plugin_vm_id" => Attribute::text(vm_id(&facts.code)),
        _ => return None,
    })
}

/// What stands alone in Envoy's older names, and in `xds` in the newer ones.
pub fn single(stream: &Stream, name: &[u8]) -> Option<Attribute> {
    Some(match name {
        b"route_name" => Attribute::text(stream.about.route.as_ref()?.as_bytes()),
        b"cluster_name" => Attribute::text(stream.about.via.as_ref()?.upstream.as_bytes()),
        b"listener_direction" => Attribute::Int(values::INBOUND),
        b"connection_id" => return connection::connection(stream, b"id"),
        _ => return None,
    })
}

/// What filters of the chain have set.
pub fn of_filters(stream: &Stream, path: &[u8]) -> Option<Attribute> {
    let properties = stream.properties.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
    properties.get(path).cloned().map(Attribute::Bytes)
}
