//! What is written down of a container: what was asked for, and how it is.

use crate::Error;
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// What was asked for: by flags and an image, or by Docker's API.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Without Docker's leading slash.
    pub name: String,
    /// As the user named it; empty where a file is run without an image.
    pub image: String,
    /// The digest of the image's configuration.
    pub image_id: String,
    pub entrypoint: Vec<String>,
    pub command: Vec<String>,
    /// `NAME=VALUE`, complete: the image's, and the user's after them.
    pub env: Vec<String>,
    pub workdir: String,
    pub hostname: String,
    /// Is recorded; a guest has no users.
    pub user: String,
    pub labels: BTreeMap<String, String>,
    /// `8080/tcp`, as images say it.
    pub exposed: Vec<String>,
    pub ports: Vec<Port>,
    pub mounts: Vec<Mount>,
    /// The root and all mounts.
    pub read_only: bool,
    pub tty: bool,
    pub open_stdin: bool,
    /// Standard input ends with the first client that was attached to it.
    pub stdin_once: bool,
    pub restart: Restart,
    pub auto_remove: bool,
    /// The name of a signal, `SIGTERM` where it is empty.
    pub stop_signal: String,
    pub stop_timeout_ms: Option<u64>,
    pub memory_bytes: Option<u64>,
    /// Thousandths of one processor.
    pub cpu_millis: Option<u64>,
    pub log_max_bytes: Option<u64>,
    pub log_files: Option<u32>,
    pub grants: Grants,
    /// Wall time until the guest is stopped.
    pub timeout_ms: Option<u64>,
    pub fuel: Option<u64>,
}

/// What the guest may reach beside its files and ports, in the text forms of `sampan run`'s flags.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Grants {
    pub tcp: Vec<String>,
    pub udp: Vec<String>,
    pub http: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Port {
    pub host_address: IpAddr,
    /// 0: any that is free, chosen at each start.
    pub host_port: u16,
    pub guest_port: u16,
    pub udp: bool,
}

impl Port {
    /// As images and Docker name it: `8080/tcp`.
    pub fn guest(&self) -> String {
        format!("{}/{}", self.guest_port, if self.udp { "udp" } else { "tcp" })
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mount {
    pub source: Source,
    /// Absolute, in the guest.
    pub target: String,
    pub read_only: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A folder or file of this machine.
    Bind(PathBuf),
    /// A named volume; made where it is missing.
    Volume(String),
    /// A folder that is empty at each start.
    Temporary,
}

/// When a container that ended is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restart {
    #[default]
    No,
    /// At most so often in a row; 0 is without a bound.
    OnFailure(u32),
    Always,
    /// As `Always`; the difference is of daemons that start with the machine.
    UnlessStopped,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    #[default]
    Created,
    Running,
    Paused,
    Restarting,
    Removing,
    Exited,
}

impl Status {
    /// Docker's word.
    pub fn name(self) -> &'static str {
        match self {
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Restarting => "restarting",
            Status::Removing => "removing",
            Status::Exited => "exited",
        }
    }

    pub fn is_live(self) -> bool {
        matches!(self, Status::Running | Status::Paused | Status::Restarting)
    }
}

/// How a container is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    pub status: Status,
    /// Of the guest; 0 where there is none.
    pub pid: u32,
    pub supervisor: u32,
    pub exit_code: i32,
    /// Why it could not start, or did not end by itself.
    pub error: String,
    pub oom_killed: bool,
    pub created_at: Option<DateTime<Utc>>,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    pub restarts: u32,
    /// The ports as they were bound: with the numbers that were chosen.
    pub ports: Vec<Port>,
    /// Who stopped it does not want it back.
    pub stopped_by_user: bool,
    /// Programs beside the first, and their processes.
    pub seconds: BTreeMap<String, u32>,
}

/// Reads a record.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let text = fs::read(path).map_err(Error::file(path))?;
    serde_json::from_slice(&text)
        .map_err(|error| Error::Damaged { path: path.to_owned(), why: error.to_string() })
}

/// Files of records fill whole blocks of the disk, so that the next version fits where the one before is.
const BLOCK_BYTES: usize = 4096;

/// Writes a record: whoever reads meanwhile sees the one before.
pub(crate) fn write<T: Serialize>(path: &Path, record: &T) -> Result<(), Error> {
    let mut bytes = serde_json::to_vec(record).map_err(|error| Error::file(path)(error.into()))?;
    bytes.resize((bytes.len() + 1).next_multiple_of(BLOCK_BYTES), b'\n');
    let replaced = replace(path, &bytes);
    let is_full =
        |error: &io::Error| matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    match replaced {
        // How a container ended must not be lost, nor may it stay because there is no room to say that it goes.
        Err(error) if is_full(&error) => overwrite(path, bytes).map_err(|_| Error::file(path)(error)),
        other => other.map_err(Error::file(path)),
    }
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
    file.write_all(bytes)?;
    file.persist(path)?;
    Ok(())
}

/// In place, which takes no room on most file systems. One block is written at once.
fn overwrite(path: &Path, mut bytes: Vec<u8>) -> io::Result<()> {
    let file = fs::File::options().write(true).open(path)?;
    let length = file.metadata()?.len() as usize;
    if length < bytes.len() {
        return Err(io::ErrorKind::StorageFull.into());
    }
    // What the one before had behind it goes.
    bytes.resize(length, b'\n');
    file.write_all_at(&bytes, 0)
}
