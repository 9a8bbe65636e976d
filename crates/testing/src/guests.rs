//! The programs in `guests/`, built when a test asks for one that is missing or older than its source.

use crate::{lock, root, target};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

/// The guest of this name as a preview 1 module.
pub fn guest(name: &str) -> PathBuf {
    guest_for("wasm32-wasip1", name)
}

/// The guest of this name for a target that its manifest lists, or `c` for a C program.
pub fn guest_for(platform: &str, name: &str) -> PathBuf {
    let folder = target().join("guests");
    let path = folder.join(platform).join(name).with_extension("wasm");
    let source = match platform {
        "c" => root().join("guests/c").join(name).with_extension("c"),
        _ => root().join("guests").join(name),
    };
    if !fresh(&path, &source) {
        let _one_at_a_time = lock(&folder.join("lock"));
        if !fresh(&path, &source) {
            let built = Command::new("cargo").args(["xtask", "guests", name]).current_dir(root()).status();
            assert!(built.is_ok_and(|status| status.success()), "`cargo xtask guests {name}` failed");
        }
    }
    assert!(path.exists(), "guests/{name} is not built for {platform}; its Cargo.toml lists its targets");
    path
}

/// The guest of this name in the text format.
pub fn wat(name: &str) -> PathBuf {
    let path = root().join("guests/wat").join(name).with_extension("wat");
    assert!(path.exists(), "{} does not exist", path.display());
    path
}

fn fresh(built: &Path, source: &Path) -> bool {
    fs::metadata(built).and_then(|data| data.modified()).is_ok_and(|time| time >= newest(source))
}

/// When a file, or anything in a folder, was last written.
fn newest(path: &Path) -> SystemTime {
    let own = fs::metadata(path).and_then(|data| data.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let inside = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| newest(&entry.path()));
    inside.fold(own, SystemTime::max)
}
