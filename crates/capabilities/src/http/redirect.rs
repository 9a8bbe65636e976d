//! Following redirects, for interfaces whose guests expect it: by the rules of the Fetch standard
//! (HTTP-redirect fetch), every hop through the door and its grants again.

use super::{Body, Door, Error, Timeouts};
use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_TYPE,
    COOKIE, LOCATION, PROXY_AUTHORIZATION,
};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use url::Url;

/// As many as the original implementation of `wasi_experimental_http` followed.
pub const MAX_REDIRECTS: usize = 10;

/// A request that can be sent again.
pub struct Resendable {
    pub url: Url,
    pub method: Method,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Sends a request and the requests that its redirects ask for.
pub async fn send(door: &Door, mut request: Resendable, timeouts: Timeouts) -> Result<Response<Body>, Error> {
    for _ in 0..=MAX_REDIRECTS {
        let response = door.send(request.build()?, timeouts).await?;
        let Some(location) = location(&response, &request.url)? else { return Ok(response) };
        request.redirect(response.status(), location);
    }
    Err(Error::TooManyRedirects)
}

/// Where a response sends its reader, if it is a redirect that says so.
fn location(response: &Response<Body>, base: &Url) -> Result<Option<Url>, Error> {
    let redirects = [
        StatusCode::MOVED_PERMANENTLY,
        StatusCode::FOUND,
        StatusCode::SEE_OTHER,
        StatusCode::TEMPORARY_REDIRECT,
        StatusCode::PERMANENT_REDIRECT,
    ];
    if !redirects.contains(&response.status()) {
        return Ok(None);
    }
    let Some(value) = response.headers().get(LOCATION) else { return Ok(None) };
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| Error::BadUri)?;
    base.join(text).map(Some).map_err(|_| Error::BadUri)
}

impl Resendable {
    fn build(&self) -> Result<Request<Body>, Error> {
        let mut url = self.url.clone();
        url.set_fragment(None);
        let body = Full::new(self.body.clone()).map_err(|never| match never {}).boxed_unsync();
        let mut request = Request::new(body);
        *request.uri_mut() = url.as_str().parse().map_err(|_| Error::BadUri)?;
        *request.method_mut() = self.method.clone();
        *request.headers_mut() = self.headers.clone();
        // The body's own length is the truth.
        request.headers_mut().remove(CONTENT_LENGTH);
        Ok(request)
    }

    fn redirect(&mut self, status: StatusCode, to: Url) {
        let becomes_get = match status {
            StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => self.method == Method::POST,
            StatusCode::SEE_OTHER => self.method != Method::GET && self.method != Method::HEAD,
            _ => false,
        };
        if becomes_get {
            self.method = Method::GET;
            self.body = Bytes::new();
            for name in [CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LOCATION, CONTENT_TYPE] {
                self.headers.remove(name);
            }
        }
        // What the guest confided to one origin is not for another.
        if self.url.origin() != to.origin() {
            for name in [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION] {
                self.headers.remove(name);
            }
        }
        self.url = to;
    }
}
