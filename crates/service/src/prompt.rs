//! Makes a thread prompt: a worker waits for its connections most of the time, and when one has something to
//! say, threads that compute for long shall not keep it waiting.

/// What the kernel lets other threads finish before a prompt one runs. The default is some milliseconds.
const SLICE_NS: u64 = 100_000;

/// `struct sched_attr` of sched_setattr(2), in its first form of 48 bytes.
#[repr(C)]
#[derive(Default)]
struct SchedAttr {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    /// For the usual policy, since Linux 6.12: the thread's slice.
    runtime_ns: u64,
    deadline_ns: u64,
    period_ns: u64,
}

/// Asks the kernel to run this thread soon after it wakes. Older kernels, and sandboxes that refuse the call,
/// leave everything as it is.
pub(crate) fn be_prompt() {
    let attr = SchedAttr {
        size: size_of::<SchedAttr>() as u32,
        policy: libc::SCHED_OTHER as u32,
        // A nice value that was given to the process stays: the call sets both.
        nice: nice(),
        runtime_ns: SLICE_NS,
        ..SchedAttr::default()
    };
    // SAFETY: the pointer is to a structure of the size that it names, which the kernel only reads; 0 is the
    // calling thread.
    let _ = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) };
}

fn nice() -> i32 {
    // SAFETY: takes and returns numbers. -1 may be an error, and is then as good as any.
    unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_prompt_thread_goes_on() {
        let nice = super::nice();
        super::be_prompt();
        assert_eq!(super::nice(), nice);
    }
}
