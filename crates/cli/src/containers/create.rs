//! `sampan create`, and `sampan run` of an image or with `-d`.

use super::attach::{How, Left, exit_code, join};
use super::verbs::{restart_policy, signal};
use super::{folder, image};
use crate::fail::{Fail, print_stdout};
use crate::images;
use crate::run::Args;
use sampan_app::{Grants, Mount as Given, NetRule, Protocol, parse_duration, parse_size};
use sampan_containers::{
    Config, Container, Containers, Files, Grants as Texts, Mount, Port, Restart, Source, Streams, signal_name,
};
use sampan_runtime::exit_code as code;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// What only containers have.
#[derive(clap::Args)]
#[command(next_help_heading = "Containers (an image, or -d)")]
pub struct ContainerArgs {
    /// Run in the background, and print the container's id
    #[arg(short, long)]
    detach: bool,

    /// Its name [default: made up]
    #[arg(long)]
    name: Option<String>,

    /// Its host name [default: its id]
    #[arg(long)]
    hostname: Option<String>,

    /// Run this file of the image, instead of the image's entrypoint
    #[arg(long, value_name = "FILE")]
    entrypoint: Option<String>,

    /// Start it again when it ends: no, on-failure[:MOST], always, unless-stopped
    #[arg(long, value_parser = restart_policy, value_name = "POLICY")]
    restart: Option<Restart>,

    /// Say something of it: KEY=VALUE
    #[arg(short, long, value_name = "KEY=VALUE")]
    label: Vec<String>,

    /// Publish each port that the image exposes, at a port of this machine that is free
    #[arg(short = 'P', long)]
    publish_all: bool,

    /// A folder that is empty at each start
    #[arg(long, value_name = "GUEST")]
    tmpfs: Vec<String>,

    /// Processors that it may use, such as 0.5
    #[arg(long, value_name = "COUNT", value_parser = cpus)]
    cpus: Option<u64>,

    /// The signal that asks it to end [default: the image's, else SIGTERM]
    #[arg(long, value_parser = signal, value_name = "SIGNAL")]
    stop_signal: Option<i32>,

    /// How long it may take to end before it is killed [default: 10s]
    #[arg(long, value_parser = parse_duration, value_name = "TIME")]
    stop_timeout: Option<Duration>,

    /// How its log is kept: max-size=10m, max-file=3
    #[arg(long, value_name = "KEY=VALUE")]
    log_opt: Vec<String>,

    /// For which platform an image is pulled [default: wasi/wasm]
    #[arg(long, value_name = "OS/ARCHITECTURE")]
    platform: Option<String>,

    /// When the image is pulled: missing, always, never
    #[arg(long, default_value = "missing", value_parser = ["missing", "always", "never"], value_name = "WHEN")]
    pull: String,
}

/// `0.5` as thousandths.
fn cpus(text: &str) -> Result<u64, String> {
    let count: f64 = text.parse().map_err(|_| "write a number of processors, such as 0.5".to_owned())?;
    let millis = (count * 1000.0).round();
    if (1.0..=1e9).contains(&millis) {
        Ok(millis as u64)
    } else {
        Err("it must be at least 0.001".to_owned())
    }
}

/// Whether `run` means a container: an image, or a file in the background or with a name.
pub fn is_for_container(args: &Args) -> bool {
    let named = &args.container;
    let asked = named.detach
        || named.name.is_some()
        || named.restart.is_some()
        || named.entrypoint.is_some()
        || named.publish_all
        || named.cpus.is_some();
    asked || is_image(args.source())
}

/// What is no file, and is not written as one.
fn is_image(source: &Path) -> bool {
    let Some(text) = source.to_str() else { return false };
    let is_path = text == "-"
        || text.starts_with(['.', '/'])
        || source.extension().is_some_and(|end| end == "wasm" || end == "wat")
        || source.exists();
    !is_path && text.parse::<sampan_images::Reference>().is_ok()
}

/// `sampan run` of a container: made, started, and joined.
pub fn run(args: Args) -> Result<ExitCode, Fail> {
    let at_start = |fail: Fail| if fail.code == code::ERROR { fail.code(code::CANNOT_START) } else { fail };
    let containers = folder().map_err(at_start)?;
    let container = made(&containers, &args).map_err(at_start)?;
    let config = container.config()?;
    if args.container.detach {
        container.start().map_err(|error| at_start(error.into()))?;
        return print_stdout(&format!("{}\n", container.id));
    }
    let attached = container
        .attach(Streams { stdin: config.open_stdin, stdout: true, stderr: true })
        .map_err(|error| at_start(error.into()))?;
    container.start().map_err(|error| at_start(error.into()))?;
    let how = How { stdin: config.open_stdin, tty: config.tty, exec: None, pass_signals: true };
    let left = join(&container, &attached, &how)?;
    if config.auto_remove && matches!(left, Left::Ended(_)) {
        container.wait_for_supervisor()?;
    }
    Ok(exit_code(left))
}

/// `sampan create`.
pub fn create(args: &Args) -> Result<ExitCode, Fail> {
    let container = made(&folder()?, args)?;
    print_stdout(&format!("{}\n", container.id))
}

fn made(containers: &Containers, args: &Args) -> Result<Container, Fail> {
    let mut config = config(args)?;
    let is_limited = config.memory_bytes.is_some() || config.cpu_millis.is_some();
    if let Some(why) = sampan_containers::limits_unavailable().filter(|_| is_limited) {
        eprintln!("warning: the kernel cannot keep the limits ({why}); the engine keeps that of memory");
    }
    if !is_image(args.source()) {
        let file = args.source();
        let name = file.file_name().map(|name| format!("/{}", name.to_string_lossy()));
        let name = name.filter(|_| file.is_file()).ok_or_else(|| {
            Fail::new(format!("there is no file {}", file.display()))
                .help("name a wasm file, or an image")
                .code(code::NOT_FOUND)
        })?;
        config.entrypoint = vec![name];
        return Ok(containers.create(config, Files::Program(file))?);
    }
    let named = &args.container;
    let name = args.source().to_string_lossy().into_owned();
    let found = image::get(&name, image::When::of(&named.pull), named.platform.as_deref())?;
    config.image = name;
    config.image_id = found.image.id.to_string();
    config.complete(&found.image.config);
    if named.publish_all {
        config.publish_exposed();
    }
    // It may have been removed since it was found.
    let (rootfs, _held) = images::store()?.held(&found.image).map_err(images::failed)?;
    Ok(containers.create(config, Files::Image(&rootfs))?)
}

/// The flags as a container's configuration.
fn config(args: &Args) -> Result<Config, Fail> {
    let named = &args.container;
    let grants = args.grants.resolve()?;
    let (log_max_bytes, log_files) = log_options(&named.log_opt)?;
    let labels = named.label.iter().map(|label| match label.split_once('=') {
        Some((key, value)) => (key.to_owned(), value.to_owned()),
        None => (label.clone(), String::new()),
    });
    let temporary = named.tmpfs.iter().map(|target| {
        let target = target.split(':').next().unwrap_or_default().to_owned();
        Mount { source: Source::Temporary, target, read_only: false }
    });
    Ok(Config {
        name: named.name.clone().unwrap_or_default(),
        entrypoint: named.entrypoint.iter().cloned().collect(),
        command: args.rest()?,
        env: grants.env.iter().map(|(name, value)| format!("{name}={value}")).collect(),
        workdir: args.options.workdir.clone().unwrap_or_default(),
        hostname: named.hostname.clone().unwrap_or_default(),
        labels: labels.collect(),
        ports: ports(&grants),
        mounts: grants.mounts.iter().map(mount).chain(temporary.map(Ok)).collect::<Result<_, _>>()?,
        read_only: args.grants.read_only,
        tty: args.options.tty,
        open_stdin: args.options.interactive,
        stdin_once: args.options.interactive,
        restart: named.restart.unwrap_or_default(),
        auto_remove: args.options.rm,
        stop_signal: named.stop_signal.map(signal_name).unwrap_or_default(),
        stop_timeout_ms: named.stop_timeout.map(millis),
        memory_bytes: args.limits.memory,
        cpu_millis: named.cpus,
        log_max_bytes,
        log_files,
        grants: texts(args),
        timeout_ms: args.limits.timeout.map(millis),
        fuel: args.limits.fuel,
        ..Config::default()
    })
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn texts(args: &Args) -> Texts {
    let rules = |list: &[NetRule]| list.iter().map(ToString::to_string).collect();
    Texts {
        tcp: rules(&args.grants.tcp),
        udp: rules(&args.grants.udp),
        http: args.grants.http.iter().map(ToString::to_string).collect(),
    }
}

fn ports(grants: &Grants) -> Vec<Port> {
    let one = |port: &sampan_app::PortMap| Port {
        host_address: port.host_address,
        host_port: port.host_port,
        guest_port: port.guest_port,
        udp: port.protocol == Protocol::Udp,
    };
    grants.ports.iter().map(one).collect()
}

/// `NAME:GUEST` is a volume, as Docker has it; what has a slash or a dot in front is a path.
fn mount(given: &Given) -> Result<Mount, Fail> {
    let text = given.host.to_string_lossy();
    let source = if text.starts_with(['/', '.', '~']) {
        Source::Bind(absolute(&given.host)?)
    } else {
        Source::Volume(text.into_owned())
    };
    Ok(Mount { source, target: given.guest.clone(), read_only: given.read_only })
}

fn absolute(path: &Path) -> Result<PathBuf, Fail> {
    std::path::absolute(path).map_err(|error| Fail::new(format!("{}: {error}", path.display())))
}

fn log_options(options: &[String]) -> Result<(Option<u64>, Option<u32>), Fail> {
    let (mut bytes, mut files) = (None, None);
    for option in options {
        let wrong = || {
            Fail::new(format!("`{option}` says nothing of logs"))
                .help("write max-size=10m or max-file=3")
                .code(code::CANNOT_START)
        };
        match option.split_once('=').ok_or_else(wrong)? {
            ("max-size", size) => bytes = Some(parse_size(size).map_err(|_| wrong())?),
            ("max-file", count) => {
                files = Some(count.parse().ok().filter(|count| *count > 0).ok_or_else(wrong)?)
            }
            _ => return Err(wrong()),
        }
    }
    Ok((bytes, files))
}
