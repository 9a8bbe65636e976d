//! A process's terminal: the server copies between it and containerd's FIFOs.

use crate::fail::{Context, Result};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::{Errno, read, write};
use rustix::termios::{Winsize, tcsetwinsize};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::unix::{AsyncFd, AsyncFdRegisterError};
use tokio::task::JoinHandle;

pub struct Terminal {
    device: Arc<AsyncFd<OwnedFd>>,
    output: JoinHandle<()>,
    input: JoinHandle<()>,
}

/// After the process has ended its output must go out within this time; a reader that is gone takes none.
const FINISH_MAX: Duration = Duration::from_secs(2);

impl Terminal {
    pub fn copy(device: OwnedFd, from: OwnedFd, to: OwnedFd) -> Result<Self> {
        for one in [&device, &from, &to] {
            fcntl_setfl(one, OFlags::NONBLOCK).context("the terminal")?;
        }
        let device =
            Arc::new(pollable(device).map_err(|error| error.into_parts().1).context("the terminal")?);
        let output = tokio::spawn(pump(End::Device(device.clone()), End::of(to)));
        let input = tokio::spawn(pump(End::of(from), End::Device(device.clone())));
        Ok(Terminal { device, output, input })
    }

    pub fn resize(&self, columns: u16, rows: u16) -> Result<()> {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(self.device.get_ref(), size).context("cannot resize the terminal")
    }

    pub async fn finish(self) {
        self.input.abort();
        let output = self.output.abort_handle();
        if tokio::time::timeout(FINISH_MAX, self.output).await.is_err() {
            output.abort();
        }
    }
}

/// A descriptor that tasks can wait for.
pub fn pollable(descriptor: OwnedFd) -> std::result::Result<AsyncFd<OwnedFd>, AsyncFdRegisterError<OwnedFd>> {
    // SAFETY: the descriptor is owned by what is made of it, so it is not closed before.
    unsafe { AsyncFd::register(descriptor) }
}

/// What can be waited for, or a file, which never lets wait.
enum End {
    Device(Arc<AsyncFd<OwnedFd>>),
    Fifo(AsyncFd<OwnedFd>),
    File(OwnedFd),
}

impl End {
    fn of(descriptor: OwnedFd) -> Self {
        match pollable(descriptor) {
            Ok(fifo) => End::Fifo(fifo),
            Err(error) => End::File(error.into_parts().0),
        }
    }

    async fn read(&self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let mut one = |end: &OwnedFd| Ok(read(end, &mut *buffer)?);
        match self {
            End::Device(end) => end.async_io(tokio::io::Interest::READABLE, one).await,
            End::Fifo(end) => end.async_io(tokio::io::Interest::READABLE, one).await,
            End::File(end) => one(end),
        }
    }

    async fn write(&self, bytes: &[u8]) -> std::io::Result<usize> {
        let one = |end: &OwnedFd| Ok(write(end.as_fd(), bytes)?);
        match self {
            End::Device(end) => end.async_io(tokio::io::Interest::WRITABLE, one).await,
            End::Fifo(end) => end.async_io(tokio::io::Interest::WRITABLE, one).await,
            End::File(end) => one(end),
        }
    }
}

/// Until either side is gone. A terminal that no process has open any more answers EIO.
async fn pump(from: End, to: End) {
    let mut buffer = vec![0; 8 << 10];
    loop {
        let count = match from.read(&mut buffer).await {
            Ok(0) => return,
            Ok(count) => count,
            Err(error) if error.raw_os_error() == Some(Errno::INTR.raw_os_error()) => continue,
            Err(_) => return,
        };
        let mut rest = &buffer[..count];
        while !rest.is_empty() {
            match to.write(rest).await {
                Ok(written) => rest = &rest[written..],
                Err(_) => return,
            }
        }
    }
}
