//! How code is compiled and run: the two profiles, and every choice that native code depends on.

use wasmtime::{Config, OptLevel};

/// What the code is for. Code of one profile does not load under the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// One guest in its own process: memory on demand, no checks in the code, a timer ends the process.
    Program,
    /// Many guests in one process: epoch checks in the code, so that a loop can be interrupted.
    Server,
}

impl Profile {
    /// As it stands in the names of cached artifacts and in shipped ones.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Profile::Program => "program",
            Profile::Server => "server",
        }
    }
}

/// Optimisation, as `-O` says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Optimize {
    None,
    #[default]
    Speed,
    SpeedAndSize,
}

/// Everything that native code is bound to. Two equal values make interchangeable code on one machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub profile: Profile,
    pub optimize: Optimize,
    /// Count instructions, so that `--fuel` can end the guest.
    pub fuel: bool,
    /// Keep what a core dump of a trapped guest needs.
    pub coredump: bool,
    /// Stack for WebAssembly frames, in bytes. Does not change the code.
    pub stack_bytes: usize,
    /// A target triple other than this machine's: code to ship, not to run.
    pub target: Option<String>,
    /// The process may not map much memory: no large reservations, bounds checks instead.
    pub small_address_space: bool,
}

/// Deep enough for interpreters that recurse on the WebAssembly stack, a fraction of a native thread's.
const DEFAULT_STACK_BYTES: usize = 4 << 20;
/// Host calls run on the same stack above the guest's frames.
const HOST_STACK_BYTES: usize = 1 << 20;
/// A 32-bit memory with its guards takes 4 GiB of address space and more; below this, do without.
const SMALL_ADDRESS_SPACE_BYTES: u64 = 32 << 30;
/// What may be reserved for a memory where address space is scarce.
const SMALL_RESERVATION_BYTES: u64 = 16 << 20;
/// The Wasmtime that this build contains; part of every cache key.
pub const ENGINE_VERSION: &str = "wasmtime-48.0.8";

impl Settings {
    pub fn new(profile: Profile) -> Self {
        Settings {
            profile,
            optimize: Optimize::default(),
            fuel: false,
            coredump: false,
            stack_bytes: DEFAULT_STACK_BYTES,
            target: None,
            small_address_space: address_space_is_small(),
        }
    }

    /// A short text that differs whenever the code would: part of the names of cached artifacts.
    pub fn code_key(&self) -> String {
        let profile = self.profile.name();
        let optimize = match self.optimize {
            Optimize::None => "O0",
            Optimize::Speed => "O2",
            Optimize::SpeedAndSize => "Os",
        };
        let mut key = format!("{profile}-{optimize}");
        for (set, mark) in [(self.fuel, "-fuel"), (self.small_address_space, "-small")] {
            if set {
                key.push_str(mark);
            }
        }
        key
    }

    /// An engine that compiles and runs core modules: for tests of what these settings allow. Everything else
    /// loads through [`crate::Loader`].
    pub fn module_engine(&self) -> wasmtime::Result<wasmtime::Engine> {
        wasmtime::Engine::new(&self.config(false)?)
    }

    /// Wasmtime's configuration. The `concurrent` one runs guests of WASI 0.3; the other is faster.
    pub(crate) fn config(&self, concurrent: bool) -> wasmtime::Result<Config> {
        let mut config = Config::new();
        if let Some(target) = &self.target {
            config.target(target)?;
        }
        config
            .cranelift_opt_level(match self.optimize {
                Optimize::None => OptLevel::None,
                Optimize::Speed => OptLevel::Speed,
                Optimize::SpeedAndSize => OptLevel::SpeedAndSize,
            })
            .consume_fuel(self.fuel)
            .epoch_interruption(self.profile == Profile::Server)
            .coredump_on_trap(self.coredump)
            .max_wasm_stack(self.stack_bytes)
            .async_stack_size(self.stack_bytes + HOST_STACK_BYTES)
            .wasm_exceptions(true)
            .wasm_gc(true)
            .wasm_function_references(true)
            .wasm_wide_arithmetic(true)
            .wasm_backtrace_details(wasmtime::WasmBacktraceDetails::Enable)
            // Only profilers and debuggers of native code would use it, and it slows loading.
            .native_unwind_info(false)
            .concurrency_support(concurrent);
        if self.small_address_space {
            config.memory_reservation(SMALL_RESERVATION_BYTES);
            config.memory_reservation_for_growth(SMALL_RESERVATION_BYTES);
            config.memory_guard_size(0);
            config.gc_heap_reservation(SMALL_RESERVATION_BYTES);
            config.gc_heap_reservation_for_growth(SMALL_RESERVATION_BYTES);
            config.gc_heap_guard_size(0);
        }
        Ok(config)
    }
}

/// Whether `ulimit -v` leaves too little for memories that are bounded by the hardware.
fn address_space_is_small() -> bool {
    let limit = rustix::process::getrlimit(rustix::process::Resource::As);
    limit.current.is_some_and(|bytes| bytes < SMALL_ADDRESS_SPACE_BYTES)
}

/// The processor features that native code may depend on, as a short text.
pub(crate) fn cpu_key() -> String {
    let mut bits = 0u32;
    #[cfg(target_arch = "x86_64")]
    for (index, present) in [
        std::is_x86_feature_detected!("sse3"),
        std::is_x86_feature_detected!("ssse3"),
        std::is_x86_feature_detected!("sse4.1"),
        std::is_x86_feature_detected!("sse4.2"),
        std::is_x86_feature_detected!("popcnt"),
        std::is_x86_feature_detected!("avx"),
        std::is_x86_feature_detected!("avx2"),
        std::is_x86_feature_detected!("fma"),
        std::is_x86_feature_detected!("bmi1"),
        std::is_x86_feature_detected!("bmi2"),
        std::is_x86_feature_detected!("lzcnt"),
        std::is_x86_feature_detected!("avx512f"),
        std::is_x86_feature_detected!("avx512dq"),
        std::is_x86_feature_detected!("avx512vl"),
        std::is_x86_feature_detected!("avx512bitalg"),
        std::is_x86_feature_detected!("avx512vbmi"),
    ]
    .into_iter()
    .enumerate()
    {
        bits |= u32::from(present) << index;
    }
    #[cfg(target_arch = "aarch64")]
    for (index, present) in
        [std::arch::is_aarch64_feature_detected!("lse"), std::arch::is_aarch64_feature_detected!("paca")]
            .into_iter()
            .enumerate()
    {
        bits |= u32::from(present) << index;
    }
    format!("{}-{bits:x}", std::env::consts::ARCH)
}
