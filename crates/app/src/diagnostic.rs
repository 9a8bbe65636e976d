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
    pub help: Option<String>,
}
