//! Shows findings as a compiler does: the message, the file with line and column, the line with a mark under
//! the place, and what to do.

use crate::{Diagnostic, Severity};
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet, normalize_untrusted_str};
use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// Wider lines are cut around the mark.
const WIDTH: usize = 120;
/// A file of more bytes is not shown.
const SHOWN_BYTES_MAX: u64 = 8 << 20;

/// Renders findings, each with an empty line after it. Files are read anew; where one cannot be, its name is
/// shown alone.
pub fn render(diagnostics: &[Diagnostic], color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() }.term_width(WIDTH);
    let mut files: HashMap<&Path, Option<String>> = HashMap::new();
    let mut out = String::new();
    for one in diagnostics {
        let text = files.entry(&one.file).or_insert_with(|| source(&one.file)).as_deref();
        out.push_str(&renderer.render(&[group(one, text)]));
        out.push_str("\n\n");
    }
    out
}

fn source(path: &Path) -> Option<String> {
    let metadata = fs::metadata(path).ok()?;
    if !metadata.is_file() || metadata.len() > SHOWN_BYTES_MAX {
        return None;
    }
    fs::read_to_string(path).ok()
}

fn group<'a>(one: &'a Diagnostic, text: Option<&'a str>) -> Group<'a> {
    let level = match one.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let path = one.file.display().to_string();
    let group = level.primary_title(one.message.as_str());
    let group = match (text, one.place(text.unwrap_or_default())) {
        (Some(_), Some(place)) if one.hidden => {
            group.element(Origin::path(path).line(place.line).char_column(place.column))
        }
        (Some(text), Some(place)) => {
            let mark = AnnotationKind::Primary.span(place.start..place.end);
            group.element(Snippet::source(text).path(path).annotation(mark))
        }
        _ => group.element(Origin::path(path)),
    };
    match &one.help {
        Some(help) => group.element(Level::HELP.message(normalize_untrusted_str(help))),
        None => group,
    }
}
