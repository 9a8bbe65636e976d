//! Dapr's gRPC API, by tonic's services over the listener that everything else has. Calls that are not here are
//! answered with UNIMPLEMENTED by the generated code.

mod blocks;
mod convert;
pub mod invoked;
mod publish;
mod service;
mod state;
mod stream;

use crate::app::Protocol;
use crate::deliver::{Ready, Replied};
use crate::http::by_header;
use crate::offer;
use crate::proto::runtime::v1::dapr_server::DaprServer;
use crate::runtime::{Caller, Dapr, no_token};
use crate::subscriptions::Subscription;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use sampan_capabilities::messaging::Outcome;
use sampan_capabilities::messaging::envelope::Event;
use sampan_service::{Body, BodyError};
use service::Service;
use std::sync::Arc;
use tower_service::Service as _;

const SERVICE: &str = "/dapr.proto.runtime.v1.Dapr/";

/// Whether a request is one of gRPC.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

pub async fn handle(dapr: &Arc<Dapr>, caller: &Caller, request: Request<Body>) -> Response<Body> {
    if !caller.has_token(request.headers(), dapr) {
        return failed(no_token().into());
    }
    // Another service of the app that the headers name: the call goes there as it is.
    let Some(method) = request.uri().path().strip_prefix(SERVICE) else {
        return match by_header(dapr, caller, request).await {
            Ok(response) => response,
            Err(problem) => failed(problem.into()),
        };
    };
    let (name, version) = offer::of_method(method);
    if !dapr.offer.is_everything() && !dapr.offer.has(name, version, offer::Protocol::Grpc) {
        return failed(tonic::Status::unimplemented("requested endpoint is not available"));
    }
    let service = Service { dapr: Arc::clone(dapr), caller: caller.clone() };
    let mut server = DaprServer::new(service).max_decoding_message_size(dapr.body_bytes_max());
    let response = match server.call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    boxed(response)
}

fn failed(status: tonic::Status) -> Response<Body> {
    boxed(status.into_http())
}

fn boxed(response: Response<tonic::body::Body>) -> Response<Body> {
    response.map(|body| body.map_err(|status| -> BodyError { Box::new(status) }).boxed_unsync())
}

/// One event to `OnTopicEvent`.
pub async fn deliver(dapr: &Dapr, subscription: &Subscription, ready: &Ready) -> Outcome {
    let Ok(event) = Event::parse(&ready.event) else { return Outcome::Drop };
    let Ok(mut client) = dapr.app.grpc() else { return Outcome::Retry };
    let request = convert::topic_event(&event, subscription, &ready.path);
    match client.on_topic_event(request).await {
        Ok(reply) => convert::outcome(reply.into_inner().status()),
        Err(status) if status.code() == tonic::Code::Unimplemented => Outcome::Drop,
        Err(_) => Outcome::Retry,
    }
}

/// Several events to `OnBulkTopicEvent`, or to its alpha where the app has only that.
pub async fn deliver_bulk(
    dapr: &Dapr,
    subscription: &Subscription,
    path: &str,
    ids: &[String],
    events: &[(usize, Bytes)],
) -> Replied {
    let request = convert::bulk_event(subscription, path, ids, events);
    let Ok(mut client) = dapr.app.grpc() else { return Replied::All(Outcome::Retry) };
    let mut replied = client.on_bulk_topic_event(request.clone()).await;
    if replied.as_ref().is_err_and(|status| status.code() == tonic::Code::Unimplemented)
        && let Ok(mut alpha) = dapr.app.grpc_alpha()
    {
        replied = alpha.on_bulk_topic_event_alpha1(request).await;
    }
    match replied {
        Ok(reply) => {
            let statuses = reply.into_inner().statuses.into_iter();
            Replied::Each(
                statuses.map(|one| (one.entry_id.clone(), convert::outcome(one.status()))).collect(),
            )
        }
        Err(status) if status.code() == tonic::Code::Unimplemented => Replied::All(Outcome::Drop),
        Err(_) => Replied::All(Outcome::Retry),
    }
}

/// Whether events go to the app by gRPC.
pub fn speaks_grpc(dapr: &Dapr) -> bool {
    dapr.app.protocol == Protocol::Grpc
}
