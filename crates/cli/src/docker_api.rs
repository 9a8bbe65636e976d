//! `sampan docker-api`: Docker Engine's HTTP API on a Unix socket, so that `docker`, Compose and their like work with
//! these containers.

use crate::containers;
use crate::fail::{Fail, print_stdout};
use rustix::fs::Mode;
use rustix::process::umask;
use sampan_containers::api::{Api, serve};
use sampan_images::Images;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Serve Docker Engine's API on a Unix socket, for docker, Compose and client libraries
#[derive(clap::Args)]
pub struct Args {
    /// Where to listen [default: /run/sampan/docker.sock for root, else $XDG_RUNTIME_DIR/sampan/docker.sock]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

pub fn run(args: Args) -> Result<ExitCode, Fail> {
    let containers = containers::folder()?;
    let images = Images::of_user().ok_or_else(|| {
        Fail::new("there is no place for images: neither SAMPAN_DATA_DIR nor HOME is set")
            .help("set SAMPAN_DATA_DIR to a folder of yours")
    })?;
    let path = match args.socket {
        Some(path) => {
            std::path::absolute(&path).map_err(|error| Fail::new(format!("{}: {error}", path.display())))?
        }
        None => default_path()?,
    };
    let listener = listen(&path)?;
    let stopped = stop_signal()?;
    print_stdout(&format!("export DOCKER_HOST=unix://{}\n", path.display()))?;
    let served = serve_until(listener, Arc::new(Api::new(containers, images)), stopped);
    // It is ours, and leads nowhere now.
    let _ = fs::remove_file(&path);
    served
}

fn default_path() -> Result<PathBuf, Fail> {
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/run/sampan/docker.sock"));
    }
    let folder = std::env::var_os("XDG_RUNTIME_DIR").filter(|folder| !folder.is_empty());
    let folder = folder.ok_or_else(|| {
        Fail::new("there is no place for the socket: XDG_RUNTIME_DIR is not set")
            .help("name one with --socket PATH")
    })?;
    Ok(PathBuf::from(folder).join("sampan/docker.sock"))
}

/// Listens where only this user may connect. A socket that nobody listens at any more is replaced.
fn listen(path: &Path) -> Result<UnixListener, Fail> {
    let failed = |error: std::io::Error| {
        Fail::new(format!("cannot listen at {}: {error}", path.display()))
            .help("name another place with --socket PATH; it may have at most 107 bytes")
    };
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    }
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
        Ok(metadata) if metadata.file_type().is_socket() => match UnixStream::connect(path) {
            Ok(_) => {
                return Err(Fail::new(format!("somebody listens at {} already", path.display()))
                    .help("use that one, or name another place with --socket PATH"));
            }
            Err(_) => fs::remove_file(path).map_err(failed)?,
        },
        Ok(_) => {
            return Err(Fail::new(format!("{} is no socket", path.display()))
                .help("name another place with --socket PATH"));
        }
    }
    // From its first moment on.
    let before = umask(Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(path);
    umask(before);
    let listener = listener.map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

/// Becomes ready with SIGINT or SIGTERM.
fn stop_signal() -> Result<oneshot::Receiver<()>, Fail> {
    let mut signals = Signals::new([SIGINT, SIGTERM])
        .map_err(|error| Fail::new(format!("cannot watch for signals: {error}")))?;
    let (sender, receiver) = oneshot::channel();
    std::thread::spawn(move || {
        signals.forever().next();
        // The server may have ended.
        let _ = sender.send(());
    });
    Ok(receiver)
}

fn serve_until(
    listener: UnixListener,
    api: Arc<Api>,
    stopped: oneshot::Receiver<()>,
) -> Result<ExitCode, Fail> {
    let failed = |error: std::io::Error| Fail::new(format!("cannot serve: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    runtime.block_on(async {
        let listener = tokio::net::UnixListener::from_std(listener).map_err(failed)?;
        tokio::select! {
            () = serve(listener, api) => {}
            _ = stopped => {}
        }
        Ok::<(), Fail>(())
    })?;
    // What still reads a log or waits for an event is not waited for.
    runtime.shutdown_background();
    Ok(ExitCode::SUCCESS)
}
