//! Asks Dapr over gRPC: saves `weapon`, reads it back, and asks a store that is not there. `STORE` is the argument.
//!
//! The client is tonic's; what it sends goes out by wasi:http, with trailers. Messages have the fields of
//! dapr/dapr `dapr/proto/runtime/v1/dapr.proto` and `dapr/proto/common/v1/common.proto` that are used here.

use http::uri::PathAndQuery;
use http_body_util::combinators::UnsyncBoxBody;
use prost::Message;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tonic::client::{Grpc, GrpcService};
use tonic::codegen::Bytes;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;
use wstd::http::{Body, Client};

#[derive(Clone, PartialEq, Message)]
struct StateItem {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct SaveStateRequest {
    #[prost(string, tag = "1")]
    store_name: String,
    #[prost(message, repeated, tag = "2")]
    states: Vec<StateItem>,
}

#[derive(Clone, PartialEq, Message)]
struct GetStateRequest {
    #[prost(string, tag = "1")]
    store_name: String,
    #[prost(string, tag = "2")]
    key: String,
}

#[derive(Clone, PartialEq, Message)]
struct GetStateResponse {
    #[prost(bytes = "vec", tag = "1")]
    data: Vec<u8>,
    #[prost(string, tag = "2")]
    etag: String,
}

/// Dapr's address, and the way to it.
struct Wasi {
    port: String,
}

impl GrpcService<tonic::body::Body> for Wasi {
    type ResponseBody = UnsyncBoxBody<Bytes, wstd::http::Error>;
    type Error = wstd::http::Error;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Self::ResponseBody>, Self::Error>>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let port = self.port.clone();
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            let path = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
            parts.uri = format!("http://127.0.0.1:{port}{path}").parse()?;
            let request = http::Request::from_parts(parts, Body::from_http_body(body));
            let response = Client::new().send(request).await?;
            Ok(response.map(Body::into_boxed_body))
        })
    }
}

async fn call<A, B>(method: &'static str, message: A) -> Result<B, Status>
where
    A: Message + 'static,
    B: Message + Default + 'static,
{
    let port = std::env::var("DAPR_GRPC_PORT").unwrap_or_else(|_| "50001".to_owned());
    let mut client = Grpc::new(Wasi { port });
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let answer =
        client.unary(Request::new(message), PathAndQuery::from_static(method), ProstCodec::default());
    answer.await.map(tonic::Response::into_inner)
}

const SAVE: &str = "/dapr.proto.runtime.v1.Dapr/SaveState";
const GET: &str = "/dapr.proto.runtime.v1.Dapr/GetState";

fn weapon(store: &str) -> GetStateRequest {
    GetStateRequest { store_name: store.to_owned(), key: "weapon".to_owned() }
}

#[wstd::main]
async fn main() {
    let store = std::env::args().nth(1).expect("a store");
    let states = vec![StateItem { key: "weapon".to_owned(), value: b"Death Star".to_vec() }];
    let saved: Result<(), Status> = call(SAVE, SaveStateRequest { store_name: store.clone(), states }).await;
    println!("saved: {}", said(saved));
    let found = call(GET, weapon(&store)).await;
    let shown = found.map(|found: GetStateResponse| {
        println!("found: {} {}", String::from_utf8_lossy(&found.data), !found.etag.is_empty());
    });
    println!("get: {}", said(shown));
    let absent: Result<GetStateResponse, Status> = call(GET, weapon("absent")).await;
    println!("absent: {}", said(absent.map(drop)));
}

fn said(result: Result<(), Status>) -> String {
    result.map_or_else(|status| format!("{:?}: {}", status.code(), status.message()), |()| "ok".to_owned())
}
