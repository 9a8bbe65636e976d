//! What of a container outlives its shim: a folder, from which `delete` cleans up after a shim that was killed.
//!
//! `config.json` is the spec as it is run; `ID/` is libcontainer's.

use crate::fail::{Context, Fail, Result};
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

const ROOT: &str = "/run/sampan/shim";

pub fn folder(namespace: &str, id: &str) -> Result<PathBuf> {
    check_name(namespace)?;
    check_name(id)?;
    Ok(Path::new(ROOT).join(namespace).join(id))
}

/// Names become paths. containerd allows no more, but this does not depend on it.
pub fn check_name(name: &str) -> Result<()> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || name.len() > 128 || name.starts_with('.') || !name.bytes().all(plain) {
        return Err(Fail::invalid(format!("`{name}` is no name of a container, process or namespace")));
    }
    Ok(())
}

pub fn create(folder: &Path) -> Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.context(format!("cannot make {}", folder.display()))
}

/// The folder, and those above it that nobody else uses.
pub fn remove(folder: &Path) {
    let _ = fs::remove_dir_all(folder);
    for parent in folder.ancestors().skip(1).take_while(|parent| parent.starts_with(ROOT)) {
        if fs::remove_dir(parent).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside() {
        assert_eq!(folder("k8s.io", "a-b_c.1").unwrap(), Path::new("/run/sampan/shim/k8s.io/a-b_c.1"));
        for name in ["", ".", "..", ".x", "a/b", "a\0b", "ä", &"x".repeat(129)] {
            assert!(folder("default", name).is_err() && folder(name, "x").is_err(), "{name:?}");
        }
    }
}
