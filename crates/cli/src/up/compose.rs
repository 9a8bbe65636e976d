//! Components with dependencies: made one before they are loaded, in a file of their own.

use super::assets;
use crate::fail::Fail;
use crate::manifest;
use sampan_app::{App, Component, Diagnostic, Outline, Severity};
use sampan_engine::MAX_WASM_BYTES;
use sampan_engine::compose::{Dependency, compose};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use tempfile::TempDir;

/// The file that has all of it, which goes with the folder that it lies in.
pub struct Composed {
    _folder: TempDir,
}

/// Gives a component with dependencies a `source` in which they are. `None` where it has none.
pub fn component(app: &App, component: &mut Component) -> Result<Option<Composed>, Fail> {
    if component.dependencies.is_empty() {
        return Ok(None);
    }
    let refused = |message: String, help: &str| refused(app, component, message, help);
    let load = |path: &Path| {
        read(path).map_err(|error| {
            let message = format!("cannot read {}: {error}", path.display());
            refused(message, "check the path, and build the file first")
        })
    };
    let main = load(&component.source)?;
    let files = component.dependencies.iter().map(|one| load(&one.source)).collect::<Result<Vec<_>, _>>()?;
    let all = component.dependencies.iter().zip(&files).map(|(one, wasm)| Dependency {
        name: &one.name,
        wasm,
        export: one.export.as_deref(),
        inherits: one.inherits,
    });
    let composed = compose(&main, &all.collect::<Vec<_>>());
    let composed = composed.map_err(|error| refused(error.to_string(), error.help()))?;
    let folder = assets::folder(app, component, "composed")?;
    let path = folder.path().join("composed.wasm");
    std::fs::write(&path, composed).map_err(|error| {
        let message = format!("cannot write {}: {error}", path.display());
        refused(message, "check the space on the disk")
    })?;
    component.source = path;
    Ok(Some(Composed { _folder: folder }))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_WASM_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_WASM_BYTES {
        let what = format!("it is larger than {} MiB", MAX_WASM_BYTES >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
    }
    Ok(bytes)
}

fn refused(app: &App, component: &Component, message: String, help: &str) -> Fail {
    let outline = Outline::of(&std::fs::read_to_string(&app.manifest).unwrap_or_default());
    let diagnostic = Diagnostic {
        severity: Severity::Error,
        message: format!("app {}, component {}: {message}", app.name, component.name),
        file: app.manifest.clone(),
        span: outline.components.get(&component.name).cloned(),
        hidden: false,
        help: Some(help.to_owned()),
    };
    Fail::shown(manifest::rendered(&[diagnostic]))
}
