//! What a route leads to, as one handler: filters first, then whoever answers.

use crate::files::{Folder, Reply};
use crate::policy::{self, Buckets, Counters};
use crate::respond::{self, Fixed};
use crate::router::Counted;
use crate::split::{Part, Split};
use crate::template::Template;
use http::{Request, StatusCode};
use sampan_app::{Route, StaticFolder, Target};
use sampan_service::{Answer, Body, Filter, Handler, Matched, Served};
use std::collections::HashMap;
use std::sync::Arc;

/// What the routes of an app may name.
#[derive(Clone, Default)]
pub struct Handlers {
    pub components: HashMap<String, Arc<dyn Handler>>,
    pub upstreams: HashMap<String, Arc<dyn Handler>>,
    pub filters: HashMap<String, Arc<dyn Filter>>,
    /// Key-value stores that count requests.
    pub counters: HashMap<String, Arc<dyn Counters>>,
    /// The same for all versions of an app.
    pub buckets: Arc<Buckets>,
}

/// The handler of a route, and the name of what answers.
pub fn build(app: &str, route: &Route, handlers: &Handlers) -> Result<(Arc<dyn Handler>, String), String> {
    let (target, name) = target(&route.to, app, route, handlers)?;
    let mut handler = policy::behind_filters(route, target)?;
    for one in route.filters.iter().rev() {
        let filter = handlers.filters.get(&one.filter);
        let filter = filter.ok_or_else(|| format!("there is no filter `{}`", one.filter))?;
        handler = filter.before(handler, one.config.as_deref())?;
    }
    Ok((policy::before_filters(app, route, handlers, handler)?, name))
}

fn target(
    to: &Target,
    app: &str,
    route: &Route,
    handlers: &Handlers,
) -> Result<(Arc<dyn Handler>, String), String> {
    let component = |name: &str| {
        handlers.components.get(name).cloned().ok_or_else(|| format!("there is no component `{name}`"))
    };
    Ok(match to {
        Target::Component(name) => (component(name)?, name.clone()),
        Target::Upstream(name) => {
            let handler = handlers.upstreams.get(name).cloned();
            (handler.ok_or_else(|| format!("there is no upstream `{name}`"))?, name.clone())
        }
        Target::Split(split) => {
            let parts = split.targets.iter().map(|(to, weight)| {
                let (handler, name) = target(to, app, route, handlers)?;
                let served = Served { route: route.path.as_str().into(), to: name.as_str().into() };
                let counted = Counted::new(app, &route.path, &name);
                Ok(Part { weight: *weight, handler, served, counted })
            });
            let parts = parts.collect::<Result<Vec<_>, String>>()?;
            (Arc::new(Split::new(parts, split.by.as_ref())?), "split".to_owned())
        }
        Target::Redirect { status, location } => {
            let template = Template::new(location, &route.path)?;
            let handler: Arc<dyn Handler> = match template.is_fixed() {
                true => Arc::new(Fixed::redirect(*status, location)?),
                // What stays the same is checked now.
                false => {
                    Fixed::redirect(*status, location).map(|_| Arc::new(Redirect::new(*status, template)))?
                }
            };
            (handler, "redirect".to_owned())
        }
        Target::Respond { status, headers, body } => {
            (Arc::new(Fixed::new(*status, headers, body)?), "respond".to_owned())
        }
        Target::Static(folder) => {
            let or = folder.or.as_deref().map(component).transpose()?;
            (Arc::new(Files::new(folder, or, route)?), "static".to_owned())
        }
    })
}

/// A redirect to what the request's path says.
struct Redirect {
    status: u16,
    location: Template,
}

impl Redirect {
    fn new(status: u16, location: Template) -> Self {
        Redirect { status, location }
    }

    fn location(&self, request: &Request<Body>) -> Option<String> {
        let mut location = self.location.fill(request.extensions().get::<Matched>()?);
        if !location.contains("://") || location.starts_with('/') {
            // Browsers take what begins with two slashes, of either kind, for another host.
            let path = location.trim_start_matches(['/', '\\']);
            location = format!("/{path}");
        }
        let query = request.uri().query().filter(|_| self.location.keeps_rest() && !location.contains('?'));
        if let Some(query) = query {
            location.push('?');
            location.push_str(query);
        }
        Some(location)
    }
}

impl Handler for Redirect {
    fn handle(&self, request: Request<Body>) -> Answer<'_> {
        let response = self.location(&request).and_then(|to| Fixed::redirect(self.status, &to).ok());
        let response = response.map(|fixed| fixed.respond());
        let response = response.unwrap_or_else(|| {
            respond::text(StatusCode::BAD_REQUEST, "the path cannot be a part of the new location\n")
        });
        Box::pin(std::future::ready(response))
    }
}

/// A static folder, and who answers where it has no file.
struct Files {
    folder: Arc<Folder>,
    or: Option<Arc<dyn Handler>>,
    or_served: Served,
    /// The route names the one file, not all below it.
    single: bool,
}

impl Files {
    fn new(folder: &StaticFolder, or: Option<Arc<dyn Handler>>, route: &Route) -> Result<Self, String> {
        let wildcard = route.path.ends_with("/...") || route.path.ends_with("/*");
        let to = folder.or.as_deref().unwrap_or_default().into();
        Ok(Files {
            or,
            or_served: Served { route: route.path.as_str().into(), to },
            folder: Arc::new(Folder::new(folder)?),
            single: !wildcard,
        })
    }
}

impl Handler for Files {
    fn handle(&self, request: Request<Body>) -> Answer<'_> {
        Box::pin(async move {
            let path = match self.single {
                true => request.uri().path().to_owned(),
                false => {
                    request.extensions().get::<Matched>().map(|one| one.rest.clone()).unwrap_or_default()
                }
            };
            match (self.folder.clone().serve(path, request, self.or.is_some()).await, &self.or) {
                (Reply::Response(response), _) => response,
                (Reply::Missing(_), None) => respond::not_found(),
                (Reply::Missing(request), Some(handler)) => {
                    let mut response = handler.handle(request).await;
                    response.extensions_mut().get_or_insert_with(|| self.or_served.clone());
                    response
                }
            }
        })
    }
}

impl Handler for Fixed {
    fn handle(&self, _: Request<Body>) -> Answer<'_> {
        let response = self.respond();
        Box::pin(std::future::ready(response))
    }
}
