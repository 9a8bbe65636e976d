//! `sampan ps`.

use super::folder;
use super::table::{cut, table};
use crate::fail::{Fail, print_stdout};
use chrono::Utc;
use sampan_containers::{Config, Container, Port, State, Status, text};
use serde_json::json;
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Args {
    /// Show those that have ended too
    #[arg(short, long)]
    all: bool,

    /// Only ids
    #[arg(short, long)]
    quiet: bool,

    /// The newest one, in any state
    #[arg(short, long)]
    latest: bool,

    /// Only what fits: name=…, id=…, status=…, ancestor=IMAGE, label=KEY[=VALUE]
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,

    /// Do not cut ids and commands
    #[arg(long)]
    no_trunc: bool,

    /// Print JSON, an object a line
    #[arg(long)]
    json: bool,
}

struct Row {
    container: Container,
    config: Config,
    state: State,
}

pub fn run(args: &Args) -> Result<ExitCode, Fail> {
    let wanted = args.filter.iter().map(|text| parse(text)).collect::<Result<Vec<_>, _>>()?;
    let names_state = args.filter.iter().any(|text| text.starts_with("status="));
    let mut rows = Vec::new();
    for container in folder()?.list()? {
        // One that is removed meanwhile is not listed.
        let (Ok(config), Ok(state)) = (container.config(), container.state()) else { continue };
        let shown = args.all || args.latest || names_state || state.status.is_live();
        let row = Row { container, config, state };
        if shown && wanted.iter().all(|(key, value)| row.fits(key, value)) {
            rows.push(row);
        }
        if args.latest && rows.len() == 1 {
            break;
        }
    }
    if args.quiet {
        let ids = rows.iter().map(|row| format!("{}\n", row.id(args.no_trunc)));
        return print_stdout(&ids.collect::<String>());
    }
    if args.json {
        return print_stdout(&rows.iter().map(|row| format!("{}\n", row.json())).collect::<String>());
    }
    let now = Utc::now();
    let cells: Vec<_> = rows.iter().map(|row| row.cells(now, args.no_trunc)).collect();
    print_stdout(&table(&["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"], &cells))
}

const FILTERS: [&str; 5] = ["name", "id", "status", "ancestor", "label"];

fn parse(text: &str) -> Result<(String, String), Fail> {
    let known = text.split_once('=').filter(|(key, _)| FILTERS.contains(key));
    let (key, value) = known.ok_or_else(|| {
        Fail::new(format!("`{text}` is no filter"))
            .help(format!("write KEY=VALUE with one of {}", FILTERS.join(", ")))
    })?;
    Ok((key.to_owned(), value.to_owned()))
}

impl Row {
    fn fits(&self, key: &str, value: &str) -> bool {
        match key {
            "name" => self.config.name.contains(value),
            "id" => self.container.id.starts_with(value),
            "status" => self.state.status.name() == value,
            "ancestor" => self.config.image == value || self.config.image_id.contains(value),
            _ => match value.split_once('=') {
                Some((key, value)) => self.config.labels.get(key).is_some_and(|found| found == value),
                None => self.config.labels.contains_key(value),
            },
        }
    }

    fn id(&self, whole: bool) -> &str {
        if whole { &self.container.id } else { self.container.short_id() }
    }

    fn command(&self) -> String {
        let parts = self.config.entrypoint.iter().chain(&self.config.command);
        parts.map(String::as_str).collect::<Vec<_>>().join(" ")
    }

    fn cells(&self, now: chrono::DateTime<Utc>, whole: bool) -> Vec<String> {
        let created = self.state.created_at.map_or_else(String::new, |time| {
            format!("{} ago", text::duration((now - time).to_std().unwrap_or_default()))
        });
        let command = if whole { self.command() } else { cut(&self.command(), 20) };
        vec![
            self.id(whole).to_owned(),
            self.config.image.clone(),
            format!("\"{command}\""),
            created,
            self.state.text(now),
            ports(&self.state, &self.config),
            self.config.name.clone(),
        ]
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "ID": self.container.id,
            "Image": self.config.image,
            "Command": self.command(),
            "CreatedAt": self.state.created_at,
            "State": self.state.status.name(),
            "Status": self.state.text(Utc::now()),
            "ExitCode": self.state.exit_code,
            "Ports": ports(&self.state, &self.config),
            "Names": self.config.name,
            "Labels": self.config.labels,
        })
    }
}

/// `127.0.0.1:8083->8080/tcp, 9000/tcp`.
fn ports(state: &State, config: &Config) -> String {
    let live = if state.status.is_live() { state.ports.as_slice() } else { &[] };
    let mut all: Vec<String> = live.iter().map(port).collect();
    if state.status == Status::Running {
        let published = |text: &str| live.iter().any(|port| port.guest() == text);
        all.extend(config.exposed.iter().filter(|text| !published(text)).cloned());
    }
    all.join(", ")
}

pub fn port(port: &Port) -> String {
    let host = std::net::SocketAddr::from((port.host_address, port.host_port));
    format!("{host}->{}", port.guest())
}
