//! `files` of a component: which files of the app appear in the guest. Nothing outside the app's folder is
//! reached, neither by `..` nor by a symbolic link.
//!
//! <https://spinframework.dev/v3/writing-apps#including-files-with-components>

use crate::Asset;
use crate::manifest::Source;
use crate::manifest::findings::{Findings, Span, quoted};
use crate::manifest::tree::{Table, Text};
use globset::{Glob, GlobBuilder, GlobMatcher, GlobSet, GlobSetBuilder};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Files of one component.
const FILES_MAX: usize = 100_000;
/// Entries of folders that are looked at for one entry of `files`.
const VISITED_MAX: usize = 1_000_000;

/// What the manifest asks for.
pub(super) struct Wanted<'a> {
    entries: Vec<Entry<'a>>,
    exclude: GlobSet,
}

enum Entry<'a> {
    /// A path, or a pattern of paths; they keep their names.
    Pattern(Text<'a>),
    /// A file or folder under another name.
    Placement { source: Text<'a>, destination: Text<'a> },
}

pub(super) fn read<'a>(table: &mut Table<'a>, f: &mut Findings) -> Wanted<'a> {
    let mut entries = Vec::new();
    let list = table.get("files").map(|value| value.items("a list of patterns and tables", f));
    for value in list.unwrap_or_default() {
        if !value.is_table() {
            let text = value.typed_string("a pattern, or { source, destination }", f);
            entries.extend(text.map(Entry::Pattern));
            continue;
        }
        let Some(mut place) = value.table(f) else { continue };
        let help = "write { source = \"assets\", destination = \"/\" }";
        let source = place.require("source", f, help).and_then(|value| value.string(f));
        let destination = place.require("destination", f, help).and_then(|value| value.string(f));
        place.finish(f);
        if let (Some(source), Some(destination)) = (source, destination) {
            entries.push(Entry::Placement { source, destination });
        }
    }
    let mut exclude = GlobSetBuilder::new();
    for text in table.strings("exclude_files", f) {
        // Here a `*` reaches across folders: `secrets/*` leaves out all that is below.
        match Glob::new(plain(text.text)) {
            Ok(glob) => {
                exclude.add(glob);
            }
            Err(error) => report_pattern(text, error.kind(), f),
        }
    }
    Wanted { entries, exclude: exclude.build().unwrap_or_default() }
}

fn report_pattern(text: Text<'_>, why: &globset::ErrorKind, f: &mut Findings) {
    let message = format!("{} is not a pattern of files: {why}", quoted(text.text));
    f.error_help(text.span, message, "write a pattern such as \"assets/**/*.png\"");
}

/// Finds the files, under the names that the guest sees.
pub(super) fn expand(wanted: &Wanted<'_>, source: &Source<'_>, f: &mut Findings) -> Vec<Asset> {
    if wanted.entries.is_empty() {
        return Vec::new();
    }
    let Ok(root) = source.root.canonicalize() else {
        f.error_in_file(
            format!("cannot read the folder {}", source.root.display()),
            "`files` are looked for in the folder of the manifest",
        );
        return Vec::new();
    };
    let mut search = Search { root, exclude: &wanted.exclude, found: BTreeMap::new() };
    for entry in &wanted.entries {
        let (span, result) = match entry {
            Entry::Pattern(text) => (text.span, search.pattern(text.text)),
            Entry::Placement { source, destination } => {
                (source.span, search.placement(source.text, destination.text))
            }
        };
        if let Err(problem) = result {
            problem.report(span, f);
        }
    }
    let found = search.found.into_iter();
    found.map(|(guest, source)| Asset { source, guest }).collect()
}

/// Why an entry of `files` cannot be had.
enum Problem {
    Outside(String),
    Missing(String),
    Pattern(String),
    Destination(String),
    Unreadable(PathBuf, std::io::Error),
    TooMany,
    /// A pattern may match nothing; that is doubtful and no more.
    NoMatch(String),
}

impl Problem {
    fn report(self, span: Span, f: &mut Findings) {
        let inside = "files of a component lie in the folder of the manifest: copy or move it there";
        match self {
            Problem::Outside(path) => {
                f.error_help(span, format!("{} leads out of the app's folder", quoted(&path)), inside);
            }
            Problem::Missing(path) => {
                let help = "write the path of a file or folder, or a pattern such as \"assets/**/*\"";
                f.error_help(span, format!("there is no file {}", quoted(&path)), help);
            }
            Problem::Pattern(what) => f.error(span, format!("this is not a pattern of files: {what}")),
            Problem::Destination(path) => {
                let help = "write an absolute path, such as \"/\" or \"/assets\"";
                f.error_help(span, format!("{} is no destination in the guest", quoted(&path)), help);
            }
            Problem::Unreadable(path, error) => {
                f.error_help(
                    span,
                    format!("cannot read {}: {error}", path.display()),
                    "check its permissions",
                );
            }
            Problem::TooMany => {
                f.error_help(span, "these are more than 100000 files", "name fewer, or exclude some");
            }
            Problem::NoMatch(pattern) => {
                f.warn(span, format!("{} matches no file", quoted(&pattern)), "check the pattern");
            }
        }
    }
}

struct Search<'a> {
    /// Without symbolic links.
    root: PathBuf,
    exclude: &'a GlobSet,
    /// By the guest's name: a later entry replaces an earlier one.
    found: BTreeMap<String, PathBuf>,
}

impl Search<'_> {
    fn pattern(&mut self, text: &str) -> Result<(), Problem> {
        let text = plain(text);
        check_inside(text)?;
        let path = self.root.join(text);
        if fs::symlink_metadata(&path).is_ok() {
            return self.tree(&path, text, None);
        }
        let Some(first) = text.find(['*', '?', '[', '{']) else {
            return Err(Problem::Missing(text.to_owned()));
        };
        let matcher = GlobBuilder::new(text).literal_separator(true).build();
        let matcher = matcher.map_err(|error| Problem::Pattern(error.kind().to_string()))?.compile_matcher();
        // Only what lies below the part without wildcards is looked at.
        let folder = text[..first].rsplit_once('/').map_or("", |(folder, _)| folder);
        let start = self.root.join(folder);
        let before = self.found.len();
        if start.is_dir() {
            self.tree(&start, folder, Some(&matcher))?;
        }
        if self.found.len() == before { Err(Problem::NoMatch(text.to_owned())) } else { Ok(()) }
    }

    fn placement(&mut self, source: &str, destination: &str) -> Result<(), Problem> {
        let source = plain(source);
        check_inside(source)?;
        let parts: Vec<_> = destination.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        if !destination.starts_with('/') || parts.contains(&"..") || destination.contains('\0') {
            return Err(Problem::Destination(destination.to_owned()));
        }
        let path = self.root.join(source);
        if fs::symlink_metadata(&path).is_err() {
            return Err(Problem::Missing(source.to_owned()));
        }
        self.tree(&path, &parts.join("/"), None)
    }

    /// Adds a file, or all files below a folder, as `guest`.
    fn tree(&mut self, path: &Path, guest: &str, matcher: Option<&GlobMatcher>) -> Result<(), Problem> {
        let mut waiting = vec![(path.to_owned(), guest.to_owned())];
        // Links may lead in a circle.
        let mut entered = BTreeSet::new();
        let mut visited = 0;
        while let Some((path, guest)) = waiting.pop() {
            visited += 1;
            if visited > VISITED_MAX || self.found.len() > FILES_MAX {
                return Err(Problem::TooMany);
            }
            let unreadable = |error| Problem::Unreadable(path.clone(), error);
            let real = path.canonicalize().map_err(unreadable)?;
            if !real.starts_with(&self.root) {
                // What a pattern does not ask for may lead anywhere.
                if matcher.is_some_and(|matcher| !matcher.is_match(&guest)) {
                    continue;
                }
                return Err(Problem::Outside(self.shown(&path)));
            }
            if real.is_dir() {
                if !entered.insert(real) {
                    continue;
                }
                for entry in fs::read_dir(&path).map_err(unreadable)? {
                    let entry = entry.map_err(unreadable)?;
                    // The guest's names are UTF-8.
                    let Ok(name) = entry.file_name().into_string() else { continue };
                    let below = if guest.is_empty() { name } else { format!("{guest}/{name}") };
                    waiting.push((entry.path(), below));
                }
            } else if real.is_file() && matcher.is_none_or(|matcher| matcher.is_match(&guest)) {
                let relative = path.strip_prefix(&self.root).unwrap_or(&path);
                if !self.exclude.is_match(relative) {
                    self.found.insert(format!("/{guest}"), real);
                }
            }
        }
        Ok(())
    }

    fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
    }
}

/// Without `./` in front and `/` at the end.
fn plain(text: &str) -> &str {
    let mut text = text;
    while let Some(rest) = text.strip_prefix("./") {
        text = rest.trim_start_matches('/');
    }
    match text.trim_end_matches('/') {
        "." => "",
        rest => rest,
    }
}

fn check_inside(text: &str) -> Result<(), Problem> {
    let outside = text.starts_with('/') || text.split('/').any(|part| part == "..") || text.contains('\0');
    if outside { Err(Problem::Outside(text.to_owned())) } else { Ok(()) }
}
