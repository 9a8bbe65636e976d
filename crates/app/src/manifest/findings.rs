//! Collects what is wrong with one file, so that everything is reported at once.

use crate::{Diagnostic, Severity};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// More findings than this help nobody.
const FINDINGS_MAX: usize = 200;
/// A longer piece of the user's text is cut where a message quotes it.
const QUOTED_MAX: usize = 80;

/// Bytes of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub start: usize,
    pub end: usize,
}

impl From<Range<usize>> for Span {
    fn from(range: Range<usize>) -> Self {
        Span { start: range.start, end: range.end }
    }
}

/// The findings of one file.
pub(crate) struct Findings {
    file: PathBuf,
    list: Vec<Diagnostic>,
    left_out: usize,
    hidden: bool,
}

impl Findings {
    pub fn new(file: &Path) -> Self {
        Findings { file: file.to_owned(), list: Vec::new(), left_out: 0, hidden: false }
    }

    /// Whether the lines of what is found from now on may hold a secret.
    pub fn hide(&mut self, hidden: bool) {
        self.hidden = hidden;
    }

    pub fn error(&mut self, span: Span, message: impl Into<String>) {
        self.add(Severity::Error, Some(span), message.into(), None);
    }

    pub fn error_help(&mut self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.add(Severity::Error, Some(span), message.into(), Some(help.into()));
    }

    pub fn warn(&mut self, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.add(Severity::Warning, Some(span), message.into(), Some(help.into()));
    }

    /// A finding that has no place in the file.
    pub fn error_in_file(&mut self, message: impl Into<String>, help: impl Into<String>) {
        self.add(Severity::Error, None, message.into(), Some(help.into()));
    }

    pub fn add(&mut self, severity: Severity, span: Option<Span>, message: String, help: Option<String>) {
        if self.list.len() >= FINDINGS_MAX {
            self.left_out += 1;
            return;
        }
        let span = span.map(|span| span.start..span.end);
        let (file, hidden) = (self.file.clone(), self.hidden);
        self.list.push(Diagnostic { severity, message, file, span, hidden, help });
    }

    /// Takes over what was found in another file.
    pub fn append(&mut self, other: Findings) {
        self.left_out += other.left_out;
        self.extend(other.list);
    }

    /// As [`Findings::append`], of findings that are complete.
    pub fn extend(&mut self, others: Vec<Diagnostic>) {
        for one in others {
            if self.list.len() < FINDINGS_MAX { self.list.push(one) } else { self.left_out += 1 }
        }
    }

    pub fn has_errors(&self) -> bool {
        self.left_out > 0 || self.list.iter().any(|one| one.severity == Severity::Error)
    }

    /// In the order of the file; what has no place in it comes last, and then what other files have.
    pub fn into_list(mut self) -> Vec<Diagnostic> {
        let place = |one: &Diagnostic| match &one.span {
            Some(span) => (false, span.start, span.end),
            None => (true, 0, 0),
        };
        let file = &self.file;
        let key = |one: &Diagnostic| (one.file != *file, one.file.clone(), place(one));
        self.list.sort_by_cached_key(key);
        if self.left_out > 0 {
            self.list.push(Diagnostic {
                severity: Severity::Error,
                message: format!("{} more findings are not shown", self.left_out),
                file: self.file,
                span: None,
                hidden: false,
                help: Some("correct the first ones, then look again".to_owned()),
            });
        }
        self.list
    }
}

/// A piece of the user's text as a message quotes it: not long.
pub(crate) fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED_MAX) {
        Some((end, _)) => format!("`{}…`", &text[..end]),
        None => format!("`{text}`"),
    }
}

/// The one of `known` that a person who wrote `text` may have meant.
pub(crate) fn nearest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if text.len() > QUOTED_MAX {
        return None;
    }
    let lower = text.to_ascii_lowercase().replace('-', "_");
    let distance = |one: &str| strsim::osa_distance(&lower, &one.to_ascii_lowercase().replace('-', "_"));
    let best = known.into_iter().map(|one| (distance(one), one)).min_by_key(|(distance, _)| *distance)?;
    // A third of the letters may be wrong; then it is more likely another word.
    (best.0 <= (lower.chars().count().max(3)) / 3).then_some(best.1)
}
