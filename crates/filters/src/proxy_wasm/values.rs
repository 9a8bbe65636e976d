//! The numbers of proxy-wasm (proxy-wasm/spec, abi-versions/v0.2.1).

/// What a host function returns. Values that SDKs do not know end their guests: 12 (unimplemented) is never
/// returned, and 6 only for pointers that are wrong.
pub type Status = u32;

pub const OK: Status = 0;
pub const NOT_FOUND: Status = 1;
pub const BAD_ARGUMENT: Status = 2;
pub const SERIALIZATION: Status = 3;
pub const PARSE: Status = 4;
pub const MEMORY: Status = 6;
pub const EMPTY: Status = 7;
pub const CAS_MISMATCH: Status = 8;
/// A bound of the host is reached.
pub const INTERNAL: Status = 10;

/// Of a listener: what all listeners of a gateway are (Envoy's `TrafficDirection`).
pub const INBOUND: i64 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Buffer {
    RequestBody,
    ResponseBody,
    Downstream,
    Upstream,
    CallBody,
    GrpcMessage,
    VmConfig,
    PluginConfig,
    ForeignArguments,
}

impl Buffer {
    pub fn of(number: u32) -> Option<Self> {
        Some(match number {
            0 => Buffer::RequestBody,
            1 => Buffer::ResponseBody,
            2 => Buffer::Downstream,
            3 => Buffer::Upstream,
            4 => Buffer::CallBody,
            5 => Buffer::GrpcMessage,
            6 => Buffer::VmConfig,
            7 => Buffer::PluginConfig,
            8 => Buffer::ForeignArguments,
            _ => return None,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Map {
    RequestHeaders,
    RequestTrailers,
    ResponseHeaders,
    ResponseTrailers,
    GrpcInitial,
    GrpcTrailing,
    CallHeaders,
    CallTrailers,
}

impl Map {
    pub fn of(number: u32) -> Option<Self> {
        Some(match number {
            0 => Map::RequestHeaders,
            1 => Map::RequestTrailers,
            2 => Map::ResponseHeaders,
            3 => Map::ResponseTrailers,
            4 => Map::GrpcInitial,
            5 => Map::GrpcTrailing,
            6 => Map::CallHeaders,
            7 => Map::CallTrailers,
            _ => return None,
        })
    }
}

/// The two directions of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Request,
    Response,
}

/// What a callback on headers wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadersAction {
    Continue,
    /// Stops, and wants to see the body if the filter was allowed to (`body_while_paused`).
    Stop,
    /// Goes on without the body.
    ContinueAndEnd,
    /// Stops, body included.
    StopAll,
}

impl HeadersAction {
    /// Numbers that mean nothing stop, as in cpp-host, where they stop what is unsafe to let pass.
    pub fn of(number: u32) -> Self {
        match number {
            0 => HeadersAction::Continue,
            1 => HeadersAction::Stop,
            2 => HeadersAction::ContinueAndEnd,
            _ => HeadersAction::StopAll,
        }
    }
}

/// What a callback on a body wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataAction {
    Continue,
    /// The next callback sees this data too.
    Buffer,
    /// The data waits, and the next callback sees only what is new.
    Watermark,
    /// The data is gone.
    Drop,
}

impl DataAction {
    pub fn of(number: u32) -> Self {
        match number {
            0 => DataAction::Continue,
            2 => DataAction::Watermark,
            3 => DataAction::Drop,
            _ => DataAction::Buffer,
        }
    }
}
