//! Where the apps listen.

use crate::fail::Fail;
use sampan_app::{App, Listen};
use sampan_service::{BindError, Listener, TlsFiles};
use std::net::SocketAddr;

/// Without any word of the user.
const DEFAULT: ([u8; 4], u16) = ([127, 0, 0, 1], 8080);

/// An address, and which apps (by their position in the list) answer there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// As it was asked for: the port may be 0.
    pub listen: Listen,
    pub apps: Vec<usize>,
    pub api: Api,
}

/// What answers at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// The apps' routes.
    App,
    /// Dapr's API, of one app.
    Dapr,
}

/// A TCP route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpPlace {
    pub listen: Listen,
    /// By its position in the list.
    pub app: usize,
    /// Of several with port 0, which.
    pub nth: usize,
}

/// Where connections of these apps are carried on, in the order of their routes.
pub fn tcp_places<'a>(apps: impl IntoIterator<Item = &'a App>) -> Vec<TcpPlace> {
    let mut all: Vec<TcpPlace> = Vec::new();
    for (app, one) in apps.into_iter().enumerate() {
        for route in &one.tcp {
            let listen = route.listen.clone();
            let nth = all.iter().filter(|other| other.app == app && other.listen == listen).count();
            all.push(TcpPlace { listen, app, nth });
        }
    }
    all
}

/// Where these apps are to be reached by HTTP. `own` are the addresses of the command line, at which all apps answer.
pub fn places(apps: &[App], own: &[SocketAddr]) -> Vec<Place> {
    let mut all: Vec<Place> = Vec::new();
    let mut add = |listen: Listen, app: usize| match all.iter_mut().find(|place| place.listen == listen) {
        Some(place) => place.apps.push(app),
        None => all.push(Place { listen, apps: vec![app], api: Api::App }),
    };
    for (index, app) in apps.iter().enumerate() {
        if app.routes.is_empty() && app.listen.is_empty() && lives_without_http(app) {
            // It has nothing to say there.
        } else if !own.is_empty() {
            own.iter().for_each(|&address| add(Listen { address, tls: None }, index));
        } else if app.listen.is_empty() {
            add(Listen { address: DEFAULT.into(), tls: None }, index);
        } else {
            app.listen.iter().for_each(|listen| add(listen.clone(), index));
        }
    }
    all.extend(dapr_places(apps));
    all
}

/// Whether something else than requests uses the app.
fn lives_without_http(app: &App) -> bool {
    !app.tcp.is_empty()
        || app.dapr.is_some()
        || !app.topic_triggers.is_empty()
        || !app.schedule_triggers.is_empty()
}

/// Where Dapr's API is to be reached.
fn dapr_places(apps: &[App]) -> Vec<Place> {
    let mut all: Vec<Place> = Vec::new();
    for (index, app) in apps.iter().enumerate() {
        let addresses = app.dapr.iter().flat_map(|dapr| dapr.http.into_iter().chain(dapr.grpc));
        for listen in addresses.map(|address| Listen { address, tls: None }) {
            match all.iter_mut().find(|place| place.listen == listen) {
                // HTTP and gRPC may share an address.
                Some(place) if place.apps.contains(&index) => {}
                Some(place) => place.apps.push(index),
                None => all.push(Place { listen, apps: vec![index], api: Api::Dapr }),
            }
        }
    }
    all
}

/// Binds one address.
pub fn open(listen: &Listen) -> Result<Listener, Fail> {
    bound(listen, Listener::bind)
}

/// Binds the addresses of TCP routes.
pub fn open_tcp(places: Vec<TcpPlace>) -> Result<Vec<(TcpPlace, Listener)>, Fail> {
    let open = |place: TcpPlace| {
        let listener = bound(&place.listen, Listener::bind_tcp)?;
        Ok((place, listener))
    };
    places.into_iter().map(open).collect()
}

fn bound(
    listen: &Listen,
    bind: fn(&sampan_service::Listen) -> Result<Listener, BindError>,
) -> Result<Listener, Fail> {
    let tls = listen.tls.as_ref().map(|tls| TlsFiles { cert: tls.cert.clone(), key: tls.key.clone() });
    bind(&sampan_service::Listen { address: listen.address, tls }).map_err(|error: BindError| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        Fail::new(format!("{error}{cause}")).help(error.help())
    })
}
