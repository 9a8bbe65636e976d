//! A collector of OpenTelemetry: takes traces over HTTP, and remembers them.

use crate::{HttpServer, Response};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span, status::StatusCode};
use prost::Message;
use std::collections::BTreeMap;

pub struct Collector {
    server: HttpServer,
}

/// A span that arrived. Identities are in hexadecimal; that of a parent is empty if there is none.
#[derive(Clone, Debug)]
pub struct CollectedSpan {
    pub service: String,
    pub name: String,
    pub trace: String,
    pub id: String,
    pub parent: String,
    pub attributes: BTreeMap<String, String>,
    pub error: Option<String>,
    pub began_ns: u64,
    pub ended_ns: u64,
}

impl Collector {
    pub fn start() -> Collector {
        Collector { server: HttpServer::start(|_| Response::new(200, "")) }
    }

    /// For `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// What arrived so far. What is no trace in protobuf is left out.
    pub fn spans(&self) -> Vec<CollectedSpan> {
        let requests = self.server.requests().into_iter();
        let traces = requests.filter(|request| request.method == "POST" && request.target == "/v1/traces");
        let decoded = traces.filter_map(|request| ExportTraceServiceRequest::decode(&*request.body).ok());
        decoded.flat_map(|request| request.resource_spans).flat_map(collected).collect()
    }
}

fn collected(group: ResourceSpans) -> Vec<CollectedSpan> {
    let resource = attributes(&group.resource.unwrap_or_default().attributes);
    let service = resource.get("service.name").cloned().unwrap_or_default();
    let spans = group.scope_spans.into_iter().flat_map(|scope| scope.spans);
    spans.map(|span| of(&service, span)).collect()
}

fn of(service: &str, span: Span) -> CollectedSpan {
    let status = span.status.filter(|status| status.code == StatusCode::Error as i32);
    CollectedSpan {
        service: service.to_owned(),
        attributes: attributes(&span.attributes),
        name: span.name,
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        error: status.map(|status| status.message),
        began_ns: span.start_time_unix_nano,
        ended_ns: span.end_time_unix_nano,
    }
}

fn attributes(list: &[KeyValue]) -> BTreeMap<String, String> {
    list.iter().map(|one| (one.key.clone(), text(one.value.as_ref()))).collect()
}

fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(is)) => is.to_string(),
        Some(other) => format!("{other:?}"),
        None => String::new(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
