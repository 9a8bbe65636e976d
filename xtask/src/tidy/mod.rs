//! Checks what rustfmt and clippy cannot: the direction of crates, the first line and length of files,
//! words that may occur only in certain places, links between the documents, and guests that no test runs.
//!
//! A rule is a function from the tree (or from Cargo's metadata) to problems; each has a test that breaks it.

mod crates;
mod links;
mod sources;
mod tested;

use crate::{Result, paths};
use std::fs;
use std::path::Path;

/// One file of the project.
pub struct Source {
    /// From the root, with `/`.
    pub path: String,
    pub text: String,
}

/// Something to be mended.
#[derive(Debug, PartialEq, Eq)]
pub struct Problem {
    pub path: String,
    /// From 1; 0 where the whole file is meant.
    pub line: usize,
    pub what: String,
}

impl Problem {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Problem {
        Problem { path: path.to_owned(), line, what: what.into() }
    }
}

/// Prints every problem; fails if there is one.
pub fn check() -> Result {
    let mut tree = Vec::new();
    read(paths::root(), "", &mut tree)?;
    let mut problems = crates::problems(&crates::from_cargo(paths::root())?);
    problems.extend(sources::problems(&tree));
    problems.extend(links::problems(&tree));
    problems.extend(tested::problems(&tree));
    for Problem { path, line, what } in &problems {
        eprintln!("{path}:{line}: {what}");
    }
    match problems.len() {
        0 => {
            eprintln!("tidy: {} files are as STYLE.md wants them", tree.len());
            Ok(())
        }
        count => Err(format!("tidy: {count} problems").into()),
    }
}

/// Collects the text files that rules look at; build output and hidden folders are not ours.
fn read(folder: &Path, prefix: &str, tree: &mut Vec<Source>) -> Result {
    let mut entries: Vec<_> = fs::read_dir(folder)?.collect::<std::io::Result<_>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        let kind = entry.file_type()?;
        if kind.is_dir() {
            let skipped = name.starts_with('.') || ["target", "node_modules", "corpus"].contains(&&*name);
            if !skipped {
                read(&entry.path(), &format!("{path}/"), tree)?;
            }
        } else if kind.is_file() {
            let known = [".rs", ".md", ".toml"].iter().any(|ending| name.ends_with(ending));
            let text = if known { fs::read_to_string(entry.path())? } else { String::new() };
            tree.push(Source { path, text });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree for the tests of the rules.
    pub fn tree(files: &[(&str, &str)]) -> Vec<Source> {
        let source = |(path, text): &(&str, &str)| Source { path: (*path).into(), text: (*text).into() };
        files.iter().map(source).collect()
    }

    #[test]
    fn the_tree_has_sources_and_no_build_output() {
        let mut tree = Vec::new();
        read(paths::root(), "", &mut tree).unwrap();
        let has = |path: &str| tree.iter().any(|source| source.path == path);
        assert!(has("Cargo.toml") && has("xtask/src/main.rs"));
        assert!(!tree.iter().any(|source| source.path.contains("target/") || source.path.contains(".git/")));
    }
}
