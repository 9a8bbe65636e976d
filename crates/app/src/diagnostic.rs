//! What is wrong with a manifest, and where.

use std::ops::Range;
use std::path::PathBuf;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Error,
    Warning,
}

/// One finding. A manifest is read to its end, so that all of them are reported at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    pub message: String,
    pub file: PathBuf,
    /// Bytes of the file to underline; `None` where the finding has no place in it.
    pub span: Option<Range<usize>>,
    /// There may be a secret beside the place, so that its line is not to be shown.
    pub hidden: bool,
    pub help: Option<String>,
}

/// Where a finding is in the text of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// Bytes, within the text and at the edges of characters.
    pub start: usize,
    pub end: usize,
}

impl Diagnostic {
    /// Where the finding is in `text`, which may have changed since it was read.
    pub fn place(&self, text: &str) -> Option<Place> {
        let span = self.span.as_ref()?;
        let start = text.floor_char_boundary(span.start.min(text.len()));
        let end = text.ceil_char_boundary(span.end.clamp(start, text.len()));
        let before = &text[..start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        Some(Place { line, column: before[line_start..].chars().count() + 1, start, end })
    }
}
