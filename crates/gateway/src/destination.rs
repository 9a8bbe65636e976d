//! What a route leads to, as one handler: filters first, then whoever answers.

use crate::files::{Folder, Reply};
use crate::respond::{self, Fixed};
use http::Request;
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
}

/// The handler of a route, and the name of what answers.
pub fn build(route: &Route, handlers: &Handlers) -> Result<(Arc<dyn Handler>, String), String> {
    let (mut handler, name) = target(&route.to, route, handlers)?;
    for one in route.filters.iter().rev() {
        let filter = handlers.filters.get(&one.filter);
        let filter = filter.ok_or_else(|| format!("there is no filter `{}`", one.filter))?;
        handler = filter.before(handler, one.config.as_deref())?;
    }
    Ok((handler, name))
}

fn target(to: &Target, route: &Route, handlers: &Handlers) -> Result<(Arc<dyn Handler>, String), String> {
    let component = |name: &str| {
        handlers.components.get(name).cloned().ok_or_else(|| format!("there is no component `{name}`"))
    };
    Ok(match to {
        Target::Component(name) => (component(name)?, name.clone()),
        Target::Upstream(name) => {
            let handler = handlers.upstreams.get(name).cloned();
            (handler.ok_or_else(|| format!("there is no upstream `{name}`"))?, name.clone())
        }
        Target::Split(_) => return Err("a split is not known here".to_owned()),
        Target::Redirect { status, location } => {
            (Arc::new(Fixed::redirect(*status, location)?), "redirect".to_owned())
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
