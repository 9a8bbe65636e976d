//! Hooks of the OCI runtime specification that are run outside of the container after its start and after its end. Those
//! before are libcontainer's: they are run in processes that nobody but it waits for.
//!
//! Source: OCI runtime specification, `config.md`, "POSIX-platform Hooks", and `runtime.md`, "Lifecycle".

use crate::fail::{Context, Fail, Result};
use crate::reaper::{Reaper, code};
use oci_spec::runtime::{Hook, Hooks, Spec};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, SeekFrom, memfd_create, seek};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, pidfd_send_signal, waitpid};
use serde::Deserialize;
use serde_json::json;
use std::collections::HashMap;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// What of a bundle's `config.json` hooks are about.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Described {
    #[serde(default)]
    oci_version: String,
    hooks: Option<Hooks>,
    #[serde(default)]
    annotations: HashMap<String, String>,
}

/// The container that hooks hear of.
pub struct Subject<'a> {
    pub id: &'a str,
    pub bundle: &'a Path,
    /// Who waits for children in this process, if anybody does.
    pub reaper: Option<&'a Reaper>,
}

/// libcontainer would run these too, in the server, whose reaper would take their ends away from it.
pub fn take_later_ones(spec: &mut Spec) {
    if let Some(mut hooks) = spec.hooks().clone() {
        hooks.set_poststart(None);
        hooks.set_poststop(None);
        spec.set_hooks(Some(hooks));
    }
}

/// One that fails ends the container, as with runc.
pub fn poststart(subject: &Subject<'_>, pid: i32) -> Result<()> {
    let described = describe(subject.bundle)?;
    let hooks = described.hooks.as_ref().and_then(|hooks| hooks.poststart().as_deref()).unwrap_or_default();
    for hook in hooks {
        run(hook, "poststart", subject, &described, Some(pid))?;
    }
    Ok(())
}

/// What fails is told and changes nothing: the container is gone.
pub fn poststop(subject: &Subject<'_>) {
    // A bundle that cannot be read has made no container.
    let Ok(described) = describe(subject.bundle) else { return };
    let hooks = described.hooks.as_ref().and_then(|hooks| hooks.poststop().as_deref()).unwrap_or_default();
    for hook in hooks {
        if let Err(fail) = run(hook, "poststop", subject, &described, None) {
            crate::complain(&format!("{}: {fail}", subject.id));
        }
    }
}

fn describe(bundle: &Path) -> Result<Described> {
    let config = bundle.join("config.json");
    let bytes = std::fs::read(&config).context(format!("cannot read {}", config.display()))?;
    serde_json::from_slice(&bytes).context(format!("{} is no description of a container", config.display()))
}

fn run(
    hook: &Hook,
    kind: &str,
    subject: &Subject<'_>,
    described: &Described,
    pid: Option<i32>,
) -> Result<()> {
    let what = || format!("the {kind} hook {}", hook.path().display());
    let mut state = json!({
        "ociVersion": described.oci_version,
        "id": subject.id,
        "status": if pid.is_some() { "running" } else { "stopped" },
        "bundle": subject.bundle,
        "annotations": described.annotations,
    });
    if let Some(pid) = pid {
        state["pid"] = pid.into();
    }
    let mut command = Command::new(hook.path());
    if let Some((name, args)) = hook.args().as_ref().and_then(|args| args.split_first()) {
        command.arg0(name).args(args);
    }
    let env = hook.env().iter().flatten().filter_map(|variable| variable.split_once('='));
    command.env_clear().envs(env).current_dir(subject.bundle);
    command.stdin(input(state.to_string().as_bytes()).context(what())?).stdout(Stdio::null());
    let status = end(&mut command, hook.timeout(), subject.reaper).context(what())?;
    match status {
        Some(0) => Ok(()),
        Some(status) => Err(Fail::internal(what(), format!("it ended with {status}"))),
        None => Err(Fail::internal(what(), "it took longer than its time limit")),
    }
}

/// Whether a hook reads it or not, nobody waits.
fn input(bytes: &[u8]) -> std::io::Result<OwnedFd> {
    let file = memfd_create("state", MemfdFlags::CLOEXEC)?;
    let mut file = std::fs::File::from(file);
    file.write_all(bytes)?;
    seek(&file, SeekFrom::Start(0))?;
    Ok(file.into())
}

/// The status with which it ends; none if its time was over first.
fn end(
    command: &mut Command,
    timeout_s: Option<i64>,
    reaper: Option<&Reaper>,
) -> std::io::Result<Option<u32>> {
    let mut handle = None;
    // Before anybody can have waited for it, so the number is still its own.
    let mut start = || -> std::io::Result<Child> {
        let child = command.spawn()?;
        handle =
            Pid::from_raw(child.id() as i32).map(|pid| pidfd_open(pid, PidfdFlags::empty())).transpose()?;
        Ok(child)
    };
    let (started, pid) = match reaper {
        Some(reaper) => {
            let started = reaper.spawn(start)?;
            let pid = started.pid;
            (Some(started), pid)
        }
        None => (None, start()?.id() as i32),
    };
    let mut is_late = false;
    if let (Some(handle), Some(seconds)) = (&handle, timeout_s) {
        let timeout = Timespec { tv_sec: seconds.max(0), tv_nsec: 0 };
        is_late = poll(&mut [PollFd::new(handle, PollFlags::IN)], Some(&timeout))? == 0;
        if is_late {
            // It may have ended just now.
            let _ = pidfd_send_signal(handle, Signal::KILL);
        }
    }
    let status = match started {
        Some(started) => started.wait_blocking().status,
        None => waitpid(Pid::from_raw(pid), WaitOptions::empty())?.map_or(255, |(_, status)| code(status)),
    };
    Ok((!is_late).then_some(status))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reaper::tests::CHILDREN;
    use std::sync::PoisonError;

    fn bundle(hooks: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let text = format!(
            r#"{{"ociVersion": "1.0.2", "root": {{"path": "rootfs"}}, "annotations": {{"key": "value"}}, "hooks": {hooks}}}"#
        );
        std::fs::write(dir.path().join("config.json"), text).unwrap();
        dir
    }

    fn shell(script: &str, more: &str) -> String {
        format!(r#"{{"path": "/bin/sh", "args": ["sh", "-c", "{script}"]{more}}}"#)
    }

    #[test]
    fn hooks_hear_of_the_container() {
        let _alone = CHILDREN.lock().unwrap_or_else(PoisonError::into_inner);
        let write = shell("echo $A >state; cat >>state", r#", "env": ["A=1", "PATH=/bin:/usr/bin"]"#);
        let dir = bundle(&format!(r#"{{"poststart": [{write}]}}"#));
        let subject = Subject { id: "one", bundle: dir.path(), reaper: None };
        poststart(&subject, 7).unwrap();
        let written = std::fs::read_to_string(dir.path().join("state")).unwrap();
        let (variable, state) = written.split_once('\n').unwrap();
        assert_eq!(variable, "1");
        let state: oci_spec::runtime::State = serde_json::from_str(state).unwrap();
        assert_eq!(
            (state.id().as_str(), state.pid(), state.bundle().as_path()),
            ("one", &Some(7), dir.path())
        );
        assert_eq!(state.status(), &oci_spec::runtime::ContainerState::Running);
        assert_eq!(state.annotations().as_ref().unwrap()["key"], "value");
    }

    #[test]
    fn what_fails_is_told() {
        let _alone = CHILDREN.lock().unwrap_or_else(PoisonError::into_inner);
        for (hook, expected) in [
            (shell("exit 0", ""), None),
            (shell("exit 3", ""), Some("ended with 3")),
            (shell("exec sleep 60", r#", "timeout": 0, "env": ["PATH=/bin:/usr/bin"]"#), Some("time limit")),
            (r#"{"path": "/does/not/exist"}"#.to_owned(), Some("/does/not/exist")),
        ] {
            let dir = bundle(&format!(r#"{{"poststart": [{hook}]}}"#));
            let subject = Subject { id: "one", bundle: dir.path(), reaper: None };
            let said = poststart(&subject, 7).err().map(|fail| fail.to_string());
            assert_eq!(said.is_some(), expected.is_some(), "{said:?}");
            assert!(
                said.is_none_or(|said| expected.is_some_and(|expected| said.contains(expected))),
                "{hook}"
            );
        }
    }

    #[test]
    fn one_that_fails_at_the_end_holds_up_none() {
        let _alone = CHILDREN.lock().unwrap_or_else(PoisonError::into_inner);
        let touch = shell("touch done", r#", "env": ["PATH=/bin:/usr/bin"]"#);
        let dir = bundle(&format!(r#"{{"poststop": [{}, {touch}]}}"#, shell("exit 1", "")));
        poststop(&Subject { id: "one", bundle: dir.path(), reaper: None });
        assert!(dir.path().join("done").exists());
    }

    #[test]
    fn only_the_later_ones_are_ours() {
        let hook = shell("true", "");
        let text = format!(
            r#"{{"hooks": {{"createRuntime": [{hook}], "poststart": [{hook}], "poststop": [{hook}]}}}}"#
        );
        let mut spec: Spec = serde_json::from_str(&text).unwrap();
        take_later_ones(&mut spec);
        let hooks = spec.hooks().as_ref().unwrap();
        assert!(
            hooks.create_runtime().is_some() && hooks.poststart().is_none() && hooks.poststop().is_none()
        );
    }
}
