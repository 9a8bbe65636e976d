//! Makes threads prompt or patient: a worker waits for its connections most of the time, and when one has something
//! to say, threads that compute for long shall not keep it waiting.
//!
//! The kernel lets a thread that wakes preempt one that has a longer slice, as far as their shares of the processor
//! allow (EEVDF's "short slices", Linux 6.12: kernel/sched/fair.c, `do_preempt_short`). The default is some
//! milliseconds.

/// The shortest that the kernel takes.
const SLICE_PROMPT_NS: u64 = 100_000;
/// A longer one lets such a thread wait longer where the machine is busy, and its neighbours no less.
const SLICE_PATIENT_NS: u64 = 5_000_000;

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
    // A nice value that was given to the process stays: the call sets both.
    let _ = set(nice(), SLICE_PROMPT_NS);
}

/// Asks the kernel to let threads that wake go first: for threads that compute for long. They have the same priority
/// as all others, so they get their share where the machine is busy, and are to yield now and then
/// (`sched_yield`, which gives away what is left of the slice).
pub fn be_patient() {
    let _ = set(nice(), SLICE_PATIENT_NS);
}

/// Whether the kernel took it.
fn set(nice: i32, slice_ns: u64) -> bool {
    let attr = SchedAttr {
        size: size_of::<SchedAttr>() as u32,
        policy: libc::SCHED_OTHER as u32,
        nice,
        runtime_ns: slice_ns,
        ..SchedAttr::default()
    };
    // SAFETY: the pointer is to a structure of the size that it names, which the kernel only reads; 0 is the
    // calling thread.
    unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) == 0 }
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

    #[test]
    fn a_patient_thread_keeps_its_priority() {
        let thread = std::thread::spawn(|| {
            let before = super::nice();
            super::be_patient();
            (before, super::nice())
        });
        let (before, after) = thread.join().unwrap();
        assert_eq!(after, before);
    }
}
