//! How children of the server end. There is one place that waits for all of them, because the server also inherits
//! processes that nobody here has started: those of containers that share its PID namespace, and containers' own.

use rustix::process::{Pid, WaitOptions, WaitStatus, wait};
use std::collections::HashMap;
use std::io;
use std::process::Child;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;
use tokio::sync::watch;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exit {
    /// As a shell would see it: 128 and the signal's number, if it was one.
    pub status: u32,
    pub at: SystemTime,
}

pub type Exits = watch::Receiver<Option<Exit>>;

/// The exit, once there is one.
pub async fn exit_of(mut exits: Exits) -> Exit {
    match exits.wait_for(Option::is_some).await.map(|exit| *exit) {
        Ok(Some(exit)) => exit,
        // The reaper lives as long as the server does.
        _ => Exit { status: 255, at: SystemTime::now() },
    }
}

#[derive(Clone, Default)]
pub struct Reaper {
    awaited: Arc<Mutex<HashMap<i32, watch::Sender<Option<Exit>>>>>,
}

/// A child that this server started itself.
pub struct Started {
    pub pid: i32,
    pub exits: Exits,
}

impl Started {
    /// For threads that may block.
    pub fn wait_blocking(self) -> Exit {
        tokio::runtime::Handle::current().block_on(exit_of(self.exits))
    }
}

impl Reaper {
    /// Starts a process. Nothing is reaped meanwhile, so its exit cannot be missed.
    pub fn spawn(&self, start: impl FnOnce() -> io::Result<Child>) -> io::Result<Started> {
        let mut awaited = self.lock();
        let pid = start()?.id() as i32;
        let (sender, exits) = watch::channel(None);
        awaited.insert(pid, sender);
        Ok(Started { pid, exits })
    }

    /// The exit of a process that is about to become a child.
    pub fn expect(&self, pid: i32) -> Exits {
        let (sender, exits) = watch::channel(None);
        self.lock().insert(pid, sender);
        exits
    }

    /// Reaps whenever a child ends, until the server does.
    pub fn run(&self) -> io::Result<impl Future<Output = ()> + use<>> {
        let (read, write) = std::os::unix::net::UnixStream::pair()?;
        signal_hook::low_level::pipe::register(signal_hook::consts::SIGCHLD, write)?;
        read.set_nonblocking(true)?;
        let read = tokio::net::UnixStream::from_std(read)?;
        let reaper = self.clone();
        Ok(async move {
            loop {
                reaper.reap();
                // Signals that come meanwhile leave a byte.
                if read.readable().await.is_err() {
                    return;
                }
                while read.try_read(&mut [0; 64]).is_ok_and(|read| read > 0) {}
            }
        })
    }

    fn reap(&self) {
        let mut awaited = self.lock();
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if let Some(sender) = awaited.remove(&pid.as_raw_nonzero().get()) {
                sender.send_replace(Some(Exit { status: code(status), at: SystemTime::now() }));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i32, watch::Sender<Option<Exit>>>> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub fn code(status: WaitStatus) -> u32 {
    let signal = status.terminating_signal().map(|signal| 128 + signal);
    status.exit_status().or(signal).unwrap_or(255) as u32
}

/// Orphans of containers become children of the server, so that somebody waits for them.
pub fn adopt_orphans() -> io::Result<()> {
    Ok(rustix::process::set_child_subreaper(Pid::from_raw(1))?)
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use std::process::Command;

    /// Held by tests that have children: a reaper takes the ends of all that this process has.
    pub static CHILDREN: Mutex<()> = Mutex::new(());

    #[test]
    fn every_exit_is_seen_once() {
        let _alone = CHILDREN.lock().unwrap_or_else(PoisonError::into_inner);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let reaper = Reaper::default();
            tokio::spawn(reaper.run().unwrap());
            let mut all = Vec::new();
            for (script, status) in [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -15 $$", 143)]
            {
                let started = reaper.spawn(|| Command::new("/bin/sh").args(["-c", script]).spawn()).unwrap();
                all.push((script, status, started));
            }
            for (script, status, started) in all {
                assert_eq!(exit_of(started.exits).await.status, status, "{script}");
            }
        });
    }
}
