//! Details of an error over gRPC: a `google.rpc.Status` in the trailer `grpc-status-details-bin`
//! (googleapis `google/rpc/status.proto` and `error_details.proto`).

use super::{Details, Resource};
use bytes::Bytes;
use prost::{Message, Name};
use prost_types::Any;
use std::collections::BTreeMap;
use tonic::Code;

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

#[derive(Clone, PartialEq, Message)]
struct ErrorInfo {
    #[prost(string, tag = "1")]
    reason: String,
    #[prost(string, tag = "2")]
    domain: String,
    #[prost(btree_map = "string, string", tag = "3")]
    metadata: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceInfo {
    #[prost(string, tag = "1")]
    resource_type: String,
    #[prost(string, tag = "2")]
    resource_name: String,
    #[prost(string, tag = "4")]
    description: String,
}

#[derive(Clone, PartialEq, Message)]
struct BadRequest {
    #[prost(message, repeated, tag = "1")]
    field_violations: Vec<FieldViolation>,
}

#[derive(Clone, PartialEq, Message)]
struct FieldViolation {
    #[prost(string, tag = "1")]
    field: String,
    #[prost(string, tag = "2")]
    description: String,
}

/// The names by which receivers know what an `Any` holds.
macro_rules! named {
    ($($message:ident),*) => {
        $(impl Name for $message {
            const NAME: &'static str = stringify!($message);
            const PACKAGE: &'static str = "google.rpc";

            fn type_url() -> String {
                format!("type.googleapis.com/{}", Self::full_name())
            }
        })*
    };
}

named!(ErrorInfo, ResourceInfo, BadRequest);

fn any<M: Name>(message: &M) -> Any {
    Any { type_url: M::type_url(), value: message.encode_to_vec() }
}

pub fn encode(code: Code, message: &str, details: &Details) -> Bytes {
    let Details { reason, metadata, resource, violation } = details;
    let info = ErrorInfo { reason: reason.clone(), domain: "dapr.io".to_owned(), metadata: metadata.clone() };
    let mut all = vec![any(&info)];
    if let Some(Resource { kind, name, description }) = resource.clone() {
        all.push(any(&ResourceInfo { resource_type: kind, resource_name: name, description }));
    }
    if let Some((field, description)) = violation.clone() {
        all.push(any(&BadRequest { field_violations: vec![FieldViolation { field, description }] }));
    }
    let status = Status { code: code as i32, message: message.to_owned(), details: all };
    status.encode_to_vec().into()
}
