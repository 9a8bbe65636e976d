//! One version of everything that is served: apps with their stores, handlers and routers. A new version takes
//! over from the one before what did not change.

use super::announce::Loading;
use super::assets::{self, Staged};
use super::compose::{self, Composed};
use super::counters::InStore;
use super::listeners::{self, Api, Place, TcpPlace};
use super::upstreams::{self, UpstreamPiece};
use crate::channels::{Channels, Wanted};
use crate::dapr::{self, Piece as DaprPiece};
use crate::fail::Fail;
use crate::file_id::FileId;
use crate::manifest;
use sampan_app::{App, Component, Diagnostic, Listen, Outline, Severity};
use sampan_capabilities::http::Local;
use sampan_capabilities::{Backends, GrantError};
use sampan_dapr::app::Place as Behind;
use sampan_dapr::plan::Plan;
use sampan_dapr::{Dapr, Peers};
use sampan_filters::{Destinations, Filter, Surroundings};
use sampan_gateway::{AppRoutes, Buckets, Counters, Handlers, Router, TcpHandlers, TcpProxy};
use sampan_runtime::serve::{self, Budget, LoadFailure, Machine};
use sampan_runtime::triggers::Served;
use sampan_service::{Handler, TcpFilter};
use std::collections::HashMap;
use std::sync::Arc;

pub struct Site {
    pub apps: Vec<Loaded>,
    routers: Vec<(Place, Arc<dyn Handler>)>,
    tcp: Vec<(TcpPlace, Arc<TcpProxy>)>,
    /// The apps of the process by their ids; the same for all versions.
    peers: Arc<Peers>,
}

/// One app, ready to serve.
pub struct Loaded {
    /// As its manifest says.
    pub app: App,
    backends: Arc<Backends>,
    /// How components reach each other; the same for all versions of the app.
    local: Arc<Local>,
    components: HashMap<String, Piece>,
    filters: HashMap<String, FilterPiece>,
    upstreams: HashMap<String, UpstreamPiece>,
    /// Of rate limits; the same for all versions of the app.
    buckets: Arc<Buckets>,
    dapr: Option<DaprPiece>,
    /// The same for all versions of the app.
    channels: Arc<Channels>,
    wanted: Wanted,
    /// What filters share; whom they may call is the same for all versions of the app.
    pub surroundings: Surroundings,
}

impl Loaded {
    pub fn filters(&self) -> impl Iterator<Item = &Filter> {
        self.filters.values().map(|piece| &piece.filter)
    }

    pub fn filter(&self, name: &str) -> Option<Filter> {
        self.filters.get(name).map(|piece| piece.filter.clone())
    }
}

/// One filter, ready to serve.
#[derive(Clone)]
struct FilterPiece {
    filter: Filter,
    source: Option<FileId>,
    /// The configurations that routes give it.
    configs: Vec<String>,
}

/// One component, ready to serve.
#[derive(Clone)]
struct Piece {
    handler: Arc<Served>,
    /// Its code, and that of its dependencies.
    files: Vec<Option<FileId>>,
    /// Kept for as long as the handler.
    _made: Arc<(Option<Staged>, Option<Composed>)>,
}

impl Site {
    /// What answers at an address.
    pub fn router(&self, listen: &Listen) -> Option<&Arc<dyn Handler>> {
        self.routers.iter().find(|(place, _)| place.listen == *listen).map(|(_, router)| router)
    }

    /// What carries the connections of a TCP route.
    pub fn tcp(&self, place: &TcpPlace) -> Option<&Arc<TcpProxy>> {
        self.tcp.iter().find(|(one, _)| one == place).map(|(_, proxy)| proxy)
    }

    /// Lets components call those of this version.
    pub fn link(&self) {
        for (index, loaded) in self.apps.iter().enumerate() {
            for (name, piece) in &loaded.components {
                serve::enter(&loaded.local, name, &piece.handler);
                let handler: Arc<dyn Handler> = piece.handler.clone();
                loaded.surroundings.destinations.set(name, &handler);
            }
            for (name, piece) in &loaded.upstreams {
                let handler: Arc<dyn Handler> = piece.upstream.clone();
                loaded.surroundings.destinations.set(name, &handler);
            }
            let own = |place: &Place| place.api == Api::App && place.apps.contains(&index);
            if let Some((_, router)) = self.routers.iter().find(|(place, _)| own(place)) {
                loaded.local.set_own(router);
            }
            if let Some(dapr) = &loaded.dapr {
                dapr.link(&loaded.local, &self.peers);
            }
        }
    }

    /// Starts what the apps subscribe to: events come from now on.
    pub fn start(&self) {
        for loaded in &self.apps {
            if let Some(dapr) = &loaded.dapr {
                dapr.start();
            }
            loaded.channels.start(&loaded.wanted, &loaded.local, &loaded.surroundings.machine.overflow);
        }
    }

    /// Takes no more events; those that are being handled are handled to their end.
    pub fn stop(&self) -> impl Future<Output = ()> + Send + 'static {
        let running: Vec<Arc<Dapr>> =
            self.apps.iter().filter_map(|loaded| Some(Arc::clone(&loaded.dapr.as_ref()?.dapr))).collect();
        running.iter().for_each(|dapr| dapr.stop());
        let channels: Vec<_> = self.apps.iter().map(|loaded| loaded.channels.stop(&loaded.wanted)).collect();
        async move {
            for channel in channels {
                channel.await;
            }
            for dapr in running {
                dapr.ended().await;
            }
        }
    }

    /// How many components there are.
    pub fn components(&self) -> usize {
        self.apps.iter().map(|app| app.components.len()).sum()
    }
}

/// Makes everything that requests need. Nothing of it is visible before it is complete.
pub fn build(
    machine: &Arc<Machine>,
    apps: Vec<App>,
    places: &[Place],
    previous: Option<&Site>,
    progress: &Loading,
) -> Result<Site, Fail> {
    let peers = previous.map_or_else(Arc::<Peers>::default, |site| Arc::clone(&site.peers));
    let mut loaded = Vec::new();
    for app in apps {
        let before = previous.and_then(|site| site.apps.iter().find(|one| one.app.manifest == app.manifest));
        loaded.push(load(machine, app, before, &peers, progress)?);
    }
    let mut routers = Vec::new();
    for place in places {
        let handler = match place.api {
            Api::App => Arc::new(router(&loaded, place)?),
            Api::Dapr => face(&loaded, place)?,
        };
        routers.push((place.clone(), handler));
    }
    let tcp = tcp(&loaded)?;
    Ok(Site { apps: loaded, routers, tcp, peers })
}

/// What is only in memory stays, where the app before had the same store.
fn open_stores(machine: &Machine, app: &App, before: Option<&Loaded>) -> Result<Arc<Backends>, Fail> {
    let opened = machine.drivers.block_on(async {
        match before {
            Some(before) => before.backends.reopen(app).await,
            None => Backends::open(app).await,
        }
    });
    let failed = |error: GrantError| Fail {
        help: error.help,
        ..Fail::new(format!("app {}: {}", app.name, error.what))
    };
    opened.map(Arc::new).map_err(failed)
}

fn dapr_of(
    machine: &Machine,
    app: &App,
    plan: Plan,
    backends: &Backends,
    local: &Arc<Local>,
    peers: &Arc<Peers>,
    before: Option<&Loaded>,
) -> Result<DaprPiece, Fail> {
    let beside = app.dapr.as_ref().and_then(|settings| settings.app.as_ref());
    let place = match beside {
        // Dapr's API for whoever asks, and nobody to be called.
        None if app.components.is_empty() && app.routes.is_empty() => Behind::Nowhere,
        None => Behind::Here(Arc::clone(local)),
        Some(channel) => Behind::Beside(upstreams::beside(machine, &app.name, channel)?),
    };
    let (drivers, guests) = (&machine.drivers, &machine.overflow);
    let before = before.and_then(|before| Some(&*before.dapr.as_ref()?.dapr));
    dapr::make(app, plan, dapr::Surroundings { drivers, guests, backends, place, local, peers, before })
}

/// What answers Dapr's API at an address.
fn face(loaded: &[Loaded], place: &Place) -> Result<Arc<dyn Handler>, Fail> {
    let mut faces = place.apps.iter().filter_map(|&index| loaded[index].dapr.as_ref());
    match (faces.next(), faces.next()) {
        (Some(one), None) => Ok(Arc::clone(&one.face)),
        _ => Err(Fail::new(format!("more than one app wants Dapr's API at {}", place.listen.address))
            .help("give each app addresses of its own: `http` and `grpc` in its [dapr]")),
    }
}

fn load(
    machine: &Arc<Machine>,
    mut app: App,
    before: Option<&Loaded>,
    peers: &Arc<Peers>,
    progress: &Loading,
) -> Result<Loaded, Fail> {
    // 0. What Dapr's component files say are stores and brokers of the app.
    let plan = dapr::prepare(&machine.drivers, &mut app)?;

    // 1. Stores: kept open if they are the same.
    let stores =
        |app: &App| (app.keyvalue.clone(), app.sql.clone(), app.messaging.clone(), app.state.clone());
    let same_stores = before.filter(|before| stores(&before.app) == stores(&app));
    let backends = match same_stores {
        Some(before) => Arc::clone(&before.backends),
        None => open_stores(machine, &app, before)?,
    };

    // 2. Components: those that changed in manifest or file, under the same stores.
    let words: HashMap<&str, &Component> = same_stores
        .iter()
        .flat_map(|before| &before.app.components)
        .map(|component| (component.name.as_str(), component))
        .collect();
    let mut components = HashMap::new();
    let mut changed = App { components: Vec::new(), ..app.clone() };
    let mut fresh = Vec::new();
    for component in &app.components {
        let files = files(component);
        match same_stores.and_then(|before| unchanged(before, &words, component, &files)) {
            Some(piece) => {
                components.insert(component.name.clone(), piece);
            }
            None => {
                let mut component = component.clone();
                let staged = assets::stage(&app, &mut component)?;
                let composed = compose::component(&app, &mut component)?;
                fresh.push((component.name.clone(), files, Arc::new((staged, composed))));
                changed.components.push(component);
            }
        }
    }
    let local = before.map_or_else(Arc::default, |before| Arc::clone(&before.local));
    let progress = progress.of(&app.name);
    let loading = serve::load_with(machine, &changed, &backends, &progress, &local);
    let handlers = machine.overflow.block_on(loading);
    let mut handlers = handlers.map_err(|failures| refused("component", &app, failures))?;
    for (name, files, made) in fresh {
        if let Some(handler) = handlers.remove(&name) {
            components.insert(name, Piece { handler, files, _made: made });
        }
    }

    // 3. Filters, likewise.
    let destinations = before
        .map_or_else(Arc::<Destinations>::default, |before| Arc::clone(&before.surroundings.destinations));
    let surroundings = Surroundings {
        app: app.name.as_str().into(),
        machine: Arc::clone(machine),
        backends: Arc::clone(&backends),
        memory: Budget::new(format!("filters of {}", app.name), None, Some(Arc::clone(&machine.memory))),
        destinations,
    };
    let filters = load_filters(&surroundings, &app, same_stores)?;

    // 4. Upstreams, likewise; they need no stores.
    let upstreams = upstreams::load(machine, &app, before.map(|before| &before.upstreams))?;
    let buckets = before.map_or_else(Arc::default, |before| Arc::clone(&before.buckets));

    // 5. Dapr, over the same stores.
    let dapr = plan.map(|plan| dapr_of(machine, &app, plan, &backends, &local, peers, before)).transpose()?;
    let channels = before.map_or_else(Arc::default, |before| Arc::clone(&before.channels));
    let wanted = Wanted::of(&app).map_err(|what| Fail::new(format!("app {}: {what}", app.name)))?;
    Ok(Loaded {
        app,
        backends,
        local,
        components,
        filters,
        upstreams,
        surroundings,
        buckets,
        dapr,
        channels,
        wanted,
    })
}

fn load_filters(
    surroundings: &Surroundings,
    app: &App,
    before: Option<&Loaded>,
) -> Result<HashMap<String, FilterPiece>, Fail> {
    let mut pieces = HashMap::new();
    for (name, spec) in &app.filters {
        let source = FileId::of(&spec.source);
        let configs = sampan_filters::configs(app, spec);
        let same = before.and_then(|before| before.filters.get(name).zip(before.app.filters.get(name)));
        let same = same.filter(|(piece, words)| {
            *words == spec && piece.source == source && source.is_some() && piece.configs == configs
        });
        if let Some((piece, _)) = same {
            pieces.insert(name.clone(), piece.clone());
        }
    }
    let loading = sampan_filters::load(surroundings, app, |name| !pieces.contains_key(name));
    let fresh = surroundings.machine.overflow.block_on(loading);
    for (name, filter) in fresh.map_err(|failures| refused("filter", app, failures))? {
        let spec = &app.filters[&name];
        let (source, configs) = (FileId::of(&spec.source), sampan_filters::configs(app, spec));
        pieces.insert(name, FilterPiece { filter, source, configs });
    }
    Ok(pieces)
}

fn files(component: &Component) -> Vec<Option<FileId>> {
    let dependencies = component.dependencies.iter().map(|dependency| &dependency.source);
    [&component.source].into_iter().chain(dependencies).map(|file| FileId::of(file)).collect()
}

/// What may be taken over of a component: the same words of the manifest, and the same files.
fn unchanged(
    before: &Loaded,
    words: &HashMap<&str, &Component>,
    component: &Component,
    files: &[Option<FileId>],
) -> Option<Piece> {
    let same = words.get(component.name.as_str()).is_some_and(|before| *before == component);
    // Copied files may have changed without the manifest's words.
    let piece = before.components.get(&component.name).filter(|_| same && component.assets.is_empty())?;
    (piece.files == files && files.iter().all(Option::is_some)).then(|| piece.clone())
}

/// What cannot be served, each with the place in the manifest where its code is named.
fn refused(what: &str, app: &App, failures: Vec<LoadFailure>) -> Fail {
    let outline = Outline::of(&std::fs::read_to_string(&app.manifest).unwrap_or_default());
    let places = if what == "filter" { &outline.filters } else { &outline.components };
    let diagnostic = |one: LoadFailure| Diagnostic {
        severity: Severity::Error,
        message: format!("app {}, {what} {}: {}", app.name, one.component, one.message),
        file: app.manifest.clone(),
        span: places.get(&one.component).cloned(),
        hidden: false,
        help: one.help,
    };
    let diagnostics: Vec<_> = failures.into_iter().map(diagnostic).collect();
    Fail::shown(manifest::rendered(&diagnostics))
}

/// The routes of all apps at one address. Apps that share it are told apart by their routes.
fn router(apps: &[Loaded], place: &Place) -> Result<Router, Fail> {
    let here: Vec<&Loaded> = place.apps.iter().map(|&index| &apps[index]).collect();
    let handlers: Vec<Handlers> = here
        .iter()
        .map(|loaded| {
            let pieces = loaded.components.iter();
            let components = pieces
                .map(|(name, piece)| (name.clone(), Arc::clone(&piece.handler) as Arc<dyn Handler>))
                .collect();
            let filters = loaded.filters.iter();
            let filters = filters.map(|(name, piece)| {
                (name.clone(), Arc::new(piece.filter.clone()) as Arc<dyn sampan_service::Filter>)
            });
            let upstreams = loaded.upstreams.iter();
            let upstreams = upstreams
                .map(|(name, piece)| (name.clone(), Arc::clone(&piece.upstream) as Arc<dyn Handler>));
            Handlers {
                components,
                filters: filters.collect(),
                upstreams: upstreams.collect(),
                counters: counters(loaded),
                buckets: Arc::clone(&loaded.buckets),
            }
        })
        .collect();
    let routes: Vec<AppRoutes<'_>> = here
        .iter()
        .zip(&handlers)
        .map(|(loaded, handlers)| AppRoutes { app: &loaded.app.name, routes: &loaded.app.routes, handlers })
        .collect();
    Router::of(&routes).map_err(|error| {
        let help = match here.len() {
            1 => "correct the route in the manifest",
            _ => "give the apps different hosts in their routes, or addresses of their own",
        };
        Fail::new(format!("on {}: {error}", place.listen.address)).help(help)
    })
}

/// The key-value stores of an app in which rate limits can count.
fn counters(loaded: &Loaded) -> HashMap<String, Arc<dyn Counters>> {
    let stores = loaded.backends.keyvalue.iter();
    stores
        .map(|(name, slot)| (name.clone(), Arc::new(InStore(Arc::clone(slot))) as Arc<dyn Counters>))
        .collect()
}

/// The TCP routes of all apps.
fn tcp(apps: &[Loaded]) -> Result<Vec<(TcpPlace, Arc<TcpProxy>)>, Fail> {
    let mut places = listeners::tcp_places(apps.iter().map(|loaded| &loaded.app)).into_iter();
    let mut all = Vec::new();
    for loaded in apps {
        let upstreams = loaded.upstreams.iter();
        let upstreams = upstreams.map(|(name, piece)| (name.clone(), Arc::clone(&piece.upstream))).collect();
        let filters = loaded.filters.iter();
        let filters = filters
            .map(|(name, piece)| (name.clone(), Arc::new(piece.filter.clone()) as Arc<dyn TcpFilter>))
            .collect();
        let handlers = TcpHandlers { upstreams, filters };
        for (route, place) in loaded.app.tcp.iter().zip(&mut places) {
            let proxy = TcpProxy::new(&loaded.app.name, route, &handlers).map_err(|what| {
                Fail::new(format!("app {}, TCP route {}: {what}", loaded.app.name, route.listen.address))
                    .help("correct [[tcp]] in the manifest")
            })?;
            all.push((place, Arc::new(proxy)));
        }
    }
    Ok(all)
}
