//! Another path or host for the target than the client asked for.

use crate::respond;
use crate::template::Template;
use http::header::HOST;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Request, StatusCode, Uri};
use sampan_app::Policy;
use sampan_service::{Answer, AskedHost, Body, Handler, Matched};
use std::sync::Arc;

pub struct Rewrite {
    path: Option<Template>,
    host: Option<(HeaderValue, Authority)>,
    next: Arc<dyn Handler>,
}

impl Rewrite {
    /// For a route with this path.
    pub fn new(policy: &Policy, path: &str, next: Arc<dyn Handler>) -> Result<Self, String> {
        let host = |text: &String| {
            let value = HeaderValue::from_str(text).ok();
            let both = value.zip(text.parse::<Authority>().ok());
            both.ok_or_else(|| format!("`{text}` is no host"))
        };
        Ok(Rewrite {
            path: policy.rewrite.as_deref().map(|new| Template::new(new, path)).transpose()?,
            host: policy.rewrite_host.as_ref().map(host).transpose()?,
            next,
        })
    }

    fn rewrite(&self, request: &mut Request<Body>) -> Option<()> {
        let mut parts = request.uri().clone().into_parts();
        if let Some(template) = &self.path {
            let matched = request.extensions_mut().get_mut::<Matched>()?;
            let mut path = template.fill(matched);
            if path.is_empty() {
                path.push('/');
            }
            // The target finds the request at the new path, as if its route were `/...`.
            matched.base = "".into();
            matched.rest.clone_from(&path);
            let query = parts.path_and_query.as_ref().and_then(PathAndQuery::query);
            if let Some(query) = query {
                path.push('?');
                path.push_str(query);
            }
            parts.path_and_query = Some(PathAndQuery::try_from(path).ok()?);
        }
        if let Some((value, authority)) = &self.host {
            let named = parts.authority.as_ref().and_then(|one| HeaderValue::from_str(one.as_str()).ok());
            let asked = request.headers_mut().insert(HOST, value.clone());
            if let Some(asked) = named.or(asked) {
                request.extensions_mut().insert(AskedHost(asked));
            }
            if parts.authority.is_some() {
                parts.authority = Some(authority.clone());
            }
        }
        *request.uri_mut() = Uri::from_parts(parts).ok()?;
        Some(())
    }
}

impl Handler for Rewrite {
    fn handle(&self, mut request: Request<Body>) -> Answer<'_> {
        match self.rewrite(&mut request) {
            Some(()) => self.next.handle(request),
            // Longer than a URI can be.
            None => Box::pin(std::future::ready(respond::text(
                StatusCode::BAD_REQUEST,
                "the path cannot be rewritten\n",
            ))),
        }
    }
}
