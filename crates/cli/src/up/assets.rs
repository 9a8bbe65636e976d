//! Files that a manifest hands to a component by pattern: copied to a folder of their own, which the guest
//! sees read-only as its root.

use crate::fail::Fail;
use sampan_app::{App, Component, Mount};
use std::fs;
use std::io;
use std::path::Path;
use tempfile::TempDir;

/// The copy. Removed when the value is dropped, that is, when the last version of the app that uses it ends.
pub struct Staged {
    _folder: TempDir,
}

/// Copies the assets of a component, and mounts the copy. `None` where it has none.
pub fn stage(app: &App, component: &mut Component) -> Result<Option<Staged>, Fail> {
    if component.assets.is_empty() {
        return Ok(None);
    }
    let folder = folder(app, component, "assets")?;
    for asset in &component.assets {
        let to = folder.path().join(asset.guest.trim_start_matches('/'));
        let copied = fs::create_dir_all(to.parent().unwrap_or(folder.path()))
            .and_then(|()| fs::copy(&asset.source, &to).map(drop));
        copied.map_err(|error| failed(component, &asset.source, &error))?;
    }
    let host = folder.path().to_owned();
    component.grants.mounts.push(Mount { host, guest: "/".to_owned(), read_only: true });
    Ok(Some(Staged { _folder: folder }))
}

/// A folder below `.sampan` for files of this process that are made for a component.
pub fn folder(app: &App, component: &Component, kind: &str) -> Result<TempDir, Fail> {
    let parent = app.state.join(kind);
    fs::create_dir_all(&parent).map_err(|error| failed(component, &parent, &error))?;
    remove_leftovers(&parent);
    // The process's number tells later runs whether the files are still used.
    let prefix = format!("{}-{}-", std::process::id(), component.name);
    let folder = tempfile::Builder::new().prefix(&prefix).tempdir_in(&parent);
    folder.map_err(|error| failed(component, &parent, &error))
}

fn failed(component: &Component, path: &Path, error: &io::Error) -> Fail {
    Fail::new(format!("cannot copy the files of component `{}`: {}: {error}", component.name, path.display()))
        .help("check that the files are there and that the app's folder is writable")
}

/// Removes what processes left that were killed.
fn remove_leftovers(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.split('-').next()?.parse::<u32>().ok());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            // Another process may remove it at the same time.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
