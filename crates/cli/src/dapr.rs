//! An app's Dapr, the same for `up` and `run`: planned before its stores are opened, made when its components exist,
//! started when they can be reached.

use crate::fail::Fail;
use crate::manifest;
use sampan_app::dapr::{
    AppProtocol, Dapr as Settings, DaprComponent, DaprConfiguration, Resources, in_scope, load,
};
use sampan_app::{
    App, Broker, Grants, HostPattern, Origin, PortPattern, Program, ScheduleTrigger, TopicTrigger,
};
use sampan_capabilities::bindings::Schedule;
use sampan_capabilities::http::{DAPR_PORTS, Door, Local};
use sampan_capabilities::{Backends, Explain};
use sampan_dapr::app::{App as Behind, Place, Protocol};
use sampan_dapr::plan::{Plan, plan};
use sampan_dapr::{
    Components, Dapr, Destination, Face, Offer, Peers, Policies, Rule, Scheduled, Setup, Subscription,
};
use sampan_service::Handler;
use signal_hook::consts::SIGTERM;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::{Builder, Handle, Runtime};

/// One app's Dapr, with what its guests and its ports ask.
pub struct Piece {
    pub dapr: Arc<Dapr>,
    pub face: Arc<dyn Handler>,
    declared: Declared,
    ports: Vec<u16>,
}

/// Subscriptions of files and of the manifest, and its schedules, until they are started.
type Declared = Mutex<(Vec<Subscription>, Vec<Scheduled>)>;

/// Whether an app needs any of this.
fn wanted(app: &App) -> bool {
    app.dapr.is_some() || !app.topic_triggers.is_empty() || !app.schedule_triggers.is_empty()
}

/// Reads what the component files mean, and adds their stores and brokers to the app's own; tells guests that may
/// ask Dapr where it is.
pub fn prepare(drivers: &Handle, app: &mut App) -> Result<Option<Plan>, Fail> {
    if !wanted(app) {
        return Ok(None);
    }
    let settings = app.dapr.clone().unwrap_or_default();
    let id = app_id(app, &settings);
    let planned = drivers.block_on(plan(app, &id, &settings.resources));
    let plan = planned.map_err(|error| Fail {
        help: error.help.clone(),
        ..Fail::new(format!("{}:{}: {error}", error.file.display(), error.line))
    })?;
    for left_out in &plan.left_out {
        eprintln!("warning: {}:{}: {left_out}: left out", left_out.file.display(), left_out.line);
    }
    let ports = ports(&settings);
    for component in &mut app.components {
        tell(&mut component.grants, &ports, &id);
    }
    Ok(Some(plan))
}

/// The variables by which clients of Dapr find it, where the manifest does not set them itself.
pub fn tell(grants: &mut Grants, ports: &[u16], app_id: &str) {
    if grants.dapr.is_empty() {
        return;
    }
    let variables = [
        ("DAPR_HTTP_PORT", ports[0].to_string()),
        ("DAPR_GRPC_PORT", ports[1].to_string()),
        ("APP_ID", app_id.to_owned()),
    ];
    for (name, value) in variables {
        if !grants.env.iter().any(|(one, _)| one == name) {
            grants.env.push((name.to_owned(), value));
        }
    }
}

fn app_id(app: &App, settings: &Settings) -> String {
    if settings.app_id.is_empty() { app.name.clone() } else { settings.app_id.clone() }
}

/// HTTP's and gRPC's: those that are served, or those that a client tries by itself.
pub fn ports(settings: &Settings) -> Vec<u16> {
    let port = |address: Option<std::net::SocketAddr>, default| address.map_or(default, |one| one.port());
    vec![port(settings.http, DAPR_PORTS[0]), port(settings.grpc, DAPR_PORTS[1])]
}

/// Where things run, and who there is.
pub struct Surroundings<'a> {
    pub drivers: &'a Handle,
    /// Where events are handled.
    pub guests: &'a Handle,
    pub backends: &'a Backends,
    /// The app that Dapr calls.
    pub place: Place,
    /// The app's components.
    pub local: &'a Arc<Local>,
    pub peers: &'a Arc<Peers>,
    /// The app's version before this one.
    pub before: Option<&'a Dapr>,
}

/// Makes an app's Dapr of a plan.
pub fn make(app: &App, plan: Plan, around: Surroundings<'_>) -> Result<Piece, Fail> {
    let settings = app.dapr.clone().unwrap_or_default();
    let id = app_id(app, &settings);
    let wrong = |what: String, help: Option<String>| Fail { help, ..Fail::new(format!("app {id}: {what}")) };
    let scopes: Vec<_> =
        settings.resources.configurations.iter().flat_map(|one| one.secrets.clone()).collect();
    let opening = Components::open(
        app,
        &id,
        plan,
        &scopes,
        around.backends,
        around.before.map(|before| &before.components),
    );
    let components = around.drivers.block_on(opening);
    let components = components.map_err(|error| wrong(error.what, error.help))?;
    let declared = declared(app, &id, &settings.resources).map_err(|what| wrong(what, None))?;
    let scheduled = app.schedule_triggers.iter().map(scheduled).collect::<Result<Vec<_>, _>>();
    let scheduled = scheduled.map_err(|what| wrong(what, None))?;
    let endpoints: Vec<_> =
        settings.resources.endpoints.iter().filter(|one| in_scope(&one.scopes, &id)).cloned().collect();
    let body_bytes_max = usize::try_from(settings.max_body_bytes).unwrap_or(usize::MAX);
    let policies = Policies::new(&settings.resources.resiliency, &id, &components);
    let policies = policies.map_err(|error| wrong(error.to_string(), None))?;
    let setup = Setup {
        app_id: id.clone(),
        token: settings.api_token.clone(),
        body_bytes_max,
        components,
        app: behind(&settings, around.place, around.local, body_bytes_max),
        peers: Arc::clone(around.peers),
        policies,
        access: settings
            .resources
            .configurations
            .iter()
            .find_map(|one: &DaprConfiguration| one.access.clone()),
        offer: Offer::new(&settings.resources.configurations),
        // The operator's own files name these hosts; calls go nowhere else through this door.
        door: Door::new(&anywhere(), &Explain::default()),
        endpoints,
        runtime: around.guests.clone(),
        note: Arc::new(|what| eprintln!("warning: {what}")),
        on_shutdown: Box::new(|| {
            // The same way as every other end of the process.
            let _ = signal_hook::low_level::raise(SIGTERM);
        }),
        watches: around.before.map(|before| Arc::clone(&before.watches)).unwrap_or_default(),
    };
    let dapr = Dapr::new(setup);
    let face: Arc<dyn Handler> = Arc::new(Face(Arc::clone(&dapr)));
    Ok(Piece { dapr, face, declared: Declared::new((declared, scheduled)), ports: ports(&settings) })
}

fn anywhere() -> Vec<Origin> {
    let any = |host| Origin { scheme: None, host, port: PortPattern::Any };
    let networks = ["0.0.0.0/0", "::/0"].into_iter().filter_map(|network| network.parse().ok());
    networks.map(HostPattern::Network).chain([HostPattern::Any]).map(any).collect()
}

/// How the app that Dapr calls is called.
fn behind(settings: &Settings, place: Place, local: &Arc<Local>, body_bytes_max: usize) -> Behind {
    let protocol = match settings.app.as_ref().map(|channel| channel.protocol) {
        None | Some(AppProtocol::Http) => Protocol::Http,
        Some(AppProtocol::Grpc) => Protocol::Grpc,
    };
    let components = Arc::clone(local);
    Behind { place, components, protocol, token: settings.app_token.clone(), body_bytes_max }
}

fn declared(app: &App, id: &str, resources: &Resources) -> Result<Vec<Subscription>, String> {
    let mut all = Vec::new();
    for one in resources.subscriptions.iter().filter(|one| in_scope(&one.scopes, id)) {
        let subscription = Subscription::declared(one);
        all.push(subscription.map_err(|error| format!("subscription {}: {error}", one.name))?);
    }
    for trigger in &app.topic_triggers {
        all.extend(of_trigger(trigger)?);
    }
    Ok(all)
}

/// `[[trigger.topic]]`; a plain channel of Redis is not a broker's.
fn of_trigger(trigger: &TopicTrigger) -> Result<Option<Subscription>, String> {
    let Broker::Named(broker) = &trigger.broker else { return Ok(None) };
    let rules = trigger.rules.iter().map(|rule| Rule::new(&rule.expression, &rule.path));
    let destination = Destination::Component(trigger.component.clone());
    Ok(Some(Subscription {
        rules: rules.collect::<Result<_, _>>()?,
        dead_letter_topic: trigger.dead_letter.clone(),
        retries_max: trigger.retries,
        ..Subscription::plain(broker, &trigger.topic, &trigger.path, destination)
    }))
}

fn scheduled(trigger: &ScheduleTrigger) -> Result<Scheduled, String> {
    let ScheduleTrigger { name, cron, component, path } = trigger.clone();
    let schedule = Schedule::parse(&cron).map_err(|error| format!("schedule {name}: {error}"))?;
    Ok(Scheduled { name, schedule, component, path })
}

impl Piece {
    /// Lets guests and other apps find it.
    pub fn link(&self, local: &Local, peers: &Peers) {
        local.set_dapr(&self.ports, &self.face);
        peers.set(&self.dapr);
    }

    /// Starts what the app subscribes to; the second time there is nothing to start.
    pub fn start(&self) {
        let mut declared = self.declared.lock().unwrap_or_else(PoisonError::into_inner);
        let (declared, scheduled) = std::mem::take(&mut *declared);
        sampan_dapr::start(&self.dapr, declared, scheduled);
    }
}

/// Dapr's API beside a program that is run: everything of it is the program's.
pub struct Beside {
    local: Arc<Local>,
    // Dropped last: drivers run here.
    _piece: Piece,
    _runtime: Runtime,
}

/// Components without a folder: nothing lasts, and nothing need be installed.
const IN_MEMORY: [(&str, &str); 2] = [("statestore", "state.in-memory"), ("pubsub", "pubsub.in-memory")];

impl Beside {
    /// Opens the components of the folder, or of `~/.dapr/components`, or memory.
    pub fn open(folder: Option<&Path>, program: &mut Program) -> Result<Self, Fail> {
        let cannot = |error: std::io::Error| Fail::new(format!("cannot start: {error}"));
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().map_err(cannot)?;
        let drivers = runtime.handle();
        let resources = match folder.map(Path::to_owned).or_else(of_dapr_init) {
            Some(folder) => load(&folder).map_err(|errors| Fail::shown(manifest::rendered(&errors)))?,
            None => in_memory(),
        };
        manifest::print(&resources.warnings);
        let name = program.args.first().map_or("app", |name| name.trim_end_matches(".wasm")).to_owned();
        let settings = Settings { resources, app_id: name.clone(), ..Settings::default() };
        let ports = ports(&settings);
        let mut app = App { name: name.clone(), dapr: Some(settings), ..App::default() };
        let plan = prepare(drivers, &mut app)?.unwrap_or_default();
        let backends = drivers.block_on(Backends::open(&app));
        let backends = backends.map_err(|error| Fail { help: error.help, ..Fail::new(error.what) })?;
        let (local, peers) = (Arc::<Local>::default(), Arc::<Peers>::default());
        let around = Surroundings {
            drivers,
            guests: drivers,
            backends: &backends,
            place: Place::Nowhere,
            local: &local,
            peers: &peers,
            before: None,
        };
        let piece = make(&app, plan, around)?;
        piece.link(&local, &peers);
        program.grants.dapr = vec!["*".to_owned()];
        tell(&mut program.grants, &ports, &name);
        Ok(Beside { local, _piece: piece, _runtime: runtime })
    }

    pub fn local(&self) -> Arc<Local> {
        Arc::clone(&self.local)
    }
}

/// Where `dapr init` puts components (<https://docs.dapr.io/getting-started/install-dapr-selfhost/>).
fn of_dapr_init() -> Option<PathBuf> {
    let folder = Path::new(&std::env::var_os("HOME")?).join(".dapr/components");
    folder.is_dir().then_some(folder)
}

fn in_memory() -> Resources {
    let component = |(name, kind): (&str, &str)| DaprComponent {
        name: name.to_owned(),
        kind: kind.to_owned(),
        version: "v1".to_owned(),
        ignore_errors: false,
        init_timeout: Duration::from_secs(5),
        metadata: Vec::new(),
        scopes: Vec::new(),
        secret_store: None,
        file: PathBuf::new(),
        line: 1,
    };
    Resources { components: IN_MEMORY.map(component).into(), ..Resources::default() }
}
