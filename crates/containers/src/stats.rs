//! What a container uses: by Linux's account of its processes (`proc_pid_stat(5)`, `proc_pid_io(5)`), and by the guest's
//! own, which it tells at a socket in the container's folder.

use crate::Error;
use crate::folder::Container;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// The socket at which a guest's process tells what its guest uses.
pub const SOCKET: &str = "guest.sock";
/// Linux tells times of processes in hundredths of a second (`USER_HZ`), whatever its own clock does.
const TICK_NS: u64 = 10_000_000;
const ANSWER_WITHIN: Duration = Duration::from_millis(500);
const ANSWER_MAX_BYTES: u64 = 64 << 10;

/// What a guest's own process counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GuestStats {
    /// All linear memories and tables.
    pub memory_bytes: u64,
    pub memory_peak_bytes: u64,
    pub host_calls: u64,
    /// Over the network.
    pub received_bytes: u64,
    pub sent_bytes: u64,
}

/// At one moment. Counters only grow as long as the container runs.
#[derive(Clone, Debug)]
pub struct Sample {
    pub at: Instant,
    pub processes: u32,
    /// Of all processes and threads, since they began.
    pub cpu: Duration,
    pub user_cpu: Duration,
    /// Resident.
    pub memory_bytes: u64,
    /// Read from and written to files and pipes by system calls; sockets have calls of their own.
    pub read_bytes: u64,
    pub written_bytes: u64,
    /// `None` where the guest does not tell.
    pub guest: Option<GuestStats>,
}

impl Container {
    /// What the container uses now; `None` where it does not run.
    ///
    /// # Errors
    /// If its state cannot be read.
    pub fn sample(&self) -> Result<Option<Sample>, Error> {
        let state = self.state()?;
        if state.pid == 0 {
            return Ok(None);
        }
        let mut sample = Sample {
            at: Instant::now(),
            processes: 0,
            cpu: Duration::ZERO,
            user_cpu: Duration::ZERO,
            memory_bytes: 0,
            read_bytes: 0,
            written_bytes: 0,
            guest: None,
        };
        for pid in std::iter::once(state.pid).chain(state.seconds.values().copied()) {
            // It may have ended meanwhile.
            if add_process(pid, &mut sample).is_some() {
                sample.processes += 1;
            }
        }
        if sample.processes == 0 {
            return Ok(None);
        }
        sample.guest = self.ask_guest();
        Ok(Some(sample))
    }

    /// A guest that is paused does not answer.
    fn ask_guest(&self) -> Option<GuestStats> {
        let folder = File::open(&self.folder).ok()?;
        let stream = UnixStream::connect(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd())).ok()?;
        stream.set_read_timeout(Some(ANSWER_WITHIN)).ok()?;
        let mut text = String::new();
        stream.take(ANSWER_MAX_BYTES).read_to_string(&mut text).ok()?;
        serde_json::from_str(&text).ok()
    }
}

fn add_process(pid: u32, sample: &mut Sample) -> Option<()> {
    let folder = Path::new("/proc").join(pid.to_string());
    let stat = fs::read_to_string(folder.join("stat")).ok()?;
    // The name may have anything in it; what follows has a place each.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |place: usize| fields.get(place - 3)?.parse::<u64>().ok();
    let time = |ticks: u64| Duration::from_nanos(ticks.saturating_mul(TICK_NS));
    let (user, system) = (number(14)?, number(15)?);
    sample.cpu += time(user + system);
    sample.user_cpu += time(user);
    let status = fs::read_to_string(folder.join("status")).ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
    sample.memory_bytes += resident.and_then(|kib| kib.trim().parse::<u64>().ok()).unwrap_or_default() * 1024;
    let io = fs::read_to_string(folder.join("io")).unwrap_or_default();
    for line in io.lines() {
        match line.split_once(": ") {
            Some(("rchar", count)) => sample.read_bytes += count.parse().unwrap_or(0),
            Some(("wchar", count)) => sample.written_bytes += count.parse().unwrap_or(0),
            _ => {}
        }
    }
    Some(())
}

impl Sample {
    /// Percent of one processor since another sample.
    pub fn cpu_percent_since(&self, before: &Sample) -> f64 {
        let time = self.at.saturating_duration_since(before.at).as_secs_f64();
        if time <= 0.0 {
            return 0.0;
        }
        self.cpu.saturating_sub(before.cpu).as_secs_f64() / time * 100.0
    }
}

/// A process of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pub pid: u32,
    pub parent: u32,
    /// As `ps` shows it: `00:00:01`.
    pub cpu_time: String,
    /// What the guest was started with.
    pub command: String,
}

impl Container {
    /// The guest's process, and those of programs beside it.
    ///
    /// # Errors
    /// If the container does not run.
    pub fn processes(&self) -> Result<Vec<Process>, Error> {
        let state = self.state()?;
        if state.pid == 0 {
            return Err(Error::State { name: self.name(), is: "is not running" });
        }
        let first = self.spec()?.process().as_ref().and_then(|process| process.args().clone());
        let mut all = vec![(state.pid, first.unwrap_or_default())];
        for (id, pid) in &state.seconds {
            let process: Result<oci_spec::runtime::Process, Error> =
                crate::record::read(&self.path(&format!("exec-{id}.json")));
            let args = process.ok().and_then(|process| process.args().clone());
            all.push((*pid, args.unwrap_or_default()));
        }
        let described = all.into_iter().filter_map(|(pid, args)| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
            let number = |place: usize| fields.get(place - 3)?.parse::<u64>().ok();
            let seconds = (number(14)? + number(15)?) * TICK_NS / 1_000_000_000;
            let cpu_time = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
            let parent = u32::try_from(number(4)?).ok()?;
            Some(Process { pid, parent, cpu_time, command: args.join(" ") })
        });
        Ok(described.collect())
    }
}
