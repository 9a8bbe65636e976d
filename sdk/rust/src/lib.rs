//! Dapr's API for WebAssembly components: state, publish, secrets and invocation, over wasi:http.
//!
//! ```no_run
//! # async fn example() -> Result<(), sampan_dapr_client::Error> {
//! use sampan_dapr_client::Dapr;
//!
//! let dapr = Dapr::from_env();
//! let orders = dapr.state("statestore");
//! orders.save("weapon", &"Death Star").await?;
//! let weapon: Option<String> = orders.get("weapon").await?;
//! dapr.publish("pubsub", "orders", &weapon).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Nothing here is Sampan's alone: a sidecar answers the same. Under Sampan the calls open no socket, and the
//! manifest says what of Dapr a component may use: `grant = { dapr = ["statestore", "pubsub"] }`.

mod error;
mod path;
mod pubsub;
mod state;

pub use error::Error;
pub use pubsub::Event;
pub use state::{Entry, Operation, State};

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use wstd::http::{Body, BodyExt, Client, HeaderMap, Method, Request, StatusCode};

/// Where Dapr is unless the environment says otherwise.
const PORT: &str = "3500";
/// What is read of an answer. Dapr's own limit of a request is 4 MiB; an answer to many keys may be longer.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Dapr's API, as one app sees it.
#[derive(Clone, Debug)]
pub struct Dapr {
    endpoint: String,
    token: Option<String>,
    client: Client,
}

/// An answer of an app, whatever its status is.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Dapr {
    /// Dapr where the environment says it is: `DAPR_HTTP_ENDPOINT`, else `DAPR_HTTP_PORT` of this machine, else port
    /// 3500. `DAPR_API_TOKEN` is shown if it is set.
    pub fn from_env() -> Self {
        let variable = |name| std::env::var(name).ok().filter(|text: &String| !text.is_empty());
        let port = || variable("DAPR_HTTP_PORT").unwrap_or_else(|| PORT.to_owned());
        let endpoint =
            variable("DAPR_HTTP_ENDPOINT").unwrap_or_else(|| format!("http://127.0.0.1:{}", port()));
        Dapr { token: variable("DAPR_API_TOKEN"), ..Dapr::at(&endpoint) }
    }

    /// Dapr at an address such as `http://127.0.0.1:3500`.
    pub fn at(endpoint: &str) -> Self {
        Dapr { endpoint: endpoint.trim_end_matches('/').to_owned(), token: None, client: Client::new() }
    }

    /// The same, with a token for whoever checks one.
    pub fn with_token(self, token: &str) -> Self {
        Dapr { token: Some(token.to_owned()), ..self }
    }

    /// A state store, by its component's name.
    pub fn state<'a>(&'a self, store: &'a str) -> State<'a> {
        State { dapr: self, store }
    }

    /// Publishes a value as JSON.
    pub async fn publish(&self, pubsub: &str, topic: &str, data: &impl Serialize) -> Result<(), Error> {
        self.publish_event(pubsub, topic, &Event::json("", data)?).await
    }

    /// Publishes an event with its content type and its metadata.
    pub async fn publish_event(&self, pubsub: &str, topic: &str, event: &Event) -> Result<(), Error> {
        let path = format!("/v1.0/publish/{}/{}", path::segment(pubsub), path::topic(topic));
        let target = path::with_metadata(path, &event.metadata);
        let kind = Some(event.content_type.as_str());
        self.accepted(Method::POST, &target, kind, event.data.clone()).await.map(drop)
    }

    /// Publishes many events in one call. Where only some of them got through, the error is
    /// [`Error::NotPublished`] with the ids of the others.
    pub async fn publish_bulk(&self, pubsub: &str, topic: &str, events: &[Event]) -> Result<(), Error> {
        let target = format!("/v1.0/publish/bulk/{}/{}", path::segment(pubsub), path::topic(topic));
        let reply = self.send(Method::POST, &target, JSON, pubsub::bulk(events)?).await?;
        if let Some(failed) = pubsub::failed(&reply) {
            return Err(Error::NotPublished(failed));
        }
        reply.accepted().map(drop)
    }

    /// The values of a secret; most stores have one, under the secret's own name.
    pub async fn secret(&self, store: &str, name: &str) -> Result<BTreeMap<String, String>, Error> {
        let target = format!("/v1.0/secrets/{}/{}", path::segment(store), path::segment(name));
        self.json(&target).await.map(Option::unwrap_or_default)
    }

    /// All secrets of a store that the app may read.
    pub async fn secrets(&self, store: &str) -> Result<BTreeMap<String, BTreeMap<String, String>>, Error> {
        let target = format!("/v1.0/secrets/{}/bulk", path::segment(store));
        self.json(&target).await.map(Option::unwrap_or_default)
    }

    /// Calls an app by its id: `path` begins behind its address and may have a query. The answer comes back as it
    /// is, also where its status is an error; [`Reply::accepted`] makes that an [`Error`]. Dapr's own errors have a
    /// code, an app's have none.
    pub async fn invoke(
        &self,
        method: Method,
        app: &str,
        path: &str,
        content_type: Option<&str>,
        body: impl Into<Vec<u8>>,
    ) -> Result<Reply, Error> {
        let path = path.trim_start_matches('/');
        let target = format!("/v1.0/invoke/{}/method/{path}", path::segment(app));
        self.send(method, &target, content_type, body.into()).await
    }

    /// Asks for JSON; `None` where there is nothing.
    async fn json<T: DeserializeOwned>(&self, target: &str) -> Result<Option<T>, Error> {
        self.accepted(Method::GET, target, None, Vec::new()).await?.json()
    }

    async fn accepted(
        &self,
        method: Method,
        target: &str,
        content_type: Option<&str>,
        body: Vec<u8>,
    ) -> Result<Reply, Error> {
        self.send(method, target, content_type, body).await?.accepted()
    }

    async fn send(
        &self,
        method: Method,
        target: &str,
        content_type: Option<&str>,
        body: Vec<u8>,
    ) -> Result<Reply, Error> {
        self.send_with(method, target, &[("content-type", content_type)], body).await
    }

    /// One request, and the whole of its answer.
    async fn send_with(
        &self,
        method: Method,
        target: &str,
        headers: &[(&str, Option<&str>)],
        body: Vec<u8>,
    ) -> Result<Reply, Error> {
        let mut request = Request::builder().method(method).uri(format!("{}{target}", self.endpoint));
        let token = ("dapr-api-token", self.token.as_deref());
        for (name, value) in headers.iter().chain([&token]) {
            if let Some(value) = value {
                request = request.header(*name, *value);
            }
        }
        let body = if body.is_empty() { Body::empty() } else { Body::from(body) };
        let request = request.body(body).map_err(|error| Error::Request(error.to_string()))?;
        let response = self.client.send(request).await.map_err(Error::Transport)?;
        let (parts, body) = response.into_parts();
        Ok(Reply { status: parts.status, headers: parts.headers, body: whole(body).await? })
    }
}

async fn whole(body: Body) -> Result<Vec<u8>, Error> {
    let mut body = body.into_boxed_body();
    let mut all = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(Error::Transport)?.into_data() else { continue };
        if all.len() + data.len() > ANSWER_BYTES_MAX {
            return Err(Error::TooLarge);
        }
        all.extend_from_slice(&data);
    }
    Ok(all)
}

/// The content type of most bodies.
const JSON: Option<&str> = Some("application/json");

impl Reply {
    /// The answer, or the error that its status says.
    pub fn accepted(self) -> Result<Self, Error> {
        if self.status.is_success() { Ok(self) } else { Err(Error::of_reply(&self)) }
    }

    /// The body as JSON; `None` where there is none.
    pub fn json<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        if self.status == StatusCode::NO_CONTENT || self.body.is_empty() {
            return Ok(None);
        }
        serde_json::from_slice(&self.body).map(Some).map_err(Error::Json)
    }

    /// A header, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}
