//! `sampan stats`.

use super::folder;
use super::table::table;
use crate::fail::{Fail, print_stdout};
use sampan_containers::{Container, Sample, text};
use serde_json::json;
use std::collections::HashMap;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);
const HEAD: [&str; 10] = [
    "CONTAINER ID",
    "NAME",
    "CPU %",
    "MEM USAGE / LIMIT",
    "MEM %",
    "GUEST MEM",
    "NET I/O",
    "READ / WRITTEN",
    "HOST CALLS/S",
    "PIDS",
];

#[derive(clap::Args)]
pub struct Args {
    /// Those to show [default: all that run]
    containers: Vec<String>,

    /// Show those that do not run too
    #[arg(short, long)]
    all: bool,

    /// Once, instead of live
    #[arg(long)]
    no_stream: bool,

    /// Print JSON, an object a line
    #[arg(long)]
    json: bool,
}

/// A container at two moments.
struct Row {
    container: Container,
    name: String,
    limit_bytes: u64,
    before: Option<Sample>,
    now: Option<Sample>,
}

pub fn run(args: &Args) -> Result<ExitCode, Fail> {
    let mut before: HashMap<String, Sample> = HashMap::new();
    let machine = machine_memory_bytes();
    let live = !args.no_stream;
    loop {
        let chosen = chosen(args)?;
        if before.is_empty() {
            for container in &chosen {
                if let Ok(Some(sample)) = container.sample() {
                    before.insert(container.id.clone(), sample);
                }
            }
            std::thread::sleep(EVERY);
        }
        let rows: Vec<Row> =
            chosen.into_iter().filter_map(|one| row(one, &mut before, machine, args.all)).collect();
        show(&rows, args, live && std::io::stdout().is_terminal())?;
        if !live {
            return Ok(ExitCode::SUCCESS);
        }
        std::thread::sleep(EVERY);
    }
}

fn chosen(args: &Args) -> Result<Vec<Container>, Fail> {
    let containers = folder()?;
    if args.containers.is_empty() {
        return Ok(containers.list()?);
    }
    Ok(args.containers.iter().map(|name| containers.find(name)).collect::<Result<_, _>>()?)
}

fn row(container: Container, before: &mut HashMap<String, Sample>, machine: u64, all: bool) -> Option<Row> {
    let config = container.config().ok()?;
    let now = container.sample().ok()?;
    if now.is_none() && !all {
        return None;
    }
    let earlier = match &now {
        Some(now) => before.insert(container.id.clone(), now.clone()),
        None => None,
    };
    let limit_bytes = config.memory_bytes.unwrap_or(machine);
    Some(Row { container, name: config.name, limit_bytes, before: earlier, now })
}

fn show(rows: &[Row], args: &Args, over: bool) -> Result<(), Fail> {
    if args.json {
        print_stdout(&rows.iter().map(|row| format!("{}\n", row.json())).collect::<String>())?;
        return Ok(());
    }
    let cells: Vec<_> = rows.iter().map(Row::cells).collect();
    // From the upper left corner of an empty screen.
    let clear = if over { "\u{1b}[H\u{1b}[2J" } else { "" };
    print_stdout(&format!("{clear}{}", table(&HEAD, &cells)))?;
    Ok(())
}

impl Row {
    fn rates(&self) -> Option<(f64, f64)> {
        let (now, before) = (self.now.as_ref()?, self.before.as_ref()?);
        let time = now.at.saturating_duration_since(before.at).as_secs_f64().max(1e-3);
        let calls = |sample: &Sample| sample.guest.map_or(0, |guest| guest.host_calls);
        Some((now.cpu_percent_since(before), calls(now).saturating_sub(calls(before)) as f64 / time))
    }

    fn cells(&self) -> Vec<String> {
        let none = || "--".to_owned();
        let mut cells = vec![self.container.short_id().to_owned(), self.name.clone()];
        let Some(now) = &self.now else {
            cells.extend((0..HEAD.len() - 2).map(|_| none()));
            return cells;
        };
        let rates = self.rates();
        cells.extend([
            rates.map_or_else(none, |(cpu, _)| format!("{cpu:.2}%")),
            format!("{} / {}", text::memory(now.memory_bytes), text::memory(self.limit_bytes)),
            format!("{:.2}%", now.memory_bytes as f64 / self.limit_bytes.max(1) as f64 * 100.0),
            now.guest.map_or_else(none, |guest| text::memory(guest.memory_bytes)),
            now.guest.map_or_else(none, |guest| {
                format!("{} / {}", text::size(guest.received_bytes), text::size(guest.sent_bytes))
            }),
            format!("{} / {}", text::size(now.read_bytes), text::size(now.written_bytes)),
            rates.map_or_else(none, |(_, calls)| format!("{calls:.0}")),
            now.processes.to_string(),
        ]);
        cells
    }

    fn json(&self) -> serde_json::Value {
        let (now, rates) = (self.now.as_ref(), self.rates());
        let guest = now.and_then(|now| now.guest);
        json!({
            "ID": self.container.id,
            "Name": self.name,
            "CPUPercent": rates.map(|(cpu, _)| cpu),
            "CPUNanoseconds": now.map(|now| u64::try_from(now.cpu.as_nanos()).unwrap_or(u64::MAX)),
            "MemoryBytes": now.map(|now| now.memory_bytes),
            "MemoryLimitBytes": self.limit_bytes,
            "GuestMemoryBytes": guest.map(|guest| guest.memory_bytes),
            "GuestMemoryPeakBytes": guest.map(|guest| guest.memory_peak_bytes),
            "NetReceivedBytes": guest.map(|guest| guest.received_bytes),
            "NetSentBytes": guest.map(|guest| guest.sent_bytes),
            "ReadBytes": now.map(|now| now.read_bytes),
            "WrittenBytes": now.map(|now| now.written_bytes),
            "HostCalls": guest.map(|guest| guest.host_calls),
            "HostCallsPerSecond": rates.map(|(_, calls)| calls),
            "PIDs": now.map(|now| now.processes),
        })
    }
}

fn machine_memory_bytes() -> u64 {
    let info = rustix::system::sysinfo();
    // The types differ by processor.
    #[allow(clippy::useless_conversion)]
    let (total, unit) = (u64::try_from(info.totalram).unwrap_or_default(), u64::from(info.mem_unit));
    total.saturating_mul(unit.max(1))
}
