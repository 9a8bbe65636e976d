//! How large the pools and budgets of a server are: from its manifests, and from the machine.

use sampan_app::App;
use sampan_engine::server::{Pool, max_map_count};

/// What a server is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    pub pool: Pool,
    /// What all instances of all apps may take together.
    pub memory_bytes: u64,
    /// Components whose code is kept mapped; beyond it, the least recently used are unloaded.
    pub loaded: usize,
    /// Whether guests of WASI 0.3 are served.
    pub wasi_0_3: bool,
}

/// What one pool holds at least, so that a reload may bring larger limits.
const INSTANCES_MIN: u32 = 256;
/// What one pool holds at most, unless a manifest asks for more for a single component.
const INSTANCES_USUAL: u32 = 1024;
/// Mappings of one component's code and its memory images (measured: 3 to 6).
const MAPPINGS_EACH: u64 = 8;

impl Plan {
    /// For the apps that are known at start. `memory_bytes` is what the user allows all of them together; else
    /// it is most of the machine's memory.
    pub fn of(apps: &[App], memory_bytes: Option<u64>) -> Self {
        let components = || apps.iter().flat_map(|app| &app.components);
        let wanted: u64 = components().map(|component| u64::from(component.serving.instances)).sum();
        let single = components().map(|component| component.serving.instances).max().unwrap_or_default();
        let most = INSTANCES_USUAL.max(single);
        let instances = u32::try_from(wanted).unwrap_or(u32::MAX).clamp(INSTANCES_MIN, most);
        Plan {
            // Limits of memory are kept by the instances' allowances: a smaller slot saves address space alone,
            // and would refuse what a reloaded manifest allows.
            pool: Pool { instances, memory_bytes: None },
            memory_bytes: memory_bytes.unwrap_or_else(|| machine_bytes() / 4 * 3),
            loaded: usize::try_from(max_map_count() / 2 / MAPPINGS_EACH).unwrap_or(usize::MAX),
            wasi_0_3: true,
        }
    }
}

impl Default for Plan {
    fn default() -> Self {
        Plan::of(&[], None)
    }
}

/// The memory of this machine.
fn machine_bytes() -> u64 {
    let info = rustix::system::sysinfo();
    // The fields' types differ between processors.
    #[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
    {
        info.totalram as u64 * u64::from(info.mem_unit)
    }
}
