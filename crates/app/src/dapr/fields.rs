//! Reads a map of a resource key by key. Keys are those of Go's JSON: capitals do not matter. What nobody asked
//! for is passed over, as Dapr does, unless it is certainly a slip: nearly the name of a key that is missing.

use super::yaml::{Key, Node, Value};
use crate::manifest::findings::{Findings, Span, nearest, quoted};
use std::collections::HashSet;
use std::time::Duration;

/// Letters that a slip may have wrong.
const SLIP_LETTERS_MAX: usize = 2;

pub(super) struct Fields<'a> {
    /// As in the file: `spec.metadata`.
    pub path: String,
    pub span: Span,
    entries: &'a [(Key, Node)],
    known: Vec<&'static str>,
    /// Keys that must be there and are not, and what to do.
    missing: Vec<(&'static str, String)>,
}

/// A text and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Text<'a> {
    pub text: &'a str,
    pub span: Span,
}

impl<'a> Fields<'a> {
    pub fn new(path: impl Into<String>, node: &'a Node, f: &mut Findings) -> Option<Self> {
        let path = path.into();
        match &node.value {
            Value::Map(entries) => {
                report_twice(entries, f);
                // A map in block style spans many lines: its first key is marked.
                let span = entries.first().map_or(node.span, |(key, _)| key.span);
                Some(Fields { path, span, entries, known: Vec::new(), missing: Vec::new() })
            }
            // As an empty map.
            Value::Null => {
                Some(Fields { path, span: node.span, entries: &[], known: Vec::new(), missing: Vec::new() })
            }
            _ => {
                wrong_type(&path, node, "a map", f);
                None
            }
        }
    }

    fn find(&self, key: &str) -> Option<&'a (Key, Node)> {
        let exact = self.entries.iter().find(|(name, _)| name.text == key);
        exact.or_else(|| self.entries.iter().find(|(name, _)| name.text.eq_ignore_ascii_case(key)))
    }

    /// The value of a key, which is known from now on; `null` counts as missing.
    pub fn get(&mut self, key: &'static str) -> Option<&'a Node> {
        self.known.push(key);
        self.find(key).map(|(_, node)| node).filter(|node| !matches!(node.value, Value::Null))
    }

    /// Where a key stands, else where the map does.
    pub fn key_span(&self, key: &str) -> Span {
        self.find(key).map_or(self.span, |(key, _)| key.span)
    }

    /// Keys that are read by nobody and are no slips.
    pub fn ignore(&mut self, keys: &[&'static str]) {
        self.known.extend(keys);
    }

    pub fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    pub fn fields(&mut self, key: &'static str, f: &mut Findings) -> Option<Fields<'a>> {
        let node = self.get(key)?;
        Fields::new(self.path_of(key), node, f)
    }

    /// As [`Fields::fields`]; a missing one is an error, which [`Fields::finish`] says.
    pub fn require_fields(&mut self, key: &'static str, help: &str, f: &mut Findings) -> Option<Fields<'a>> {
        if self.get(key).is_none() {
            self.missing.push((key, help.to_owned()));
        }
        self.fields(key, f)
    }

    /// A text; numbers and truths count as what was written.
    pub fn text(&mut self, key: &'static str, f: &mut Findings) -> Option<Text<'a>> {
        let node = self.get(key)?;
        text(&self.path_of(key), node, f)
    }

    pub fn string(&mut self, key: &'static str, f: &mut Findings) -> Option<String> {
        self.text(key, f).map(|text| text.text.to_owned())
    }

    /// As [`Fields::text`]; an empty one is an error, and a missing one, which [`Fields::finish`] says.
    pub fn require(&mut self, key: &'static str, help: &str, f: &mut Findings) -> Option<Text<'a>> {
        if self.get(key).is_none() {
            self.missing.push((key, help.to_owned()));
            return None;
        }
        let text = self.text(key, f)?;
        if text.text.is_empty() {
            f.error_help(text.span, format!("`{}` is empty", self.path_of(key)), help);
            return None;
        }
        Some(text)
    }

    pub fn boolean(&mut self, key: &'static str, f: &mut Findings) -> Option<bool> {
        let node = self.get(key)?;
        // Some of Dapr's types have truths as texts.
        let value = node.boolean().or_else(|| node.text()?.to_ascii_lowercase().parse().ok());
        if value.is_none() {
            wrong_type(&self.path_of(key), node, "true or false", f);
        }
        value
    }

    /// A whole number from `low` to `high`.
    pub fn number(&mut self, key: &'static str, low: i64, high: i64, f: &mut Findings) -> Option<i64> {
        let node = self.get(key)?;
        let number = node.text().and_then(|text| text.trim().parse().ok());
        let number = number.filter(|number| (low..=high).contains(number));
        if number.is_none() {
            let message = format!("`{}` must be a whole number from {low} to {high}", self.path_of(key));
            f.error(node.span, message);
        }
        number
    }

    /// As Go writes durations, `1m30s`; a bare number means milliseconds.
    pub fn duration(&mut self, key: &'static str, f: &mut Findings) -> Option<Duration> {
        let text = self.text(key, f)?;
        duration(&self.path_of(key), text, f)
    }

    pub fn items(&mut self, key: &'static str, f: &mut Findings) -> &'a [Node] {
        match self.get(key) {
            None => &[],
            Some(Node { value: Value::List(items), .. }) => items,
            Some(node) => {
                wrong_type(&self.path_of(key), node, "a list", f);
                &[]
            }
        }
    }

    pub fn strings(&mut self, key: &'static str, f: &mut Findings) -> Vec<String> {
        let path = self.path_of(key);
        let items = self.items(key, f);
        items.iter().filter_map(|item| Some(text(&path, item, f)?.text.to_owned())).collect()
    }

    /// Everything in the map, under names that the user chose.
    pub fn into_entries(self) -> &'a [(Key, Node)] {
        self.entries
    }

    /// Says what is certainly a slip, and what is missing.
    pub fn finish(mut self, f: &mut Findings) {
        let has = |key: &str| self.entries.iter().any(|(name, _)| name.text.eq_ignore_ascii_case(key));
        let absent: Vec<_> = self.known.iter().copied().filter(|known| !has(known)).collect();
        let place = if self.path.is_empty() { "the resource" } else { &self.path };
        for (name, _) in self.entries {
            if self.known.iter().any(|known| known.eq_ignore_ascii_case(&name.text)) {
                continue;
            }
            if let Some(meant) = slip(&name.text, absent.iter().copied()) {
                let message = format!("unknown key {} in {place}", quoted(&name.text));
                f.error_help(name.span, message, format!("did you mean `{meant}`?"));
                self.missing.retain(|(key, _)| *key != meant);
            }
        }
        for (key, help) in &self.missing {
            f.error_help(self.span, format!("`{}` is missing", self.path_of(key)), help);
        }
    }
}

/// The key that somebody surely meant.
fn slip<'a>(written: &str, missing: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let meant = nearest(written, missing)?;
    let distance = strsim::osa_distance(&written.to_ascii_lowercase(), &meant.to_ascii_lowercase());
    (distance <= SLIP_LETTERS_MAX).then_some(meant)
}

fn report_twice(entries: &[(Key, Node)], f: &mut Findings) {
    let mut seen = HashSet::new();
    for (key, _) in entries {
        if !seen.insert(&key.text) {
            let message = format!("the key {} is there twice", quoted(&key.text));
            f.error_help(key.span, message, "remove one of them");
        }
    }
}

pub(super) fn text<'a>(path: &str, node: &'a Node, f: &mut Findings) -> Option<Text<'a>> {
    match node.text() {
        Some(text) => Some(Text { text, span: node.span }),
        None => {
            wrong_type(path, node, "a text", f);
            None
        }
    }
}

/// As Go's `time.ParseDuration`, of which signs are left out; a bare number means milliseconds.
pub(super) fn duration(path: &str, text: Text<'_>, f: &mut Findings) -> Option<Duration> {
    let duration = parse_duration(text.text.trim());
    if duration.is_none() {
        f.error_help(
            text.span,
            format!("`{path}`: {} is not a duration", quoted(text.text)),
            "write a number with a unit, such as \"500ms\", \"5s\" or \"1m30s\"",
        );
    }
    duration
}

fn parse_duration(text: &str) -> Option<Duration> {
    if let Ok(ms) = text.parse() {
        return Some(Duration::from_millis(ms));
    }
    let mut sum = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(number_end);
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let scale = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        let seconds = number.parse::<f64>().ok()? * scale;
        sum = sum.checked_add(Duration::try_from_secs_f64(seconds).ok()?)?;
        rest = after;
    }
    (!text.is_empty()).then_some(sum)
}

pub(super) fn wrong_type(path: &str, node: &Node, expected: &str, f: &mut Findings) {
    f.error(node.span, format!("`{path}`: expected {expected}, found {}", node.describe()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let ms = |ms| Some(Duration::from_millis(ms));
        for (text, expected) in [
            ("5s", ms(5000)),
            ("1m30s", ms(90_000)),
            ("1.5h", ms(5_400_000)),
            ("250", ms(250)),
            ("0s", ms(0)),
            ("100µs", Some(Duration::from_micros(100))),
            ("", None),
            ("s", None),
            ("5 s", None),
            ("5d", None),
            ("-1s", None),
            ("5s5", None),
            ("99999999999999999999h", None),
        ] {
            assert_eq!(parse_duration(text), expected, "{text}");
        }
    }
}
