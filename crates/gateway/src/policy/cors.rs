//! Cross-origin requests, as the Fetch standard has them (<https://fetch.spec.whatwg.org/#http-cors-protocol>).
//! What a browser asks beforehand is answered here; the target sees only the requests themselves.

use crate::respond;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use sampan_app::Cors;
use sampan_service::{Answer, Body, Handler};
use std::sync::Arc;

const ANY: HeaderValue = HeaderValue::from_static("*");
/// What a preflight's answer depends on.
const VARY_PREFLIGHT: HeaderValue =
    HeaderValue::from_static("origin, access-control-request-method, access-control-request-headers");
const VARY_ORIGIN: HeaderValue = HeaderValue::from_static("origin");

pub struct CrossOrigin {
    /// `None`: all.
    origins: Option<Vec<Origin>>,
    /// `None`: whatever is asked for.
    methods: Option<HeaderValue>,
    headers: Option<HeaderValue>,
    expose: Option<HeaderValue>,
    credentials: bool,
    max_age: Option<HeaderValue>,
    next: Arc<dyn Handler>,
}

/// In lower case, as browsers send them.
enum Origin {
    Exact(String),
    /// `https://`, and `.example.com`: any name below.
    Below(String, String),
}

impl CrossOrigin {
    pub fn new(cors: &Cors, next: Arc<dyn Handler>) -> Result<Self, String> {
        let any = |list: &[String]| list.iter().any(|one| one == "*");
        let listed = |list: &[String]| {
            HeaderValue::from_str(&list.join(", ")).map_err(|_| "a name of `cors` is no token".to_owned())
        };
        let unless_any = |list: &[String]| (!any(list)).then(|| listed(list)).transpose();
        Ok(CrossOrigin {
            origins: (!any(&cors.origins))
                .then(|| cors.origins.iter().map(|text| Origin::new(text)).collect()),
            methods: unless_any(&cors.methods)?,
            headers: unless_any(&cors.headers)?,
            expose: (!cors.expose.is_empty()).then(|| listed(&cors.expose)).transpose()?,
            credentials: cors.credentials,
            max_age: cors.max_age.map(|age| age.as_secs().into()),
            next,
        })
    }

    /// What `Access-Control-Allow-Origin` says to pages of this origin.
    fn allowed(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        let Some(origins) = &self.origins else { return Some(ANY) };
        let text = origin.to_str().ok()?;
        origins.iter().any(|one| one.matches(text)).then(|| origin.clone())
    }

    fn preflight(&self, asked: &HeaderMap, allowed: Option<HeaderValue>) -> Response<Body> {
        let Some(origin) = allowed else {
            let mut response =
                respond::text(StatusCode::FORBIDDEN, "pages of this origin may not use the route\n");
            response.headers_mut().insert(VARY, VARY_PREFLIGHT);
            return response;
        };
        let mut response = respond::no_content();
        let headers = response.headers_mut();
        headers.insert(VARY, VARY_PREFLIGHT);
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        // With credentials browsers take an asterisk for a name, so what was asked for is said.
        let methods = self.methods.as_ref().or_else(|| asked.get(ACCESS_CONTROL_REQUEST_METHOD));
        headers.extend(methods.map(|methods| (ACCESS_CONTROL_ALLOW_METHODS, methods.clone())));
        let names = self.headers.as_ref().or_else(|| asked.get(ACCESS_CONTROL_REQUEST_HEADERS));
        let names = names.filter(|names| !names.is_empty());
        headers.extend(names.map(|names| (ACCESS_CONTROL_ALLOW_HEADERS, names.clone())));
        self.allow_credentials(headers);
        headers.extend(self.max_age.clone().map(|age| (ACCESS_CONTROL_MAX_AGE, age)));
        response
    }

    fn allow_credentials(&self, headers: &mut HeaderMap) {
        if self.credentials {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }

    /// The route decides: what the target says of it would contradict, and two values are none to a browser.
    fn mark(&self, headers: &mut HeaderMap, allowed: Option<HeaderValue>) {
        for name in
            [ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_EXPOSE_HEADERS]
        {
            headers.remove(name);
        }
        if self.origins.is_some() {
            // Also where nothing is allowed: a cache must not give that response to others.
            headers.append(VARY, VARY_ORIGIN);
        }
        let Some(origin) = allowed else { return };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        self.allow_credentials(headers);
        headers.extend(self.expose.clone().map(|names| (ACCESS_CONTROL_EXPOSE_HEADERS, names)));
    }
}

impl Origin {
    fn new(text: &str) -> Origin {
        match text.split_once("*.") {
            Some((scheme, domain)) => Origin::Below(scheme.to_owned(), format!(".{domain}")),
            None => Origin::Exact(text.to_owned()),
        }
    }

    fn matches(&self, origin: &str) -> bool {
        match self {
            Origin::Exact(exact) => exact == origin,
            Origin::Below(scheme, domain) => origin
                .strip_prefix(scheme.as_str())
                .and_then(|host| host.strip_suffix(domain.as_str()))
                .is_some_and(|label| !label.is_empty() && !label.contains(['/', ':', '@'])),
        }
    }
}

impl Handler for CrossOrigin {
    fn handle(&self, request: Request<Body>) -> Answer<'_> {
        let origin = request.headers().get(ORIGIN);
        let allowed = origin.and_then(|origin| self.allowed(origin));
        let asks = request.method() == Method::OPTIONS
            && origin.is_some()
            && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        if asks {
            let response = self.preflight(request.headers(), allowed);
            return Box::pin(std::future::ready(response));
        }
        let answer = self.next.handle(request);
        Box::pin(async move {
            let mut response = answer.await;
            self.mark(response.headers_mut(), allowed);
            response
        })
    }
}
