//! Socket options, by the numbers of WasmEdge's extension; values are Linux's bytes.
//!
//! An option that the guest sets is remembered, because the system's socket behind a guest's may be made
//! later, or made anew for another family. Some are only remembered: where the system's effect would
//! block the thread or touch other programs.

use super::host::wire;
use super::poller::OsSocket;
use super::socket::{Socket, error};
use crate::preview1::Errno;
use sampan_app::Protocol;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

const REUSEADDR: u32 = 0;
const TYPE: u32 = 1;
const ERROR: u32 = 2;
const DONTROUTE: u32 = 3;
const BROADCAST: u32 = 4;
const SNDBUF: u32 = 5;
const RCVBUF: u32 = 6;
const KEEPALIVE: u32 = 7;
const OOBINLINE: u32 = 8;
const LINGER: u32 = 9;
const RCVLOWAT: u32 = 10;
const RCVTIMEO: u32 = 11;
const SNDTIMEO: u32 = 12;
const ACCEPTCONN: u32 = 13;
const BINDTODEVICE: u32 = 14;

/// Linux's longest value here: the name of a device.
const MAX_VALUE_LEN: usize = libc::IFNAMSIZ;

/// What the guest has set.
#[derive(Clone, Default)]
pub struct Options {
    values: BTreeMap<u32, Vec<u8>>,
}

impl Options {
    pub fn receive_timeout(&self) -> Option<Duration> {
        self.timeout(RCVTIMEO)
    }

    pub fn send_timeout(&self) -> Option<Duration> {
        self.timeout(SNDTIMEO)
    }

    fn timeout(&self, name: u32) -> Option<Duration> {
        let micros = wire::timeval(self.values.get(&name)?).ok()??;
        // A limit that no process lives to see is none; and sums with it must not overflow.
        (micros < 1 << 60).then(|| Duration::from_micros(micros))
    }

    /// Sets on a new socket what the guest has set on the old one.
    pub fn apply(&self, os: &OsSocket) -> io::Result<()> {
        for (name, value) in &self.values {
            if let Some(linux) = passed_on(*name, value) {
                set_raw(os, linux, value)?;
            }
        }
        Ok(())
    }
}

/// Linux's number of an option that is set on the system's socket.
fn passed_on(name: u32, value: &[u8]) -> Option<i32> {
    Some(match name {
        DONTROUTE => libc::SO_DONTROUTE,
        BROADCAST => libc::SO_BROADCAST,
        SNDBUF => libc::SO_SNDBUF,
        RCVBUF => libc::SO_RCVBUF,
        KEEPALIVE => libc::SO_KEEPALIVE,
        OOBINLINE => libc::SO_OOBINLINE,
        RCVLOWAT => libc::SO_RCVLOWAT,
        BINDTODEVICE => libc::SO_BINDTODEVICE,
        // A close that lingers blocks its thread, even for a non-blocking socket; one of no time resets.
        LINGER if value.len() >= 8 && value[4..8] == [0; 4] => libc::SO_LINGER,
        // REUSEADDR is always on for TCP, and would let programs share a port of UDP. Time-outs are ours.
        _ => return None,
    })
}

pub fn set(socket: &mut Socket, name: u32, value: &[u8]) -> io::Result<()> {
    let valid = match name {
        TYPE | ERROR | ACCEPTCONN => return Err(error(libc::ENOPROTOOPT)),
        RCVTIMEO | SNDTIMEO => wire::timeval(value).map_err(|_| error(libc::EDOM)).map(|_| true)?,
        BINDTODEVICE => value.len() < MAX_VALUE_LEN,
        LINGER => value.len() == 8,
        REUSEADDR..=RCVLOWAT => value.len() == 4,
        _ => return Err(error(libc::ENOPROTOOPT)),
    };
    if !valid {
        return Err(error(libc::EINVAL));
    }
    if let Some(linux) = passed_on(name, value) {
        set_raw(&*socket.os()?, linux, value)?;
    }
    socket.options.values.insert(name, value.to_vec());
    Ok(())
}

pub fn get(socket: &mut Socket, name: u32, max_len: usize) -> io::Result<Vec<u8>> {
    let int = |value: i32| value.to_le_bytes().to_vec();
    let value = match name {
        TYPE if socket.protocol == Protocol::Udp => int(wire::SOCK_DGRAM.into()),
        TYPE => int(wire::SOCK_STREAM.into()),
        ACCEPTCONN => int(socket.is_listening().into()),
        ERROR => {
            let error = socket.os()?.take_error()?;
            int(error.map_or(0, |error| Errno::from(error).0.into()))
        }
        RCVTIMEO | SNDTIMEO => {
            let timeout = socket.options.timeout(name);
            wire::timeval_bytes(timeout.map(|timeout| timeout.as_micros() as u64)).to_vec()
        }
        REUSEADDR | LINGER => match socket.options.values.get(&name) {
            Some(value) => value.clone(),
            None if name == LINGER => vec![0; 8],
            None => int(0),
        },
        BINDTODEVICE => get_raw(&*socket.os()?, libc::SO_BINDTODEVICE)?,
        name => {
            let linux = passed_on(name, &[]).ok_or_else(|| error(libc::ENOPROTOOPT))?;
            get_raw(&*socket.os()?, linux)?
        }
    };
    if value.len() > max_len {
        return Err(error(libc::EINVAL));
    }
    Ok(value)
}

fn set_raw(os: &OsSocket, name: i32, value: &[u8]) -> io::Result<()> {
    // SAFETY: the descriptor is open for as long as `os` is borrowed, and pointer and length are those of
    // `value`, which the call only reads.
    let result = unsafe {
        libc::setsockopt(
            os.as_raw_fd(),
            libc::SOL_SOCKET,
            name,
            value.as_ptr().cast(),
            value.len() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn get_raw(os: &OsSocket, name: i32) -> io::Result<Vec<u8>> {
    let mut value = [0u8; MAX_VALUE_LEN];
    let mut len = value.len() as libc::socklen_t;
    // SAFETY: the descriptor is open for as long as `os` is borrowed, and the call writes at most `len`
    // bytes to `value`.
    let result = unsafe {
        libc::getsockopt(os.as_raw_fd(), libc::SOL_SOCKET, name, value.as_mut_ptr().cast(), &mut len)
    };
    if result == 0 { Ok(value[..len as usize].to_vec()) } else { Err(io::Error::last_os_error()) }
}
