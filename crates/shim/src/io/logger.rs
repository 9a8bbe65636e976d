//! `binary://PATH?KEY=VALUE`: a program that takes a container's output.
//!
//! It gets the output at descriptor 3, the errors at 4, and closes 5 when it is ready. Source: containerd,
//! `core/runtime/v2/README.md`, "Logging".

use super::Owner;
use crate::fail::{Context, Fail, Result};
use crate::reaper::{Exits, Reaper, exit_of};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

pub struct Logger {
    pid: i32,
    exits: Exits,
}

const READY_SECONDS: i64 = 10;
/// It has the rest of the output to read, and sees its end.
const FINISH_MAX: Duration = Duration::from_secs(10);

/// The program, and the ends to write to.
pub fn start(uri: &str, owner: &Owner, reaper: &Reaper) -> Result<(Logger, OwnedFd, OwnedFd)> {
    let pipe = || std::io::pipe().context("cannot make a pipe");
    let ((output, stdout), (errors, stderr), (ready, ready_end)) = (pipe()?, pipe()?, pipe()?);
    let (path, args) = parse(uri)?;
    let mut command = Command::new(&path);
    command.args(args).env("CONTAINER_ID", owner.id).env("CONTAINER_NAMESPACE", owner.namespace);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let ends = [output.as_raw_fd(), errors.as_raw_fd(), ready_end.as_raw_fd()];
    // SAFETY: between fork and exec only system calls are made, and nothing is allocated.
    unsafe { command.pre_exec(move || place(ends)) };
    let started =
        reaper.spawn(|| command.spawn()).context(format!("cannot start the logging program {path}"))?;
    drop((output, errors, ready_end));

    let timeout = Timespec { tv_sec: READY_SECONDS, tv_nsec: 0 };
    let mut polled = [PollFd::new(&ready, PollFlags::IN)];
    if poll(&mut polled, Some(&timeout)).context("the logging program")? == 0 {
        stop(started.pid);
        return Err(Fail::precondition(format!(
            "the logging program {path} was not ready within {READY_SECONDS} s"
        )));
    }
    Ok((Logger { pid: started.pid, exits: started.exits }, stdout.into(), stderr.into()))
}

/// Puts the three descriptors at 3, 4 and 5, whatever their numbers are: first out of the way, then there.
fn place(ends: [i32; 3]) -> std::io::Result<()> {
    const AWAY: i32 = 64;
    let check = |result: i32| if result < 0 { Err(std::io::Error::last_os_error()) } else { Ok(result) };
    let mut moved = [0; 3];
    for (to, end) in moved.iter_mut().zip(ends) {
        // SAFETY: `fcntl` and `dup2` change only this process's table of descriptors, which is about to be a program's.
        *to = check(unsafe { libc::fcntl(end, libc::F_DUPFD_CLOEXEC, AWAY) })?;
    }
    for (target, from) in (3..).zip(moved) {
        // SAFETY: as above.
        check(unsafe { libc::dup2(from, target) })?;
    }
    Ok(())
}

/// The program's path, and its arguments: each key and its value.
fn parse(uri: &str) -> Result<(String, Vec<String>)> {
    let rest =
        uri.strip_prefix("binary://").ok_or_else(|| Fail::invalid(format!("{uri} is no logging program")))?;
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let both = pairs.flat_map(|pair| match pair.split_once('=') {
        Some((key, value)) => [Some(decode(key)), Some(decode(value)).filter(|value| !value.is_empty())],
        None => [Some(decode(pair)), None],
    });
    Ok((decode(path), both.flatten().collect()))
}

/// `%20` and `+`, as in a query.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let code =
            bytes.get(at + 1..at + 3).filter(|_| byte == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(decoded) => {
                out.push(decoded);
                at += 3;
            }
            None => {
                out.push(if byte == b'+' { b' ' } else { byte });
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn stop(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        // It may have ended by itself.
        let _ = kill_process(pid, Signal::TERM);
    }
}

impl Logger {
    pub async fn finish(self) {
        if tokio::time::timeout(FINISH_MAX, exit_of(self.exits)).await.is_err() {
            stop(self.pid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reaper::tests::CHILDREN;
    use std::fs::File;
    use std::io::Write;
    use std::sync::PoisonError;

    #[test]
    fn a_uri_is_a_command() {
        for (uri, path, args) in [
            ("binary:///usr/bin/log", "/usr/bin/log", vec![]),
            ("binary:///l?id=a%20b&tag=x+y&flag", "/l", vec!["id", "a b", "tag", "x y", "flag"]),
            ("binary:///l?-v=", "/l", vec!["-v"]),
        ] {
            assert_eq!(parse(uri).unwrap(), (path.to_owned(), args.into_iter().map(str::to_owned).collect()));
        }
        assert!(parse("file:///x").is_err());
    }

    #[test]
    fn the_program_gets_the_output() {
        let _alone = CHILDREN.lock().unwrap_or_else(PoisonError::into_inner);
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("log");
        let script = "#!/bin/sh\nexec 5>&-\ncat <&3 >\"$1/$CONTAINER_NAMESPACE-$CONTAINER_ID\"\n";
        std::fs::write(&program, script).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&program, mode).unwrap();

        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let reaper = Reaper::default();
            tokio::spawn(reaper.run().unwrap());
            let uri = format!("binary://{}?{}", program.display(), dir.path().display());
            let owner = Owner { namespace: "n", id: "one" };
            let (logger, stdout, stderr) = start(&uri, &owner, &reaper).unwrap();
            File::from(stdout).write_all(b"said\n").unwrap();
            drop(stderr);
            logger.finish().await;
        });
        assert_eq!(std::fs::read_to_string(dir.path().join("n-one")).unwrap(), "said\n");
    }
}
