//! Where things are: the project's root and Cargo's target folder.

use std::path::{Path, PathBuf};

/// The folder of the workspace's Cargo.toml.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask/ is a folder of the root")
}

/// The target folder that this program was built into: Cargo marks it with a CACHEDIR.TAG. (The variable
/// CARGO_TARGET_DIR would not do: it may also come from a configuration file.)
pub fn target() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let tagged = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists());
    tagged.map_or_else(|| root().join("target"), Path::to_path_buf)
}
