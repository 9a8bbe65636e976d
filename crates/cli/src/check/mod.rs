//! `sampan check`: says everything that is wrong with an app, without starting it.

mod component;
mod files;

use crate::fail::{Fail, print_stdout};
use crate::manifest::{self, ManifestArgs};
use sampan_app::{App, Diagnostic, Outline, Severity};
use serde::Serialize;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Say what is wrong with an app: its manifest, its files, and what its components lack
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    #[command(flatten)]
    manifest: ManifestArgs,

    /// Print JSON: a list of findings
    #[arg(long)]
    json: bool,
}

const AFTER_HELP: &str = "\
Exit codes: 0 when nothing is wrong or only warnings were given, 1 otherwise.

A host `*` in a grant reaches public addresses only. Name what a component may
reach on this machine or in private networks: http://127.0.0.1:PORT, a name, or
a network such as 10.0.0.0/8.";

pub fn run(args: Args) -> Result<ExitCode, Fail> {
    let (app, diagnostics) = match manifest::resolve(args.manifest.file.as_deref()) {
        Err(one) => (None, vec![one]),
        Ok(path) => match manifest::read(&path, &args.manifest.env_file) {
            Ok((app, mut diagnostics)) => {
                diagnostics.extend(look_further(&app, &path));
                (Some(app), diagnostics)
            }
            Err(diagnostics) => (None, diagnostics),
        },
    };
    let errors = diagnostics.iter().filter(|one| one.severity == Severity::Error).count();
    let code = if errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if args.json {
        print_stdout(&json(&diagnostics)?)?;
        return Ok(code);
    }
    manifest::print(&diagnostics);
    print_stdout(&summary(app.as_ref(), errors, diagnostics.len() - errors))?;
    Ok(code)
}

/// What only the files of the app tell.
fn look_further(app: &App, path: &Path) -> Vec<Diagnostic> {
    let outline = Outline::of(&std::fs::read_to_string(path).unwrap_or_default());
    let mut diagnostics = files::check(app, path);
    // One file may serve several components.
    let mut looked = component::Looked::default();
    for component in &app.components {
        let place = component::Place { file: path, root: &app.root, outline: &outline };
        let wanted = component::Wanted::of(app, &component.name, outline.spin);
        diagnostics.extend(component::check(component, wanted, &place, &mut looked));
    }
    diagnostics
}

fn summary(app: Option<&App>, errors: usize, warnings: usize) -> String {
    let count = |number: usize, what: &str| match number {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        many => format!("{many} {what}s"),
    };
    let found = format!("{}, {}", count(errors, "error"), count(warnings, "warning"));
    match app {
        None => format!("{found}\n"),
        Some(app) => {
            let (components, routes) =
                (count(app.components.len(), "component"), count(app.routes.len(), "route"));
            format!("{}: {components}, {routes}: {found}\n", app.name)
        }
    }
}

/// One finding as programs read it.
#[derive(Serialize)]
struct Finding<'a> {
    severity: &'static str,
    message: &'a str,
    file: String,
    line: Option<usize>,
    column: Option<usize>,
    help: Option<&'a str>,
}

fn json(diagnostics: &[Diagnostic]) -> Result<String, Fail> {
    let mut texts: HashMap<PathBuf, String> = HashMap::new();
    let mut findings = Vec::new();
    for one in diagnostics {
        let read = || std::fs::read_to_string(&one.file).unwrap_or_default();
        let place = one.place(texts.entry(one.file.clone()).or_insert_with(read));
        findings.push(Finding {
            severity: match one.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            message: &one.message,
            file: one.file.display().to_string(),
            line: place.map(|place| place.line),
            column: place.map(|place| place.column),
            help: one.help.as_deref(),
        });
    }
    let json = serde_json::to_string_pretty(&findings);
    json.map(|json| json + "\n").map_err(|error| Fail::new(format!("cannot print the findings: {error}")))
}
