//! The lines of a Dockerfile (docs.docker.com/reference/dockerfile; moby/buildkit, `frontend/dockerfile/parser`):
//! continued lines, comments, parser directives and here-documents, each with its place in the text.

use std::ops::Range;

/// A description, even with documents in it.
pub const TEXT_MAX_BYTES: usize = 1 << 20;
/// Of one file; each becomes a step.
pub const LINES_MAX: usize = 10_000;
/// Documents of one line.
const HEREDOCS_MAX: usize = 64;

/// An instruction with its lines put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// In upper case.
    pub name: String,
    /// What follows the flags.
    pub rest: Text,
    pub flags: Vec<Flag>,
    pub heredocs: Vec<Heredoc>,
    /// The name, in the file.
    pub span: Range<usize>,
    /// The whole, for a person.
    pub shown: String,
}

/// `--name=value`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    pub name: String,
    pub value: Option<String>,
    pub span: Range<usize>,
}

/// Text that was put together of several lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    pub text: String,
    /// From which byte on the text is what begins at which byte of the file.
    places: Vec<(usize, usize)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heredoc {
    /// As the instruction names it.
    pub name: String,
    pub content: String,
    /// Variables in it mean their values.
    pub expand: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    pub what: String,
    pub help: &'static str,
    pub span: Range<usize>,
}

/// A file's lines, and the character that continues them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub lines: Vec<Line>,
    pub escape: char,
}

impl Text {
    /// Where some of its bytes are in the file.
    pub fn span(&self, range: Range<usize>) -> Range<usize> {
        let place = |at: usize| {
            let (from, to) =
                self.places.iter().rev().find(|(from, _)| *from <= at).copied().unwrap_or_default();
            to + (at - from)
        };
        let start = place(range.start);
        // The last byte may be on another line than the one after it.
        let end = if range.is_empty() { start } else { place(range.end - 1) + 1 };
        start..end.max(start)
    }

    pub fn whole(&self) -> Range<usize> {
        self.span(0..self.text.len())
    }

    fn push(&mut self, text: &str, at: usize) {
        self.places.push((self.text.len(), at));
        self.text.push_str(text);
    }

    /// Without so many bytes at its start.
    fn skip(mut self, count: usize) -> Text {
        let text = self.text.split_off(count);
        let whole = Text { text: self.text, places: self.places.clone() };
        let first = whole.span(count..count).start;
        let later =
            whole.places.iter().filter(|(from, _)| *from > count).map(|(from, to)| (from - count, *to));
        Text { text, places: std::iter::once((0, first)).chain(later).collect() }
    }
}

/// The physical lines of a text, each with its place; without their ends.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<(usize, &'a str)> {
        if self.at >= self.text.len() {
            return None;
        }
        let start = self.at;
        let rest = &self.text[start..];
        let length = rest.find('\n').unwrap_or(rest.len());
        self.at = (start + length + 1).min(self.text.len().max(start + length));
        if length < rest.len() {
            self.at = start + length + 1;
        }
        let line = &rest[..length];
        Some((start, line.strip_suffix('\r').unwrap_or(line)))
    }
}

pub fn parse(text: &str) -> Result<File, Wrong> {
    if text.len() > TEXT_MAX_BYTES {
        return wrong("the file is too long", "a Dockerfile has at most 1 MiB", 0..0);
    }
    let mut reader = Reader { text, at: if text.starts_with('\u{feff}') { 3 } else { 0 } };
    let escape = directives(&mut reader)?;
    let mut lines = Vec::new();
    while let Some((start, first)) = reader.next() {
        if is_skipped(first) {
            continue;
        }
        let whole = join(start, first, &mut reader, escape);
        if whole.text.trim().is_empty() {
            continue;
        }
        if lines.len() == LINES_MAX {
            return wrong("the file has too many instructions", "at most 10,000 are read", whole.whole());
        }
        lines.push(line(whole, &mut reader)?);
    }
    Ok(File { lines, escape })
}

fn wrong<T>(what: impl Into<String>, help: &'static str, span: Range<usize>) -> Result<T, Wrong> {
    Err(Wrong { what: what.into(), help, span })
}

fn is_skipped(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#')
}

/// `# escape=…` and its like, which stand before everything else.
fn directives(reader: &mut Reader<'_>) -> Result<char, Wrong> {
    let mut escape = '\\';
    let mut seen = Vec::new();
    loop {
        let before = reader.at;
        let Some((start, line)) = reader.next() else { return Ok(escape) };
        let directive = line.trim_start().strip_prefix('#').and_then(|rest| rest.split_once('='));
        let Some((key, value)) = directive else {
            reader.at = before;
            return Ok(escape);
        };
        let key = key.trim().to_ascii_lowercase();
        match key.as_str() {
            "escape" if seen.contains(&key) => {
                return wrong(
                    "the directive `escape` stands here twice",
                    "leave one",
                    start..start + line.len(),
                );
            }
            "escape" => match value.trim() {
                "\\" => escape = '\\',
                "`" => escape = '`',
                _ => {
                    let span = start..start + line.len();
                    return wrong("the escape character is not valid", "write \\ or `", span);
                }
            },
            // Which frontend of BuildKit to use, and what it checks: there is one here.
            "syntax" | "check" => {}
            _ => {
                reader.at = before;
                return Ok(escape);
            }
        }
        seen.push(key);
    }
}

/// A line with those that continue it. Comments and empty lines between them count for nothing.
fn join(start: usize, first: &str, reader: &mut Reader<'_>, escape: char) -> Text {
    let mut text = Text::default();
    let mut next = Some((start, first));
    let mut is_first = true;
    while let Some((start, line)) = next {
        let lead = if is_first { line.len() - line.trim_start().len() } else { 0 };
        let body = &line[lead..];
        if !is_first && is_skipped(body) {
            next = reader.next();
            continue;
        }
        is_first = false;
        let trimmed = body.trim_end_matches([' ', '\t']);
        match trimmed.strip_suffix(escape) {
            Some(continued) => {
                text.push(continued, start + lead);
                next = reader.next();
            }
            None => {
                text.push(body.trim_end(), start + lead);
                next = None;
            }
        }
    }
    text
}

fn line(whole: Text, reader: &mut Reader<'_>) -> Result<Line, Wrong> {
    let end = whole.text.find(char::is_whitespace).unwrap_or(whole.text.len());
    let name = whole.text[..end].to_ascii_uppercase();
    let span = whole.span(0..end);
    let shown = whole.text.split_whitespace().collect::<Vec<_>>().join(" ");
    let space = whole.text[end..].len() - whole.text[end..].trim_start().len();
    let mut rest = whole.skip(end + space);
    let mut flags = Vec::new();
    while rest.text.starts_with("--") {
        let end = rest.text.find(char::is_whitespace).unwrap_or(rest.text.len());
        let word = &rest.text[2..end];
        if word.is_empty() {
            break;
        }
        let (name, value) =
            word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value.to_owned())));
        flags.push(Flag { name: name.to_owned(), value, span: rest.span(0..end) });
        let space = rest.text[end..].len() - rest.text[end..].trim_start().len();
        rest = rest.skip(end + space);
    }
    let heredocs = match name.as_str() {
        "COPY" | "ADD" | "RUN" => heredocs(&rest, reader)?,
        _ => Vec::new(),
    };
    Ok(Line { name, rest, flags, heredocs, span, shown })
}

/// The documents that a line announces by `<<NAME`.
fn heredocs(rest: &Text, reader: &mut Reader<'_>) -> Result<Vec<Heredoc>, Wrong> {
    let mut found = Vec::new();
    let mut at = 0;
    for word in rest.text.split_whitespace() {
        let start = at + rest.text[at..].find(word).unwrap_or(0);
        at = start + word.len();
        let Some(mark) = word.strip_prefix("<<") else { continue };
        let (mark, strips) = mark.strip_prefix('-').map_or((mark, false), |mark| (mark, true));
        let bare = mark.trim_matches(['"', '\'']);
        if bare.is_empty() || !bare.chars().all(|one| one.is_alphanumeric() || matches!(one, '_' | '.' | '-'))
        {
            continue;
        }
        let span = rest.span(start..at);
        if found.len() == HEREDOCS_MAX {
            return wrong("the line has too many documents", "at most 64 are read", span);
        }
        let mut content = String::new();
        loop {
            let Some((_, line)) = reader.next() else {
                return wrong(
                    format!("the document `{bare}` has no end"),
                    "end it by a line with its name alone",
                    span,
                );
            };
            let line = if strips { line.trim_start_matches('\t') } else { line };
            if line == bare {
                break;
            }
            content.push_str(line);
            content.push('\n');
        }
        found.push(Heredoc { name: word.to_owned(), content, expand: bare == mark });
    }
    Ok(found)
}
