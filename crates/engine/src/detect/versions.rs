//! Versions in the names of interfaces, and the release of WASI that each belongs to.

use super::{Release, SNAPSHOTS};

/// More digits than any patch release will have.
const MAX_PATCH_DIGITS: usize = 6;

/// Interfaces of Spin with functions that are `async` (spinframework/spin, `wit/deps`), which are of WASI 0.3's
/// component model.
const ASYNCHRONOUS: [&str; 7] = [
    "spin:key-value/key-value@3.0.0",
    "spin:mysql/mysql@3.0.0",
    "spin:postgres/postgres@4.2.0",
    "spin:redis/inbound-redis@3.0.0",
    "spin:redis/redis@3.0.0",
    "spin:sqlite/sqlite@3.1.0",
    "spin:variables/variables@3.0.0",
];

/// Whether a component with this interface needs an engine with concurrency support.
pub fn is_of_0_3(name: &str) -> bool {
    let (interface, version) = split_version(name);
    (interface.starts_with("wasi:") && release(version) == Some(Release::V0_3))
        || ASYNCHRONOUS.contains(&name)
}

/// `wasi:cli/run@0.2.6` → (`wasi:cli/run`, `0.2.6`); the version is empty where there is none.
pub fn split_version(name: &str) -> (&str, &str) {
    name.split_once('@').unwrap_or((name, ""))
}

/// `None` for versions with a suffix, but for the known snapshots, and for generations that we do not know.
pub fn release(version: &str) -> Option<Release> {
    if let Some((_, release)) = SNAPSHOTS.iter().find(|(snapshot, _)| *snapshot == version) {
        return Some(*release);
    }
    let (generation, patch) = match version.strip_prefix("0.2.") {
        Some(patch) => (Release::V0_2, patch),
        None => (Release::V0_3, version.strip_prefix("0.3.")?),
    };
    let digits = patch.bytes().all(|byte| byte.is_ascii_digit());
    (digits && (1..=MAX_PATCH_DIGITS).contains(&patch.len())).then_some(generation)
}
