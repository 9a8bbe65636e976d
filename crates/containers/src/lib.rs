//! The life of containers: made of an image, started, watched, stopped and removed, without a daemon.
//!
//! [`Containers`] is the folder in which they all are, [`Container`] one of them. Whoever may read the folder sees and
//! changes the same. While a container runs, a process of its own ([`supervise`]) holds its lock, and starts the guest
//! in another one, which it tells what to do by an OCI runtime spec; this crate knows no engine.

pub mod annotations;
pub mod api;
mod archive;
mod bundle;
mod cgroup;
mod copy;
mod create;
mod error;
mod events;
mod folder;
mod follow;
mod life;
mod logs;
mod record;
mod stats;
mod supervisor;
pub mod text;
mod volumes;
mod wire;

pub use archive::PathStat;
pub use cgroup::unavailable as limits_unavailable;
pub use copy::size_bytes;
pub use create::{ANONYMOUS, Files};
pub use error::Error;
pub use events::{Event, Events};
pub use folder::{Container, Containers, SHORT_ID};
pub use life::{SUPERVISE, Second};
pub use logs::{Logged, Stream, Wanted};
pub use record::{Config, Grants, Mount, Port, Restart, Source, State, Status};
pub use stats::{GuestStats, Process, SOCKET as GUEST_SOCKET, Sample};
pub use supervisor::{GUEST, signal_name, signal_number, supervise};
pub use volumes::Volume;
pub use wire::{Attached, Streams, frame};

/// Where nobody else can be told. It may be a file on a full disk, and `eprintln!` would end the thread.
fn complain(problem: impl std::fmt::Display) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{problem}");
}
