//! `sampan up`: apps from their manifests, served until a signal.

mod announce;
mod assets;
mod compose;
mod control;
mod counters;
mod filter_admin;
mod front;
mod images;
mod listeners;
mod packed;
mod site;
mod upstreams;
mod wasm_admin;

use crate::build::build_all;
use crate::fail::Fail;
use crate::manifest;
use sampan_app::{App, Listen, parse_duration, parse_size};
use sampan_engine::cache::Cache;
use sampan_runtime::Counters;
use sampan_runtime::serve::{Machine, Plan, Setup};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Serve apps from their manifests (sampan.toml or spin.toml)
#[derive(clap::Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Apps from images, instead of manifests here: what `sampan build -t` made of one
    #[arg(value_name = "IMAGE", conflicts_with_all = ["files", "watch", "build"])]
    images: Vec<String>,

    /// The manifest; more than one serves several apps in this process [default: the one in this folder]
    #[arg(short, long = "file", value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Listen here instead of where the manifests say; port 0 lets the system choose
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<SocketAddr>,

    /// Where metrics, health and reload are: an address, or `off` [default: the manifest's, else off]
    #[arg(long, value_name = "ADDRESS", value_parser = parse_admin)]
    admin: Option<Admin>,

    /// Build what changes in the apps' sources, and swap it in while requests go on
    #[arg(long)]
    watch: bool,

    /// Run the build commands of all components first
    #[arg(long)]
    build: bool,

    /// Read the apps' variables from a file too
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,

    /// What all instances of all apps may take together [default: three quarters of the machine's]
    #[arg(short, long, value_name = "SIZE", value_parser = parse_size)]
    memory: Option<u64>,

    /// Write a line of JSON for each request to a file, or to standard output: -
    #[arg(long, value_name = "FILE")]
    access_log: Option<PathBuf>,

    /// How long requests may go on after SIGTERM
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "30s")]
    drain: Duration,

    /// Refuse guests of WASI 0.3
    #[arg(long)]
    no_wasi_0_3: bool,
}

const AFTER_HELP: &str = "\
SIGTERM and Ctrl-C let requests end, then stop. SIGHUP loads the manifests anew: what changed is
compiled and proven first, then swapped in; if anything is wrong, the running version goes on.";

/// Who stops a container waits ten seconds before it kills.
const CONTAINER_DRAIN: Duration = Duration::from_secs(9);

/// `--admin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Admin {
    Off,
    At(SocketAddr),
}

fn parse_admin(text: &str) -> Result<Admin, String> {
    match text {
        "off" => Ok(Admin::Off),
        _ => text
            .parse()
            .map(Admin::At)
            .map_err(|_| "write ADDRESS:PORT, such as 127.0.0.1:9090, or off".into()),
    }
}

pub fn run(args: Args) -> Result<ExitCode, Fail> {
    // 1. What the manifests say.
    let files = if args.images.is_empty() { manifests(&args)? } else { packed::manifests(&args.images)? };
    let mut apps = read(&files, &args)?;
    if !args.images.is_empty() {
        packed::keep_apart(&mut apps)?;
    }
    if args.build || args.watch {
        build_all(apps.iter().flat_map(|app| &app.components))?;
    }

    serve(args, files, apps, None)
}

/// An app of a container: it listens where the container's ports are, and is never read anew.
pub fn serve_container(
    app: App,
    listen: Vec<SocketAddr>,
    memory: Option<u64>,
    counters: Option<Arc<Counters>>,
) -> Result<ExitCode, Fail> {
    let args = Args {
        images: Vec::new(),
        files: Vec::new(),
        listen,
        admin: None,
        watch: false,
        build: false,
        env_file: Vec::new(),
        memory,
        access_log: None,
        drain: CONTAINER_DRAIN,
        no_wasi_0_3: false,
    };
    serve(args, Vec::new(), vec![app], counters)
}

fn serve(
    args: Args,
    files: Vec<PathBuf>,
    mut apps: Vec<App>,
    counters: Option<Arc<Counters>>,
) -> Result<ExitCode, Fail> {
    // 2. Sockets first: that a port is taken shall be known before anything is compiled.
    let places = listeners::places(&apps, &args.listen);
    let listeners =
        places.iter().map(|place| listeners::open(&place.listen)).collect::<Result<Vec<_>, _>>()?;
    let tcp = listeners::open_tcp(listeners::tcp_places(&apps))?;
    let admin =
        admin(&args, &apps).map(|address| listeners::open(&Listen { address, tls: None })).transpose()?;

    // 3. Engines and pools, sized for these apps.
    let mut plan = Plan::of(&apps, args.memory);
    plan.wasi_0_3 = !args.no_wasi_0_3;
    let (cache, trusted) = (Cache::of_user(), crate::key::trusted());
    let setup = Setup { plan, cache, trusted, counters, ..Setup::default() };
    let machine = Machine::new(setup)?;
    if let Some(why) = &machine.engines.unpooled {
        warn(why);
    }

    // 4. Code from elsewhere, stores, routes: everything that a request needs, proven.
    let progress = announce::Loading::new();
    let resolved = images::resolve(&machine, &mut apps, &progress);
    progress.clear();
    resolved?;
    let site = site::build(&machine, apps, &places, None, &progress);
    progress.clear();
    let site = site?;

    // 5. Serve, until somebody says stop.
    let bound = places.into_iter().zip(listeners).collect();
    control::serve(control::Start { args, files, machine, site, bound, tcp, admin })
}

/// The manifests that were named, or the one in this folder.
fn manifests(args: &Args) -> Result<Vec<PathBuf>, Fail> {
    let named: Vec<Option<&Path>> = match args.files.len() {
        0 => vec![None],
        _ => args.files.iter().map(|file| Some(file.as_path())).collect(),
    };
    let found = named.into_iter().map(manifest::resolve).collect::<Result<Vec<_>, _>>();
    found.map_err(|finding| Fail { help: finding.help, ..Fail::new(finding.message) })
}

/// Reads all manifests; prints what is doubtful, and fails with everything that is wrong.
fn read(files: &[PathBuf], args: &Args) -> Result<Vec<App>, Fail> {
    let (mut apps, mut warnings, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    for file in files {
        match manifest::read(file, &args.env_file) {
            Ok((app, doubtful)) => {
                apps.push(app);
                warnings.extend(doubtful);
            }
            Err(wrong) => errors.extend(wrong),
        }
    }
    manifest::print(&warnings);
    if errors.is_empty() { Ok(apps) } else { Err(Fail::shown(manifest::rendered(&errors))) }
}

/// The command line's word counts, then the first manifest's that has one.
fn admin(args: &Args, apps: &[App]) -> Option<SocketAddr> {
    match args.admin {
        Some(Admin::Off) => None,
        Some(Admin::At(address)) => Some(address),
        None => apps.iter().find_map(|app| app.admin),
    }
}

fn warn(text: &str) {
    eprintln!("warning: {text}");
}
