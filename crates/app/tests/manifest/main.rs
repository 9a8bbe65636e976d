//! Manifests as users write them: what they mean, and what is said of those that are wrong.

mod bad_input;
mod dapr;
mod docs;
mod filter_results;
mod find;
mod image;
mod messaging;
mod policy;
mod resources;
mod resources_bad;
mod sampan;
mod spin;
mod spin_apps;
mod spin_dependencies;
mod spin_files;
mod spin_sources;
mod triggers;
mod upstream;
mod variables;

use sampan_app::{App, Component, Diagnostic, Severity, Surroundings, parse_manifest, read_manifest};
use std::path::Path;

/// Reads a manifest that lies nowhere.
pub fn parse(name: &str, text: &str) -> Result<(App, Vec<Diagnostic>), Vec<Diagnostic>> {
    parse_with(name, text, &|_| None)
}

pub fn parse_with(
    name: &str,
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<(App, Vec<Diagnostic>), Vec<Diagnostic>> {
    let path = Path::new("/no/such/folder").join(name);
    parse_manifest(&path, text, &Surroundings::new(env))
}

/// As [`parse`], for manifests that are right; the findings are messages of warnings.
#[track_caller]
pub fn good(name: &str, text: &str) -> (App, Vec<String>) {
    match parse(name, text) {
        Ok((app, warnings)) => {
            assert!(warnings.iter().all(|one| one.severity == Severity::Warning), "{warnings:?}");
            (app, warnings.into_iter().map(|one| one.message).collect())
        }
        Err(findings) => panic!("{findings:#?}\n{text}"),
    }
}

/// The findings of a manifest that is wrong: the marked text, the message and the help of each.
#[track_caller]
pub fn bad(name: &str, text: &str) -> Vec<(String, String, String)> {
    let findings = match parse(name, text) {
        Ok((app, _)) => panic!("nothing is wrong with it: {app:#?}\n{text}"),
        Err(findings) => findings,
    };
    let errors = findings.into_iter().filter(|one| one.severity == Severity::Error);
    errors
        .map(|one| {
            let marked = one.span.map(|span| text.get(span).expect("a span within the text").to_owned());
            (marked.unwrap_or_default(), one.message, one.help.unwrap_or_default())
        })
        .collect()
}

/// An app in a folder of its own.
pub struct Folder(pub tempfile::TempDir);

impl Folder {
    pub fn new(files: &[(&str, &str)]) -> Self {
        let folder = Folder(tempfile::tempdir().unwrap());
        for (name, text) in files {
            folder.write(name, text);
        }
        folder
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn read(&self, name: &str) -> Result<(App, Vec<Diagnostic>), Vec<Diagnostic>> {
        read_manifest(&self.path().join(name), &Surroundings::new(&|_| None))
    }
}

#[track_caller]
pub fn component<'a>(app: &'a App, name: &str) -> &'a Component {
    app.components.iter().find(|component| component.name == name).expect("the component")
}
