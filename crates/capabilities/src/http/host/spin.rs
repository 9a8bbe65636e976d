//! `fermyon:spin/http` of Spin 1: one call that sends a request and returns the whole response. Its types are
//! those of `fermyon:spin/inbound-http` too, which Spin 1's components export.

use crate::Host;
use crate::http::redirect::{self, Resendable};
use crate::http::{Body, Error, Timeouts};
use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use std::sync::Arc;
use url::Url;
use wasmtime::Result;
use wasmtime::component::{HasSelf, Linker};

mod generated {
    wasmtime::component::bindgen!({
        path: ["../../wit/spin-unversioned"],
        inline: "
            package sampan:spin-http;
            world outbound { import fermyon:spin/http; }
        ",
        world: "sampan:spin-http/outbound",
        imports: { default: async | trappable },
        require_store_data_send: true,
    });
}

pub use generated::fermyon::spin::http_types::{HttpError, Method, Request, Response};

/// The guest gets a response in one piece, so it is held as a whole; a longer one is an error.
const MAX_RESPONSE_BYTES: usize = 64 << 20;

/// Defines `fermyon:spin/http` and the types that it uses.
pub fn define(linker: &mut Linker<Host>, name: &str) -> Result<bool> {
    match name {
        "fermyon:spin/http" => generated::fermyon::spin::http::add_to_linker::<_, HasSelf<_>>(linker, |h| h)?,
        _ => return Ok(false),
    }
    Ok(true)
}

impl generated::fermyon::spin::http_types::Host for Host {}

impl generated::fermyon::spin::http::Host for Host {
    async fn send_request(&mut self, request: Request) -> Result<Result<Response, HttpError>> {
        let door = Arc::clone(&self.http.door);
        let answered = async {
            let response = redirect::send(&door, resendable(request)?, Timeouts::default()).await;
            whole(response.map_err(|error| to_spin(&error))?).await
        };
        Ok(answered.await)
    }
}

/// The field `params` was never sent.
fn resendable(request: Request) -> Result<Resendable, HttpError> {
    // A path alone means the app itself.
    let own = request.uri.starts_with('/');
    let uri = if own { format!("http://self{}", request.uri) } else { request.uri };
    let url = Url::parse(&uri).map_err(|_| HttpError::InvalidUrl)?;
    let mut headers = HeaderMap::new();
    for (name, value) in request.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| HttpError::RequestError)?;
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| HttpError::RequestError)?;
        headers.try_append(name, value).map_err(|_| HttpError::RequestError)?;
    }
    let body = Bytes::from(request.body.unwrap_or_default());
    Ok(Resendable { url, method: request.method.into(), headers, body })
}

async fn whole(response: http::Response<Body>) -> Result<Response, HttpError> {
    let (head, body) = response.into_parts();
    let body = match Limited::new(body, MAX_RESPONSE_BYTES).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => return Err(HttpError::RuntimeError),
        Err(_) => return Err(HttpError::RequestError),
    };
    let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
    let headers = head.headers.iter().filter_map(|(name, value)| Some((name.to_string(), text(value)?)));
    Ok(Response { status: head.status.as_u16(), headers: Some(headers.collect()), body: Some(body.into()) })
}

fn to_spin(error: &Error) -> HttpError {
    match error {
        Error::Denied | Error::AddressProhibited => HttpError::DestinationNotAllowed,
        Error::BadUri => HttpError::InvalidUrl,
        Error::LimitReached => HttpError::TooManyRequests,
        Error::Configuration(_) => HttpError::RuntimeError,
        _ => HttpError::RequestError,
    }
}

impl From<Method> for http::Method {
    fn from(method: Method) -> Self {
        match method {
            Method::Get => http::Method::GET,
            Method::Post => http::Method::POST,
            Method::Put => http::Method::PUT,
            Method::Delete => http::Method::DELETE,
            Method::Patch => http::Method::PATCH,
            Method::Head => http::Method::HEAD,
            Method::Options => http::Method::OPTIONS,
        }
    }
}

impl TryFrom<&http::Method> for Method {
    type Error = ();

    /// `Err` for methods that Spin 1 does not know.
    fn try_from(method: &http::Method) -> Result<Self, ()> {
        Ok(match *method {
            http::Method::GET => Method::Get,
            http::Method::POST => Method::Post,
            http::Method::PUT => Method::Put,
            http::Method::DELETE => Method::Delete,
            http::Method::PATCH => Method::Patch,
            http::Method::HEAD => Method::Head,
            http::Method::OPTIONS => Method::Options,
            _ => return Err(()),
        })
    }
}
