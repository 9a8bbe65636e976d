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
}

/// Where these apps are to be reached. `own` are the addresses of the command line, at which all apps answer.
pub fn places(apps: &[App], own: &[SocketAddr]) -> Vec<Place> {
    let mut all: Vec<Place> = Vec::new();
    let mut add = |listen: Listen, app: usize| match all.iter_mut().find(|place| place.listen == listen) {
        Some(place) => place.apps.push(app),
        None => all.push(Place { listen, apps: vec![app] }),
    };
    for (index, app) in apps.iter().enumerate() {
        if !own.is_empty() {
            own.iter().for_each(|&address| add(Listen { address, tls: None }, index));
        } else if app.listen.is_empty() {
            add(Listen { address: DEFAULT.into(), tls: None }, index);
        } else {
            app.listen.iter().for_each(|listen| add(listen.clone(), index));
        }
    }
    all
}

/// Binds one address.
pub fn open(listen: &Listen) -> Result<Listener, Fail> {
    let tls = listen.tls.as_ref().map(|tls| TlsFiles { cert: tls.cert.clone(), key: tls.key.clone() });
    Listener::bind(&sampan_service::Listen { address: listen.address, tls }).map_err(|error: BindError| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        Fail::new(format!("{error}{cause}")).help(error.help())
    })
}
