//! `.dockerignore` (docs.docker.com/build/concepts/context; moby/patternmatcher): what of a folder a build does not
//! see. The last pattern that matches counts, and `!` takes back.

use super::parse::TEXT_MAX_BYTES;
use globset::{GlobBuilder, GlobMatcher};

/// Each of them is tried for each file.
const PATTERNS_MAX: usize = 1_000;
const PATTERN_MAX_BYTES: usize = 4096;

#[derive(Debug, Default)]
pub struct Ignore {
    patterns: Vec<(GlobMatcher, bool)>,
    takes_back: bool,
}

impl Ignore {
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > TEXT_MAX_BYTES {
            return Err("it is too long".to_owned());
        }
        let mut ignore = Ignore::default();
        for line in text.trim_start_matches('\u{feff}').lines() {
            if line.starts_with('#') || line.trim().is_empty() {
                continue;
            }
            let line = line.trim();
            let (pattern, back) = line.strip_prefix('!').map_or((line, false), |rest| (rest.trim(), true));
            let pattern = clean(pattern);
            if pattern.is_empty() {
                continue;
            }
            if ignore.patterns.len() == PATTERNS_MAX {
                return Err(format!("it has more than {PATTERNS_MAX} patterns"));
            }
            ignore.patterns.push((glob(&pattern)?, back));
            ignore.takes_back |= back;
        }
        Ok(ignore)
    }

    /// Whether a name below the context is not seen.
    pub fn hides(&self, path: &str) -> bool {
        let mut hidden = false;
        for (pattern, back) in &self.patterns {
            // What matches a folder matches what is in it.
            if hidden == *back && parents(path).any(|path| pattern.is_match(path)) {
                hidden = !back;
            }
        }
        hidden
    }

    /// Whether nothing in a hidden folder can be seen.
    pub fn hides_all_of(&self, folder: &str) -> bool {
        !self.takes_back && self.hides(folder)
    }
}

/// A path, and the folders that it is in.
fn parents(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| path.rfind('/').map(|at| &path[..at]))
}

/// Without `.`, `..` and doubled slashes.
pub fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// `*` and `?` end at a slash, `**` does not; braces are nothing special.
pub fn glob(pattern: &str) -> Result<GlobMatcher, String> {
    if pattern.len() > PATTERN_MAX_BYTES {
        return Err("a pattern is too long".to_owned());
    }
    let mut plain = String::new();
    let mut is_escaped = false;
    for one in pattern.chars() {
        if !is_escaped && matches!(one, '{' | '}') {
            plain.push('\\');
        }
        is_escaped = one == '\\' && !is_escaped;
        plain.push(one);
    }
    let built = GlobBuilder::new(&plain).literal_separator(true).backslash_escape(true).build();
    Ok(built.map_err(|error| format!("{pattern:?} is no pattern: {}", error.kind()))?.compile_matcher())
}
