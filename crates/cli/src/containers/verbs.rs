//! Verbs that do one thing with containers.

use super::folder;
use super::table::table;
use crate::fail::{Fail, print_stdout};
use sampan_app::parse_duration;
use sampan_containers::{Container, Containers, Error, Restart, Streams, signal_number};
use std::process::ExitCode;
use std::time::Duration;

#[derive(clap::Args)]
pub struct Names {
    /// Names or ids
    #[arg(required = true, value_name = "CONTAINER")]
    pub names: Vec<String>,
}

#[derive(clap::Args)]
pub struct StartArgs {
    #[command(flatten)]
    names: Names,

    /// Join the container's output
    #[arg(short, long)]
    attach: bool,

    /// Join its input too
    #[arg(short, long)]
    interactive: bool,
}

#[derive(clap::Args)]
pub struct StopArgs {
    #[command(flatten)]
    names: Names,

    /// How long to wait before killing [default: the container's, else 10s]
    #[arg(short, long, value_name = "TIME", value_parser = timeout)]
    time: Option<Duration>,

    /// The signal to send first [default: the image's, else SIGTERM]
    #[arg(short, long, value_parser = signal)]
    signal: Option<i32>,
}

#[derive(clap::Args)]
pub struct KillArgs {
    #[command(flatten)]
    names: Names,

    #[arg(short, long, value_parser = signal, default_value = "SIGKILL")]
    signal: i32,
}

#[derive(clap::Args)]
pub struct RmArgs {
    #[command(flatten)]
    names: Names,

    /// Kill those that run
    #[arg(short, long)]
    force: bool,

    /// Remove volumes that nobody named too
    #[arg(short, long)]
    volumes: bool,
}

#[derive(clap::Args)]
pub struct RenameArgs {
    container: String,
    name: String,
}

#[derive(clap::Args)]
pub struct UpdateArgs {
    #[command(flatten)]
    names: Names,

    /// no, on-failure[:MOST], always, unless-stopped
    #[arg(long, value_parser = restart_policy)]
    restart: Restart,
}

#[derive(clap::Args)]
pub struct PortArgs {
    container: String,

    /// Only this port of the guest, such as 8080/tcp
    port: Option<String>,
}

#[derive(clap::Args)]
pub struct TopArgs {
    container: String,
}

pub fn signal(text: &str) -> Result<i32, String> {
    signal_number(text).ok_or_else(|| "write the name or the number of a signal".to_owned())
}

fn timeout(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    parse_duration(text).map_err(|error| error.to_string())
}

pub fn restart_policy(text: &str) -> Result<Restart, String> {
    match text.split_once(':').map_or((text, None), |(word, most)| (word, Some(most))) {
        ("no", None) => Ok(Restart::No),
        ("always", None) => Ok(Restart::Always),
        ("unless-stopped", None) => Ok(Restart::UnlessStopped),
        ("on-failure", None) => Ok(Restart::OnFailure(0)),
        ("on-failure", Some(most)) => {
            most.parse().map(Restart::OnFailure).map_err(|_| format!("`{most}` is no number"))
        }
        _ => Err("write no, on-failure[:MOST], always or unless-stopped".to_owned()),
    }
}

/// Does the same with each, prints its name, and goes on with the next where one fails.
pub fn each(names: &[String], what: impl Fn(&Container) -> Result<(), Error>) -> Result<ExitCode, Fail> {
    each_of(&folder()?, names, |_, container| what(container))
}

fn each_of(
    containers: &Containers,
    names: &[String],
    what: impl Fn(&Containers, &Container) -> Result<(), Error>,
) -> Result<ExitCode, Fail> {
    let mut code = ExitCode::SUCCESS;
    for name in names {
        let done = containers.find(name).and_then(|container| what(containers, &container));
        match done {
            Ok(()) => drop(print_stdout(&format!("{name}\n"))?),
            Err(error) => code = Fail::from(error).print(),
        }
    }
    Ok(code)
}

pub fn start(args: &StartArgs) -> Result<ExitCode, Fail> {
    if !args.attach && !args.interactive {
        return each(&args.names.names, Container::start);
    }
    let [name] = args.names.names.as_slice() else {
        return Err(Fail::new("only one container can be attached to").help("name one, or leave -a out"));
    };
    let container = folder()?.find(name)?;
    let config = container.config()?;
    let stdin = args.interactive && config.open_stdin;
    let attached = container.attach(Streams { stdin, stdout: true, stderr: true })?;
    container.start()?;
    let how = super::attach::How { stdin, tty: config.tty, exec: None, pass_signals: true };
    super::attach::join(&container, &attached, &how).map(super::attach::exit_code)
}

fn timeout_ms(args: &StopArgs) -> Option<u64> {
    args.time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

pub fn stop(args: &StopArgs) -> Result<ExitCode, Fail> {
    each(&args.names.names, |container| container.stop(args.signal, timeout_ms(args)))
}

pub fn restart(args: &StopArgs) -> Result<ExitCode, Fail> {
    each(&args.names.names, |container| {
        container.stop(args.signal, timeout_ms(args))?;
        container.start()
    })
}

pub fn kill(args: &KillArgs) -> Result<ExitCode, Fail> {
    each(&args.names.names, |container| container.signal(args.signal))
}

pub fn wait(args: &Names) -> Result<ExitCode, Fail> {
    let containers = folder()?;
    for name in &args.names {
        let code = containers.find(name)?.wait()?;
        print_stdout(&format!("{code}\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub fn rm(args: &RmArgs) -> Result<ExitCode, Fail> {
    each_of(&folder()?, &args.names.names, |containers, container| {
        if args.force {
            containers.remove_by_force(container, args.volumes)
        } else {
            containers.remove(container, args.volumes)
        }
    })
}

pub fn rename(args: &RenameArgs) -> Result<ExitCode, Fail> {
    let containers = folder()?;
    containers.rename(&containers.find(&args.container)?, &args.name)?;
    Ok(ExitCode::SUCCESS)
}

pub fn update(args: &UpdateArgs) -> Result<ExitCode, Fail> {
    each(&args.names.names, |container| container.set_restart(args.restart))
}

pub fn port(args: &PortArgs) -> Result<ExitCode, Fail> {
    let state = folder()?.find(&args.container)?.state()?;
    let wanted =
        args.port.as_ref().map(|port| if port.contains('/') { port.clone() } else { format!("{port}/tcp") });
    let mut text = String::new();
    for port in &state.ports {
        let (guest, host) = (port.guest(), std::net::SocketAddr::from((port.host_address, port.host_port)));
        match &wanted {
            None => text += &format!("{guest} -> {host}\n"),
            Some(wanted) if *wanted == guest => text += &format!("{host}\n"),
            Some(_) => {}
        }
    }
    if text.is_empty() && wanted.is_some() {
        let what = format!("the port {} of {} is not published", wanted.unwrap_or_default(), args.container);
        return Err(Fail::new(what).help("`sampan run -p HOST:GUEST` publishes one"));
    }
    print_stdout(&text)
}

pub fn top(args: &TopArgs) -> Result<ExitCode, Fail> {
    let container = folder()?.find(&args.container)?;
    let rows: Vec<_> = container
        .processes()?
        .into_iter()
        .map(|one| vec![one.pid.to_string(), one.parent.to_string(), one.cpu_time, one.command])
        .collect();
    print_stdout(&table(&["PID", "PPID", "TIME", "CMD"], &rows))
}
