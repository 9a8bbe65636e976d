//! From a manifest's text to an [`App`]. `sampan.toml` and `spin.toml` (version 1 and 2) become the same data.
//!
//! A manifest is read to its end, whatever is wrong with it, so that everything is reported at once.

mod env_file;
pub(crate) mod findings;
mod names;
mod network;
mod outline;
mod routes;
mod sampan;
mod spin;
mod tree;
mod variables;
mod wasip1;

pub use outline::Outline;

use crate::{App, Diagnostic, Severity};
use findings::{Findings, Span};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use toml::de::DeTable;
use tree::Table;

/// A manifest, or a file of variables, is no longer than this.
const TEXT_BYTES_MAX: u64 = 4 << 20;
/// The file names of manifests.
const SAMPAN: &str = "sampan.toml";
const SPIN: &str = "spin.toml";

/// What a manifest refers to and does not hold: variables of the environment, and files of variables.
pub struct Surroundings<'a> {
    /// The process's environment.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// Files with values of variables (`--env-file`), asked after the environment and `.env`.
    pub variables_files: Vec<PathBuf>,
}

impl<'a> Surroundings<'a> {
    pub fn new(env: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Surroundings { env, variables_files: Vec::new() }
    }
}

/// An app and what is doubtful about it, or everything that is wrong.
pub type Read = Result<(App, Vec<Diagnostic>), Vec<Diagnostic>>;

/// Reads `sampan.toml`, or `spin.toml` of version 1 or 2.
///
/// # Errors
/// All findings, of which at least one is an error.
pub fn read_manifest(path: &Path, surroundings: &Surroundings<'_>) -> Read {
    match read_text(path) {
        Ok(text) => parse_manifest(path, &text, surroundings),
        Err(error) => Err(vec![Diagnostic {
            severity: Severity::Error,
            message: format!("cannot read {}: {error}", path.display()),
            file: path.to_owned(),
            span: None,
            hidden: false,
            help: Some("check the path of the manifest, or make an app with `sampan new`".to_owned()),
        }]),
    }
}

/// As [`read_manifest`], with the text at hand. `path` tells where the app lies.
///
/// # Errors
/// All findings, of which at least one is an error.
pub fn parse_manifest(path: &Path, text: &str, surroundings: &Surroundings<'_>) -> Read {
    let mut f = Findings::new(path);
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let (tree, errors) = DeTable::parse_recoverable(text);
    report_syntax(text, &errors, "the manifest", &mut f);
    if f.has_errors() {
        return Err(f.into_list());
    }
    let mut table = Table::root(&tree);
    let root = path.parent().unwrap_or(Path::new("/")).to_owned();
    let source = Source { root, path, messaging: table.names_in("messaging"), surroundings };
    let app = match spin::version(&mut table, &source.path) {
        None => sampan::read(table, &source, &mut f),
        Some(version) => spin::read(table, version, &source, &mut f),
    };
    if f.has_errors() { Err(f.into_list()) } else { Ok((app, f.into_list())) }
}

/// Says what is no TOML. A line that may hold a secret is not shown, and its text is in no message either.
fn report_syntax(text: &str, errors: &[toml::de::Error], what: &str, f: &mut Findings) {
    for error in errors {
        let span = error.span().unwrap_or(text.len()..text.len());
        let start = text.floor_char_boundary(span.start.min(text.len()));
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line = text[line_start..].lines().next().unwrap_or_default();
        let password = line.split_once("://").is_some_and(|(_, rest)| rest.contains('@'));
        f.hide(password || line.contains("secret"));
        f.error(span.into(), format!("{what} is not TOML: {}", error.message()));
    }
    f.hide(false);
}

/// The manifest of the app in a folder.
///
/// # Errors
/// If there is none, or if there are two, so that one must be chosen.
pub fn find_manifest(folder: &Path) -> Result<PathBuf, Diagnostic> {
    let (sampan, spin) = (folder.join(SAMPAN), folder.join(SPIN));
    let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let error = |message: String, help: &str| Diagnostic {
        severity: Severity::Error,
        message,
        file: here.to_owned(),
        span: None,
        hidden: false,
        help: Some(help.to_owned()),
    };
    match (sampan.is_file(), spin.is_file()) {
        (true, false) => Ok(sampan),
        (false, true) => Ok(spin),
        (true, true) => Err(error(
            format!("there are two manifests: {} and {}", sampan.display(), spin.display()),
            "choose one: -f sampan.toml or -f spin.toml",
        )),
        (false, false) => Err(error(
            format!("there is no {SAMPAN} and no {SPIN} in {}", here.display()),
            "name the manifest with -f FILE, or make an app with `sampan new`",
        )),
    }
}

/// Where a manifest lies, and what it may refer to.
struct Source<'a> {
    path: PathBuf,
    root: PathBuf,
    /// The names of `[messaging.NAME]`.
    messaging: Vec<String>,
    surroundings: &'a Surroundings<'a>,
}

impl Source<'_> {
    /// The files of variables: the command line's, then the manifest's own.
    fn variables_files(&self, own: &[tree::Text<'_>]) -> Vec<(PathBuf, Option<Span>)> {
        let named = self.surroundings.variables_files.iter().map(|path| (path.clone(), None));
        named.chain(own.iter().map(|text| (self.root.join(text.text), Some(text.span)))).collect()
    }
}

/// Reads a text file of bounded size. Devices and pipes are refused: a manifest could name one that never ends,
/// or that nobody writes to.
pub(crate) fn read_text(path: &Path) -> Result<String, String> {
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is not a file".to_owned());
    }
    read_stream(path)
}

/// As [`read_text`], for what the command line names: also a pipe, as `<(…)` of a shell.
fn read_stream(path: &Path) -> Result<String, String> {
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    file.take(TEXT_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > TEXT_BYTES_MAX {
        return Err("it is larger than 4 MiB".to_owned());
    }
    String::from_utf8(bytes)
        .map_err(|error| format!("it is not UTF-8 text (at byte {})", error.utf8_error().valid_up_to()))
}
