//! Traces by OTLP, if the variables of OpenTelemetry ask for them. Otherwise there is no thread, and a span is nothing.
//!
//! Variables: OpenTelemetry, "Environment Variable Specification" and "OpenTelemetry Protocol Exporter". What follows a
//! call from one process into another: W3C, "Trace Context".

mod client;

use client::Client;
use opentelemetry::context::FutureExt;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{SpanKind, Status, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

/// Of this process.
static TRACES: OnceLock<Traces> = OnceLock::new();

struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    /// Of who started this process: for calls that name no parent.
    above: Context,
}

/// Where problems are told: a line, at most one until it is over.
pub type Complain = fn(&str);

/// Begins to send traces, if a variable says where to. `service` is the name under which they are found, unless
/// `OTEL_SERVICE_NAME` says another. That of `above`, the program that started this one, is its own.
pub fn start(service: &str, above: &str, complain: Complain) -> bool {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    match wanted(variable) {
        Ok(false) => return false,
        Ok(true) => {}
        Err(why) => {
            complain(&why);
            return false;
        }
    }
    let timeout = timeout(variable);
    let exporter =
        SpanExporter::builder().with_http().with_http_client(Client::new(timeout, complain)).build();
    let exporter = match exporter {
        Ok(exporter) => exporter,
        Err(error) => {
            complain(&format!("traces are not sent: {error}"));
            return false;
        }
    };
    let mut resource = Resource::builder();
    if variable("OTEL_SERVICE_NAME").is_none_or(|name| name == above) {
        resource = resource.with_service_name(service.to_owned());
    }
    let provider =
        SdkTracerProvider::builder().with_resource(resource.build()).with_batch_exporter(exporter).build();
    let tracer = provider.tracer("sampan");
    let above = parent(|name| std::env::var(name.to_ascii_uppercase()).ok());
    TRACES.set(Traces { provider, tracer, above }).is_ok()
}

/// Whether the variables ask for traces, and for something that can be done.
fn wanted(variable: impl Fn(&str) -> Option<String>) -> Result<bool, String> {
    let is_true = |name: &str| variable(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let either = |signal: &str, all: &str| variable(signal).or_else(|| variable(all));
    let endpoint = either("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT");
    let elsewhere = variable("OTEL_TRACES_EXPORTER").is_some_and(|exporter| exporter != "otlp");
    if endpoint.is_none() || elsewhere || is_true("OTEL_SDK_DISABLED") {
        return Ok(false);
    }
    match either("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL").as_deref() {
        None | Some("http/protobuf") => Ok(true),
        Some(other) => Err(format!(
            "traces are not sent: OTEL_EXPORTER_OTLP_PROTOCOL is `{other}`, and only `http/protobuf` is spoken here \
             (collectors listen for it at port 4318)"
        )),
    }
}

/// Of one export; the specification's default is ten seconds.
fn timeout(variable: impl Fn(&str) -> Option<String>) -> Duration {
    let given = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
    let given = given.iter().find_map(|name| variable(name)?.parse().ok());
    Duration::from_millis(given.unwrap_or(10_000))
}

/// Sends what is left, for at most so long. Spans that end later are lost.
pub fn finish(timeout: Duration) {
    if let Some(traces) = TRACES.get() {
        // Who could be told? The process ends, and that the collector does not answer was said.
        let _ = traces.provider.shutdown_with_timeout(timeout);
    }
}

/// The headers of a call (or of the environment), as far as they say whose part it is.
struct Headers {
    traceparent: Option<String>,
    tracestate: Option<String>,
}

impl Extractor for Headers {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            "traceparent" => self.traceparent.as_deref(),
            "tracestate" => self.tracestate.as_deref(),
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent", "tracestate"]
    }
}

fn parent(header: impl Fn(&str) -> Option<String>) -> Context {
    let headers = Headers { traceparent: header("traceparent"), tracestate: header("tracestate") };
    TraceContextPropagator::new().extract_with_context(&Context::new(), &headers)
}

/// Something that takes time. It ends when it is dropped.
pub struct Span(Option<Context>);

impl Span {
    /// A call of another process, whose `traceparent` and `tracestate` the function looks up.
    pub fn of_call(name: &'static str, header: impl Fn(&str) -> Option<String>) -> Span {
        let Some(traces) = TRACES.get() else { return Span(None) };
        let mut above = parent(header);
        if !above.span().span_context().is_valid() {
            above = traces.above.clone();
        }
        let builder = traces.tracer.span_builder(name).with_kind(SpanKind::Server);
        let span = traces.tracer.build_with_context(builder, &above);
        Span(Some(above.with_span(span)))
    }

    pub fn set(&self, key: &'static str, value: impl Into<opentelemetry::Value>) {
        if let Some(context) = &self.0 {
            context.span().set_attribute(KeyValue::new(key, value));
        }
    }

    pub fn fail(&self, why: String) {
        if let Some(context) = &self.0 {
            context.span().set_status(Status::error(why));
        }
    }

    /// Does something whose steps ([`step`]) are this span's.
    pub async fn around<T>(&self, work: impl Future<Output = T>) -> T {
        match &self.0 {
            Some(context) => work.with_context(context.clone()).await,
            None => work.await,
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(context) = &self.0 {
            context.span().end();
        }
    }
}

/// Work that goes on by itself (a task of its own) as part of the span that is open here.
pub fn handed_over<T>(work: impl Future<Output = T>) -> impl Future<Output = T> {
    work.with_context(Context::current())
}

/// Something that was done for the span that is open here, and is over.
pub fn step(name: String, began: SystemTime, ended: SystemTime) {
    let Some(traces) = TRACES.get() else { return };
    let builder = traces.tracer.span_builder(name).with_start_time(began);
    let span = traces.tracer.build_with_context(builder, &Context::current());
    opentelemetry::trace::Span::end_with_timestamp(&mut { span }, ended);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(variables: &[(&str, &str)]) -> Result<bool, String> {
        wanted(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn variables_decide() {
        let at = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");
        for (variables, expected) in [
            (&[][..], Ok(false)),
            (&[at], Ok(true)),
            (&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:4318/v1/traces")], Ok(true)),
            (&[("OTEL_SERVICE_NAME", "x")], Ok(false)),
            (&[at, ("OTEL_SDK_DISABLED", "True")], Ok(false)),
            (&[at, ("OTEL_TRACES_EXPORTER", "none")], Ok(false)),
            (&[at, ("OTEL_TRACES_EXPORTER", "otlp")], Ok(true)),
            (&[at, ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")], Ok(true)),
            (&[at, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")], Err(())),
            (
                &[
                    at,
                    ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
                    ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"),
                ],
                Ok(true),
            ),
        ] {
            assert_eq!(said(variables).map_err(drop), expected, "{variables:?}");
        }
        assert!(said(&[at, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]).unwrap_err().contains("4318"));
    }

    #[test]
    fn who_calls_is_known_by_a_header() {
        let id = "0af7651916cd43dd8448eb211c80319c";
        for (header, is_known) in [
            (format!("00-{id}-b7ad6b7169203331-01"), true),
            (format!("00-{id}-0000000000000000-01"), false),
            ("nonsense".to_owned(), false),
            (String::new(), false),
        ] {
            let context = parent(|name| (name == "traceparent").then(|| header.clone()));
            assert_eq!(context.span().span_context().is_valid(), is_known, "{header}");
        }
    }

    #[test]
    fn without_variables_a_span_is_nothing() {
        let span = Span::of_call("call", |_| None);
        span.set("key", 1);
        span.fail("nothing".to_owned());
        assert!(span.0.is_none());
        step("step".to_owned(), SystemTime::UNIX_EPOCH, SystemTime::now());
        finish(Duration::from_secs(1));
    }
}
