//! The verbs for containers: one file for each, or for a few that are alike.

mod attach;
mod cp;
mod create;
mod events;
mod exec;
pub mod image;
mod inspect;
mod list;
mod logs;
mod stats;
pub mod table;
mod verbs;
mod volume;

pub use create::{ContainerArgs, create, is_for_container, run};
pub use inspect::described;

use crate::fail::Fail;
use clap::Subcommand;
use sampan_containers::{Container, Containers, Error};
use std::process::ExitCode;

#[derive(Subcommand)]
pub enum Verb {
    /// List containers
    Ps(list::Args),
    /// Start containers that do not run
    Start(verbs::StartArgs),
    /// Ask containers to end, and kill those that do not
    Stop(verbs::StopArgs),
    /// Stop containers and start them again
    Restart(verbs::StopArgs),
    /// Send containers a signal
    Kill(verbs::KillArgs),
    /// Hold containers where they are
    Pause(verbs::Names),
    /// Let paused containers go on
    Unpause(verbs::Names),
    /// Wait until containers end, and print their exit codes
    Wait(verbs::Names),
    /// Remove containers
    Rm(verbs::RmArgs),
    /// Give a container another name
    Rename(verbs::RenameArgs),
    /// Change when containers are restarted
    Update(verbs::UpdateArgs),
    /// Show where a container's ports are
    Port(verbs::PortArgs),
    /// Show what a container wrote
    Logs(logs::Args),
    /// Join a running container's input and output
    Attach(attach::Args),
    /// Run another program of a container's image beside the first
    Exec(exec::Args),
    /// Show what containers use, live
    Stats(stats::Args),
    /// Show the processes of a container
    Top(verbs::TopArgs),
    /// Copy files into a container or out of it
    Cp(cp::Args),
    /// Show what happens to containers
    Events(events::Args),
    /// Named volumes: create, list, inspect, remove
    #[command(subcommand)]
    Volume(volume::Verb),
}

pub fn dispatch(verb: Verb) -> Result<ExitCode, Fail> {
    match verb {
        Verb::Ps(args) => list::run(&args),
        Verb::Start(args) => verbs::start(&args),
        Verb::Stop(args) => verbs::stop(&args),
        Verb::Restart(args) => verbs::restart(&args),
        Verb::Kill(args) => verbs::kill(&args),
        Verb::Pause(args) => verbs::each(&args.names, Container::pause),
        Verb::Unpause(args) => verbs::each(&args.names, Container::resume),
        Verb::Wait(args) => verbs::wait(&args),
        Verb::Rm(args) => verbs::rm(&args),
        Verb::Rename(args) => verbs::rename(&args),
        Verb::Update(args) => verbs::update(&args),
        Verb::Port(args) => verbs::port(&args),
        Verb::Top(args) => verbs::top(&args),
        Verb::Logs(args) => logs::run(&args),
        Verb::Attach(args) => attach::run(&args),
        Verb::Exec(args) => exec::run(args),
        Verb::Stats(args) => stats::run(&args),
        Verb::Cp(args) => cp::run(&args),
        Verb::Events(args) => events::run(&args),
        Verb::Volume(verb) => volume::run(verb),
    }
}

/// All containers of this user.
pub fn folder() -> Result<Containers, Fail> {
    let data = sampan_images::data_dir().ok_or_else(|| {
        Fail::new("there is no place for containers: neither SAMPAN_DATA_DIR nor HOME is set")
            .help("set SAMPAN_DATA_DIR to a folder of yours")
    })?;
    Ok(Containers::at(&data)?)
}

impl From<Error> for Fail {
    fn from(error: Error) -> Self {
        Fail::new(error.to_string()).help(error.help())
    }
}

/// When something was, or will be: RFC 3339, seconds since 1970, or a duration back from now.
fn time(text: &str) -> Result<chrono::DateTime<chrono::Utc>, String> {
    if let Ok(time) = chrono::DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    if let Ok(seconds) = text.parse::<f64>() {
        let nanoseconds = (seconds.fract() * 1e9) as u32;
        return chrono::DateTime::from_timestamp(seconds as i64, nanoseconds)
            .ok_or("it is too far away".into());
    }
    let back = sampan_app::parse_duration(text)
        .map_err(|_| "write a time such as 2026-01-02T13:23:37Z, seconds since 1970, or 10m".to_owned())?;
    Ok(chrono::Utc::now() - back)
}
