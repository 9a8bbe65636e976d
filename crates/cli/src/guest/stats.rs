//! What a guest uses, told to whoever asks at a socket in the container's folder: a line of JSON for each connection.

use sampan_containers::{GUEST_SOCKET, GuestStats};
use sampan_runtime::Counters;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;

/// A thread that only waits needs little.
const STACK_BYTES: usize = 64 << 10;

/// Starts to tell. The socket's path may be longer than an address can be, so it is reached through its folder.
pub fn tell(folder: &Path, counters: Arc<Counters>) -> io::Result<()> {
    let path = folder.join(GUEST_SOCKET);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let folder = File::open(folder)?;
    let listener = UnixListener::bind(format!("/proc/self/fd/{}/{GUEST_SOCKET}", folder.as_raw_fd()))?;
    let answer = move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let (memory_bytes, memory_peak_bytes) = counters.memory_bytes();
            let (received_bytes, sent_bytes) = counters.traffic().bytes();
            let host_calls = counters.host_calls();
            let stats =
                GuestStats { memory_bytes, memory_peak_bytes, host_calls, received_bytes, sent_bytes };
            // Who asked may be gone.
            let _ = stream.write_all(&serde_json::to_vec(&stats).unwrap_or_default());
        }
    };
    std::thread::Builder::new().name("stats".into()).stack_size(STACK_BYTES).spawn(answer).map(drop)
}
