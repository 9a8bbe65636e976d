//! The handler in front of an app: check the path, find the route, hand over, record.

use crate::destination::{self, Handlers};
use crate::path;
use crate::respond;
use crate::routes::{Found, Query, Routes};
use http::header::HOST;
use http::{Method, Request, Response, StatusCode};
use sampan_app::Route;
use sampan_service::{Answer, Body, Handler, Matched, Served};
use sampan_telemetry::{RouteMetrics, metrics};
use std::sync::Arc;
use std::time::Instant;

/// Answered for every app, as Spin does: the process accepts requests.
const HEALTH: &str = "/.well-known/spin/health";

/// A route of the manifest that cannot be served.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("route {route}: {what}")]
pub struct RouteError {
    pub route: String,
    pub what: String,
}

/// Routes an app's requests.
pub struct Router {
    routes: Routes,
    /// One for each entry of the table.
    destinations: Vec<Destination>,
    /// What no route answers.
    none: Label,
}

struct Destination {
    handler: Arc<dyn Handler>,
    label: Label,
}

/// Whether two routes match the same requests, as far as their texts tell.
fn same_requests(one: &Route, other: &Route) -> bool {
    (&one.path, &one.host, &one.methods, &one.headers, &one.query)
        == (&other.path, &other.host, &other.methods, &other.headers, &other.query)
}

/// Under which names an answer is counted.
struct Label {
    app: Arc<str>,
    served: Served,
    metrics: RouteMetrics,
}

/// In a response's extensions: under what it counts, in place of the route's own label.
#[derive(Clone)]
pub struct Counted(Arc<RouteMetrics>);

impl Counted {
    pub fn new(app: &str, route: &str, to: &str) -> Self {
        Counted(Arc::new(metrics().route(app, route, to)))
    }
}

/// An app's routes, and what they name.
pub struct AppRoutes<'a> {
    pub app: &'a str,
    pub routes: &'a [Route],
    pub handlers: &'a Handlers,
}

impl Router {
    /// Compiles the routes of one app.
    pub fn new(app: &str, routes: &[Route], handlers: &Handlers) -> Result<Router, RouteError> {
        Router::of(&[AppRoutes { app, routes, handlers }])
    }

    /// Compiles the routes of apps that share an address. They must differ in what they match, usually in the
    /// host: which app answers shall not depend on the order of manifests.
    pub fn of(apps: &[AppRoutes<'_>]) -> Result<Router, RouteError> {
        let mut routes: Vec<Route> = Vec::new();
        let mut destinations = Vec::new();
        for AppRoutes { app, routes: own, handlers } in apps {
            let before = routes.len();
            for route in *own {
                let failed = |what: String| RouteError { route: route.path.clone(), what };
                if let Some(index) = routes[..before].iter().position(|other| same_requests(other, route)) {
                    let other: &Destination = &destinations[index];
                    let what = format!("the apps {} and {app} both want it", other.label.app);
                    return Err(failed(what));
                }
                let (handler, name) = destination::build(app, route, handlers).map_err(failed)?;
                destinations.push(Destination { handler, label: Label::new(app, &route.path, &name) });
                routes.push(route.clone());
            }
        }
        let table = Routes::new(&routes).map_err(|(route, what)| RouteError { route, what })?;
        let names: Vec<&str> = apps.iter().map(|app| app.app).collect();
        Ok(Router { routes: table, destinations, none: Label::new(&names.join("+"), "-", "gateway") })
    }

    /// The answer and the label under which it is counted.
    async fn answer(&self, mut request: Request<Body>) -> (Response<Body>, &Label) {
        // 1. What no route may see, and what is the same for every app.
        let path = request.uri().path();
        if path == "*" && request.method() == Method::OPTIONS {
            return (respond::no_content(), &self.none);
        }
        if let Err(bad) = path::check(path) {
            return (respond::text(StatusCode::BAD_REQUEST, bad.explain()), &self.none);
        }
        if path == HEALTH {
            return (respond::text(StatusCode::OK, "OK"), &self.none);
        }
        // 2. The route.
        let host = host(&request);
        let uri = request.uri();
        let query = Query {
            path,
            host: &host,
            method: request.method(),
            headers: request.headers(),
            parameters: uri.query().unwrap_or_default(),
        };
        let (index, rest, names) = match self.routes.find(&query) {
            Found::Entry { index, rest, names } => (index, rest, names),
            Found::OtherMethods(allowed) => {
                return (respond::other_methods(request.method(), allowed), &self.none);
            }
            Found::Nothing => return (respond::not_found(), &self.none),
        };
        let entry = &self.routes.entries[index];
        let Destination { handler, label } = &self.destinations[index];
        // 3. Whoever answers, behind its filters.
        let matched = Matched { route: entry.route.clone(), base: entry.base.clone(), rest, names };
        request.extensions_mut().insert(matched);
        (handler.handle(request).await, label)
    }
}

impl Handler for Router {
    fn handle(&self, request: Request<Body>) -> Answer<'_> {
        Box::pin(async move {
            let begin = Instant::now();
            let (mut response, label) = self.answer(request).await;
            let (status, time) = (response.status().as_u16(), begin.elapsed());
            match response.extensions_mut().remove::<Counted>() {
                None => label.metrics.observe(status, time),
                Some(Counted(metrics)) => metrics.observe(status, time),
            }
            response.extensions_mut().get_or_insert_with(|| label.served.clone());
            response
        })
    }
}

impl Label {
    fn new(app: &str, route: &str, to: &str) -> Label {
        let served = Served { route: route.into(), to: to.into() };
        Label { app: app.into(), served, metrics: metrics().route(app, route, to) }
    }
}

/// The host that a request is for, in lower case, without port or root dot.
fn host(request: &Request<Body>) -> String {
    let header = || request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let authority = request.uri().authority().map(http::uri::Authority::as_str).or_else(header);
    let authority = authority.unwrap_or_default();
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let name = match (authority.rfind(':'), authority.rfind(']')) {
        // The colons of an IPv6 address are inside its brackets.
        (Some(colon), bracket) if bracket.is_none_or(|bracket| bracket < colon) => &authority[..colon],
        _ => authority,
    };
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}
