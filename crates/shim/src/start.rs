//! `start`: finds the shim of this container's group, or starts it, and tells containerd where it listens.

use crate::args::Args;
use crate::bootstrap::{self, Request};
use crate::fail::{Context, Fail, Result};
use crate::{cgroup, spec};
use std::fs::{self, File, OpenOptions, Permissions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// containerd calls this in the container's bundle, which holds `config.json`, and the FIFO `log`.
pub fn run(args: &Args) -> Result<()> {
    let request = bootstrap::read(args)?;
    let group = spec::group(Path::new("config.json"), &args.id)?;
    let path = socket_path(&request.socket_dir, &request.grpc_address, &args.namespace, &group);
    let address = format!("unix://{}", path.display());
    // A listener accepts into its queue from the moment it exists, so a shim that is just starting counts too.
    if UnixStream::connect(&path).is_err() {
        serve(args, &request, &path, &address)?;
    }
    // Where containerd before 1.7 looks after a restart.
    fs::write("address", &address).context("cannot write the file `address` in the bundle")?;
    bootstrap::print(&bootstrap::answer(&request, &address)?)
}

/// containerd's rule, so that `delete` and others find it again: a digest, because paths of sockets are short.
pub fn socket_path(dir: &Path, grpc_address: &str, namespace: &str, group: &str) -> PathBuf {
    let key = Path::new(grpc_address).join(namespace).join(group);
    let digest = ring::digest::digest(&ring::digest::SHA256, key.as_os_str().as_encoded_bytes());
    let name: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    dir.join(name)
}

fn serve(args: &Args, request: &Request, path: &Path, address: &str) -> Result<()> {
    let listener = listen(path)?;
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0(std::env::args_os().next().unwrap_or_default())
        .args(["-namespace", &args.namespace, "-id", &args.id])
        .args(["-address", &request.grpc_address, "-socket", address])
        .env("TTRPC_ADDRESS", &request.ttrpc_address)
        .current_dir("/")
        // Signals for containerd's group are not for this one.
        .process_group(0)
        // The server takes its listener from there, so it exists before anybody is told of it.
        .stdin(OwnedFd::from(listener))
        .stdout(Stdio::null())
        .stderr(log());
    if args.debug {
        command.arg("-debug");
    }
    let child = command.spawn().context("cannot start the shim's server")?;
    confine(child.id(), request)
}

fn listen(path: &Path) -> Result<UnixListener> {
    let dir = path.parent().ok_or_else(|| Fail::invalid("the socket has no folder"))?;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o711)
        .create(dir)
        .context("cannot make the sockets' folder")?;
    // Nobody answered there: a shim that was killed has left it.
    let _ = fs::remove_file(path);
    let listener = UnixListener::bind(path).context(format!("cannot listen at {}", path.display()))?;
    fs::set_permissions(path, Permissions::from_mode(0o600)).context("cannot protect the socket")?;
    Ok(listener)
}

/// containerd reads this FIFO into its own log. It is opened for both directions, so that writing neither fails nor
/// waits when containerd is gone.
fn log() -> Stdio {
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let log = OpenOptions::new().read(true).write(true).custom_flags(nonblocking).open("log");
    log.map_or_else(|_| Stdio::null(), |log: File| Stdio::from(log))
}

/// The server is a little more likely to be killed for memory than containerd, and sits in its control group.
fn confine(pid: u32, request: &Request) -> Result<()> {
    let score =
        fs::read_to_string("/proc/self/oom_score_adj").ok().and_then(|text| text.trim().parse::<i32>().ok());
    if let Some(score) = score {
        // Without the right to lower it, it stays as containerd's is.
        let _ = fs::write(format!("/proc/{pid}/oom_score_adj"), (score + 1).min(1000).to_string());
    }
    if request.options.shim_cgroup.is_empty() {
        return Ok(());
    }
    cgroup::join(&request.options.shim_cgroup, pid).context("cannot put the shim into its control group")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reaper::tests::CHILDREN;
    use std::sync::PoisonError;

    #[test]
    fn a_socket_belongs_to_a_group_of_a_containerd() {
        let path = |address, namespace, group| socket_path(Path::new("/run/s"), address, namespace, group);
        let one = path("/run/containerd/containerd.sock", "default", "one");
        assert_eq!(one, path("/run/containerd/containerd.sock", "default", "one"));
        assert_eq!(one.to_str().unwrap().len(), "/run/s/".len() + 64);
        for other in [
            path("/run/k3s/containerd.sock", "default", "one"),
            path("/run/containerd/containerd.sock", "k8s.io", "one"),
            path("/run/containerd/containerd.sock", "default", "two"),
        ] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn a_socket_that_a_killed_shim_left_is_taken_over() {
        // A child that is just being made has the socket, too.
        let _alone = CHILDREN.lock().unwrap_or_else(PoisonError::into_inner);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s/socket");
        drop(listen(&path).unwrap());
        assert!(path.exists() && UnixStream::connect(&path).is_err());
        let _listener = listen(&path).unwrap();
        assert!(UnixStream::connect(&path).is_ok());
    }
}
