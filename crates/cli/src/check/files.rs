//! Files and folders that an app needs when it starts.

use sampan_app::{App, Diagnostic, Severity, SqlBackend, Target};
use std::path::Path;

pub fn check(app: &App, manifest: &Path) -> Vec<Diagnostic> {
    let mut missing = Vec::new();
    let mut want = |path: &Path, is_there: bool, what: String, help: &str| {
        if !is_there {
            missing.push(Diagnostic {
                severity: Severity::Error,
                message: format!("{what} {} does not exist", path.display()),
                file: manifest.to_owned(),
                span: None,
                hidden: false,
                help: Some(help.to_owned()),
            });
        }
    };
    for route in &app.routes {
        if let Target::Static(folder) = &route.to {
            let what = format!("the route `{}` serves files, and the folder", route.path);
            want(&folder.folder, folder.folder.is_dir(), what, "make the folder, or correct the route");
        }
    }
    for component in &app.components {
        for mount in &component.grants.mounts {
            let what = format!("`grant.files` of the component `{}`:", component.name);
            want(&mount.host, mount.host.exists(), what, "make the file or folder, or correct the grant");
        }
    }
    for tls in app.listen.iter().filter_map(|listen| listen.tls.as_ref()) {
        for (path, what) in [(&tls.cert, "the certificate"), (&tls.key, "the key of the certificate")] {
            want(path, path.is_file(), what.to_owned(), "`tls` names two files in PEM: `cert` and `key`");
        }
    }
    for (name, store) in &app.sql {
        if let Some(ca) = &store.ca {
            let what = format!("the file of certificates `ca` of the store `{name}`:");
            want(ca, ca.is_file(), what, "name a file in PEM, or remove `ca`");
        }
        // A missing database is made; a missing folder above it is, too, below the app's own folder alone.
        if let SqlBackend::Sqlite { path } = &store.backend
            && path.is_dir()
        {
            want(path, false, format!("the store `{name}` is a folder, and the database"), "name a file");
        }
    }
    missing
}
