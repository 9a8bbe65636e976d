//! Tells containerd when the kernel kills for memory in a container.
//!
//! Sources: Linux, `cgroup-v1/memory.rst`, section 10 (an event counter that is signalled), and `cgroup-v2.rst`
//! (`memory.events`, which can be watched for changes).

use crate::cgroup::Cgroup;
use crate::container::Container;
use crate::io::pollable;
use containerd_shim_protos::events::task::TaskOOM;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::inotify;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::unix::AsyncFd;

/// Watches until the container's group is gone. Where that cannot be watched, nothing is told.
pub fn watch(container: &Arc<Container>) {
    let watched = match &container.cgroup {
        Cgroup::V1(folders) => {
            folders.get("memory").map(|folder| (counter(folder), folder.join("memory.oom_control")))
        }
        Cgroup::V2(folder) => Some((changes(folder), folder.join("memory.events"))),
        Cgroup::Shared => None,
    };
    if let Some((Ok(descriptor), file)) = watched
        && let Ok(descriptor) = pollable(descriptor)
    {
        let weak = Arc::downgrade(container);
        let (id, events) = (container.id.clone(), container.shared.events.clone());
        // Version 1 signals a kill before it counts it, and nothing else; version 2 any change of its counters.
        let counts = matches!(container.cgroup, Cgroup::V2(_));
        tokio::spawn(async move {
            let mut seen = kills(&file).unwrap_or_default();
            while changed(&descriptor).await.is_ok() {
                // Also signalled when the group is removed.
                let Some(now) = kills(&file).filter(|_| weak.strong_count() > 0) else { return };
                if now > seen || !counts {
                    events.publish(TaskOOM { container_id: id.clone(), ..TaskOOM::default() });
                }
                seen = now;
            }
        });
    }
}

fn counter(folder: &Path) -> io::Result<OwnedFd> {
    let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let control = File::open(folder.join("memory.oom_control"))?;
    let line = format!("{} {}", event.as_raw_fd(), control.as_raw_fd());
    fs::write(folder.join("cgroup.event_control"), line)?;
    Ok(event)
}

fn changes(folder: &Path) -> io::Result<OwnedFd> {
    let watcher = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    let file = folder.join("memory.events");
    inotify::add_watch(&watcher, &file, inotify::WatchFlags::MODIFY | inotify::WatchFlags::DELETE_SELF)?;
    Ok(watcher)
}

async fn changed(descriptor: &AsyncFd<OwnedFd>) -> io::Result<()> {
    let read = |end: &OwnedFd| Ok(rustix::io::read(end, &mut [0; 4096])?);
    descriptor.async_io(tokio::io::Interest::READABLE, read).await.map(|_| ())
}

/// How many processes were killed so far; none if the group is gone.
fn kills(file: &PathBuf) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}
