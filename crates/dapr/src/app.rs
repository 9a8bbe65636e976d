//! The app behind Dapr: how Sampan calls it, whether it is made of components of this process or is an ordinary
//! program at a port.

use crate::http::answer::collect;
use crate::proto::runtime::v1::app_callback_alpha_client::AppCallbackAlphaClient;
use crate::proto::runtime::v1::app_callback_client::AppCallbackClient;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt;
use sampan_app::Secret;
use sampan_capabilities::http::Local;
use sampan_capabilities::messaging::Receiver;
use sampan_service::{Body, BodyError, Handler, full};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::timeout;

/// The longest that the app may take for an event, unless a policy says less.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Where the app is.
#[derive(Clone)]
pub enum Place {
    /// In this process: the routes of the manifest.
    Here(Arc<Local>),
    /// An ordinary program beside Sampan.
    Beside(Arc<dyn Handler>),
    Nowhere,
}

/// What the app speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    #[default]
    Http,
    Grpc,
}

pub struct App {
    pub place: Place,
    /// The components of this process that events may be for, wherever the app is.
    pub components: Arc<Local>,
    pub protocol: Protocol,
    /// What the app knows Dapr by: the header `dapr-api-token` of calls to it.
    pub token: Option<Secret>,
    /// What is read of its answers.
    pub body_bytes_max: usize,
}

/// Why the app did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    #[error("app channel is not initialized")]
    NoApp,
    #[error("there is no component `{0}`")]
    NoComponent(String),
    #[error("the app did not answer within {} seconds", TIMEOUT.as_secs())]
    Timeout,
    #[error("the app's answer ended early: {0}")]
    Broken(String),
}

/// Whom of the app a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To<'a> {
    App,
    Component(&'a str),
}

impl App {
    pub fn is_there(&self) -> bool {
        !matches!(self.place, Place::Nowhere)
    }

    /// Whether the app is made of components, which need not be waited for.
    pub fn is_here(&self) -> bool {
        matches!(self.place, Place::Here(_))
    }

    pub fn handler(&self, to: To<'_>) -> Result<Arc<dyn Handler>, CallError> {
        match (&self.place, to) {
            (Place::Here(local), To::App) => local.own().ok_or(CallError::NoApp),
            (_, To::Component(name)) => {
                self.components.component(name).ok_or_else(|| CallError::NoComponent(name.to_owned()))
            }
            (Place::Beside(handler), To::App) => Ok(Arc::clone(handler)),
            (Place::Nowhere, To::App) => Err(CallError::NoApp),
        }
    }

    /// A component, for messages.
    pub fn receiver(&self, name: &str) -> Option<Arc<dyn Receiver>> {
        self.components.receiver(name)
    }

    /// Sends a request to the app and reads the answer.
    pub async fn call(
        &self,
        to: To<'_>,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Reply, CallError> {
        let handler = self.handler(to)?;
        let mut request = Request::new(full(body));
        *request.method_mut() = method;
        *request.uri_mut() = path_uri(path);
        *request.headers_mut() = headers;
        self.mark(request.headers_mut());
        let answered = timeout(TIMEOUT, async {
            let response = handler.handle(request).await;
            let (parts, body) = response.into_parts();
            let body = collect(body, self.body_bytes_max).await;
            body.map(|body| Reply { status: parts.status, headers: parts.headers, body })
        });
        let reply = answered.await.map_err(|_| CallError::Timeout)?;
        reply.map_err(|problem| CallError::Broken(problem.message))
    }

    /// An event for the app, as JSON of some kind.
    pub async fn post(
        &self,
        to: To<'_>,
        path: &str,
        content_type: &'static str,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<Reply, CallError> {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        self.call(to, Method::POST, path, headers, body).await
    }

    /// Shows the app that it is Dapr who calls.
    pub fn mark(&self, headers: &mut HeaderMap) {
        headers.insert(http::header::USER_AGENT, HeaderValue::from_static("sampan"));
        self.mark_token(headers);
    }

    /// The token by which the app knows Dapr, if it has one.
    pub fn mark_token(&self, headers: &mut HeaderMap) {
        let token = self.token.as_ref().and_then(|token| HeaderValue::from_str(token.reveal()).ok());
        if let Some(mut token) = token {
            token.set_sensitive(true);
            headers.insert(HeaderName::from_static("dapr-api-token"), token);
        }
    }

    pub fn grpc(&self) -> Result<AppCallbackClient<Grpc>, CallError> {
        Ok(AppCallbackClient::new(self.channel()?).max_decoding_message_size(self.body_bytes_max))
    }

    pub fn grpc_alpha(&self) -> Result<AppCallbackAlphaClient<Grpc>, CallError> {
        Ok(AppCallbackAlphaClient::new(self.channel()?).max_decoding_message_size(self.body_bytes_max))
    }

    fn channel(&self) -> Result<Grpc, CallError> {
        Ok(Grpc { handler: self.handler(To::App)?, token: self.token.clone() })
    }
}

/// What the app answered.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// A path of the app's choice; one that cannot be a path is asked for nowhere.
fn path_uri(path: &str) -> Uri {
    let slash = if path.starts_with('/') { "" } else { "/" };
    format!("{slash}{path}").parse().unwrap_or_else(|_| Uri::from_static("/"))
}

/// The app as a gRPC server: a handler is all the transport that it takes.
#[derive(Clone)]
pub struct Grpc {
    handler: Arc<dyn Handler>,
    token: Option<Secret>,
}

impl tower_service::Service<Request<tonic::body::Body>> for Grpc {
    type Response = Response<Body>;
    type Error = std::convert::Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        let handler = Arc::clone(&self.handler);
        let mut request =
            request.map(|body| body.map_err(|status| -> BodyError { Box::new(status) }).boxed_unsync());
        *request.version_mut() = http::Version::HTTP_2;
        if let Some(token) = self.token.as_ref().and_then(|token| HeaderValue::from_str(token.reveal()).ok())
        {
            request.headers_mut().insert(HeaderName::from_static("dapr-api-token"), token);
        }
        Box::pin(async move { Ok(handler.handle(request).await) })
    }
}
