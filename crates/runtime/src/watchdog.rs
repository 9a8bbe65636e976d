//! Ends the process when the guest's time is over or a signal asks for it.
//!
//! A program has its process to itself, so its code needs no checks for interruption: ending the process
//! ends the guest, whatever it does.

use crate::exit_code;
use sampan_app::Limits;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// SIGINT and SIGTERM end the process at once with 128 + their number, also as process 1 of a container,
/// where the kernel ignores them by default.
pub fn exit_on_signals() -> std::io::Result<()> {
    for signal in [SIGINT, SIGTERM] {
        let always = Arc::new(AtomicBool::new(true));
        signal_hook::flag::register_conditional_shutdown(
            signal,
            i32::from(exit_code::SIGNAL) + signal,
            always,
        )?;
    }
    Ok(())
}

/// Starts to count the guest's time. Starts a thread only if there is a limit.
pub fn start(limits: &Limits) -> std::io::Result<()> {
    if limits.timeout.is_none() && limits.cpu_time.is_none() {
        return Ok(());
    }
    let (timeout, cpu_time) = (limits.timeout, limits.cpu_time);
    let (begin, cpu_begin) = (Instant::now(), process_cpu_time());
    let watch = move || loop {
        let wall_left = timeout.map(|limit| limit.saturating_sub(begin.elapsed()));
        if wall_left == Some(Duration::ZERO) {
            end(exit_code::TIMEOUT, "--timeout", "time", timeout.unwrap_or_default());
        }
        let cpu_left =
            cpu_time.map(|limit| limit.saturating_sub(process_cpu_time().saturating_sub(cpu_begin)));
        if cpu_left == Some(Duration::ZERO) {
            end(exit_code::CPU_TIME, "--cpu-time", "processor time", cpu_time.unwrap_or_default());
        }
        // Processor time passes at most as fast as wall time, but for helper threads of the host: look
        // again before it can be over.
        let next = wall_left.into_iter().chain(cpu_left).min().unwrap_or_default();
        std::thread::sleep(next.max(Duration::from_millis(1)));
    };
    std::thread::Builder::new().name("watchdog".into()).spawn(watch).map(drop)
}

fn process_cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.max(0) as u64, time.tv_nsec.max(0) as u32)
}

fn end(code: u8, flag: &str, what: &str, limit: Duration) -> ! {
    let message = format!(
        "error: the guest was stopped: its {what} of {limit:?} is over\nhelp: more is given with {flag}\n"
    );
    // The process ends here, whether or not anybody reads it.
    let _ = std::io::stderr().write_all(message.as_bytes());
    signal_hook::low_level::exit(i32::from(code))
}
