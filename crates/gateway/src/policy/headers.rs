//! Changes to the headers of requests and responses.

use http::{HeaderMap, HeaderName, HeaderValue, Request};
use sampan_app::HeaderEdits;
use sampan_service::{Answer, Body, Handler};
use std::sync::Arc;

/// Compiled from [`HeaderEdits`].
struct Edits {
    remove: Vec<HeaderName>,
    set: Vec<(HeaderName, HeaderValue)>,
    add: Vec<(HeaderName, HeaderValue)>,
}

impl Edits {
    fn new(edits: &HeaderEdits) -> Result<Edits, String> {
        let pairs = |pairs: &[(String, String)]| {
            let pair = |(key, text): &(String, String)| Ok((name(key)?, value(key, text)?));
            pairs.iter().map(pair).collect::<Result<Vec<_>, String>>()
        };
        let remove = edits.remove.iter().map(|text| name(text)).collect::<Result<_, _>>()?;
        Ok(Edits { remove, set: pairs(&edits.set)?, add: pairs(&edits.add)? })
    }

    fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            headers.insert(name, value.clone());
        }
        for (name, value) in &self.add {
            headers.append(name, value.clone());
        }
    }
}

fn name(text: &str) -> Result<HeaderName, String> {
    HeaderName::from_bytes(text.as_bytes()).map_err(|_| format!("`{text}` is no header's name"))
}

fn value(name: &str, text: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(text).map_err(|_| format!("`{name}` cannot have that value"))
}

/// Changes requests.
pub struct OfRequest {
    edits: Edits,
    next: Arc<dyn Handler>,
}

impl OfRequest {
    pub fn new(edits: &HeaderEdits, next: Arc<dyn Handler>) -> Result<Self, String> {
        Ok(OfRequest { edits: Edits::new(edits)?, next })
    }
}

impl Handler for OfRequest {
    fn handle(&self, mut request: Request<Body>) -> Answer<'_> {
        self.edits.apply(request.headers_mut());
        self.next.handle(request)
    }
}

/// Changes responses.
pub struct OfResponse {
    edits: Edits,
    next: Arc<dyn Handler>,
}

impl OfResponse {
    pub fn new(edits: &HeaderEdits, next: Arc<dyn Handler>) -> Result<Self, String> {
        Ok(OfResponse { edits: Edits::new(edits)?, next })
    }
}

impl Handler for OfResponse {
    fn handle(&self, request: Request<Body>) -> Answer<'_> {
        let answer = self.next.handle(request);
        Box::pin(async move {
            let mut response = answer.await;
            self.edits.apply(response.headers_mut());
            response
        })
    }
}
