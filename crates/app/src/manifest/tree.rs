//! Reads a TOML tree key by key: whoever asks for a key makes it known, and what nobody asked for is an error
//! that names the nearest known key.

use super::findings::{Findings, Span, nearest, quoted};
use crate::{parse_duration, parse_size};
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

/// A table and which keys of it were asked for.
pub(super) struct Table<'a> {
    /// As in the file: `component.api`; empty for the whole file.
    pub path: String,
    pub span: Span,
    entries: &'a DeTable<'a>,
    known: Vec<&'static str>,
}

/// A value and where it stands.
#[derive(Clone)]
pub(super) struct Value<'a> {
    /// As in the file: `component.api.source`.
    pub path: String,
    pub key: Span,
    pub span: Span,
    value: &'a DeValue<'a>,
}

/// A string and where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<'a> {
    pub text: &'a str,
    pub span: Span,
}

impl<'a> Table<'a> {
    pub fn root(tree: &'a Spanned<DeTable<'a>>) -> Self {
        Table { path: String::new(), span: tree.span().into(), entries: tree.get_ref(), known: Vec::new() }
    }

    /// The value of a key, which is known from now on.
    pub fn get(&mut self, key: &'static str) -> Option<Value<'a>> {
        self.known.push(key);
        let (name, value) = self.entries.get_key_value(key)?;
        Some(self.value(name, value))
    }

    /// Whether a key is there; it does not become known by that.
    pub fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// A string, if there is one; the key does not become known by it.
    pub fn peek(&self, key: &str) -> Option<&'a str> {
        self.entries.get(key)?.get_ref().as_str()
    }

    /// Whether there is a key with this text in it; none becomes known by that.
    pub fn has_like(&self, part: &str) -> bool {
        self.entries.keys().any(|key| key.get_ref().contains(part))
    }

    /// The keys of a table within; it does not become known by that.
    pub fn names_in(&self, key: &str) -> Vec<String> {
        let table = self.entries.get(key).and_then(|value| value.get_ref().as_table());
        let names = table.into_iter().flat_map(|table| table.keys());
        names.map(|name| name.get_ref().to_string()).collect()
    }

    /// As [`Table::get`]; a missing key is an error.
    pub fn require(&mut self, key: &'static str, f: &mut Findings, help: &str) -> Option<Value<'a>> {
        let value = self.get(key);
        if value.is_none() {
            let message = format!("{} has no `{key}`", self.name());
            f.error_help(self.span, message, help);
        }
        value
    }

    /// Everything in the table, in the order of the file, under names that the user chose.
    pub fn into_entries(self) -> Vec<(Text<'a>, Value<'a>)> {
        let mut entries: Vec<_> = self
            .entries
            .iter()
            .map(|(name, value)| {
                let text = Text { text: name.get_ref(), span: name.span().into() };
                (text, self.value(name, value))
            })
            .collect();
        entries.sort_by_key(|(name, _)| name.span.start);
        entries
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Reports what nobody asked for.
    pub fn finish(self, f: &mut Findings) {
        for (name, _) in self.entries {
            let key: &str = name.get_ref();
            if self.known.contains(&key) {
                continue;
            }
            let message = format!("unknown key {} in {}", quoted(key), self.name());
            let help = match nearest(key, self.known.iter().copied()) {
                Some(one) => format!("did you mean `{one}`?"),
                None => {
                    let mut known = self.known.clone();
                    known.sort_unstable();
                    known.dedup();
                    format!("known keys are: {}", known.join(", "))
                }
            };
            f.error_help(name.span().into(), message, help);
        }
    }

    /// Keys that later versions read.
    pub fn later(&mut self, keys: &[&'static str], f: &mut Findings) {
        for key in keys {
            if let Some(value) = self.get(key) {
                f.error_help(
                    value.key,
                    format!("`{}` is not supported yet by this version", value.path),
                    "remove it, or use a newer version of Sampan",
                );
            }
        }
    }

    fn name(&self) -> String {
        if self.path.is_empty() { "the manifest".to_owned() } else { format!("`{}`", self.path) }
    }

    fn value(&self, name: &'a Spanned<DeString<'a>>, value: &'a Spanned<DeValue<'a>>) -> Value<'a> {
        let path = match self.path.as_str() {
            "" => short(name.get_ref()),
            path => format!("{path}.{}", short(name.get_ref())),
        };
        let span = Span::from(value.span());
        Value { path, key: name.span().into(), span, value: value.get_ref() }
    }

    pub fn string(&mut self, key: &'static str, f: &mut Findings) -> Option<Text<'a>> {
        self.get(key)?.string(f)
    }

    pub fn strings(&mut self, key: &'static str, f: &mut Findings) -> Vec<Text<'a>> {
        self.get(key).map(|value| value.strings(f)).unwrap_or_default()
    }

    pub fn string_or_list(&mut self, key: &'static str, f: &mut Findings) -> Vec<Text<'a>> {
        let Some(value) = self.get(key) else { return Vec::new() };
        match value.value {
            DeValue::String(_) => value.string(f).into_iter().collect(),
            DeValue::Array(_) => value.strings(f),
            _ => {
                value.wrong_type("a string or a list of strings", f);
                Vec::new()
            }
        }
    }

    pub fn boolean(&mut self, key: &'static str, f: &mut Findings) -> Option<bool> {
        self.get(key)?.boolean(f)
    }

    pub fn table(&mut self, key: &'static str, f: &mut Findings) -> Option<Table<'a>> {
        self.get(key)?.table(f)
    }

    pub fn tables(&mut self, key: &'static str, f: &mut Findings) -> Vec<Table<'a>> {
        self.get(key).map(|value| value.tables(f)).unwrap_or_default()
    }

    pub fn size(&mut self, key: &'static str, f: &mut Findings) -> Option<u64> {
        let value = self.get(key)?;
        if let DeValue::Integer(number) = value.value {
            let bytes = u64::from_str_radix(number.as_str(), number.radix()).ok().filter(|bytes| *bytes > 0);
            if bytes.is_none() {
                f.error_help(value.span, format!("`{}` must be more than 0 bytes", value.path), SIZE_HELP);
            }
            return bytes;
        }
        let text = value.typed_string("a size such as \"64MiB\"", f)?;
        match parse_size(text.text) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                f.error_help(text.span, format!("`{}`: {error}", value.path), SIZE_HELP);
                None
            }
        }
    }

    pub fn duration(&mut self, key: &'static str, f: &mut Findings) -> Option<Duration> {
        let value = self.get(key)?;
        let text = value.typed_string("a duration such as \"200ms\" or \"2s\"", f)?;
        match parse_duration(text.text) {
            Ok(time) => Some(time),
            Err(error) => {
                f.error(text.span, format!("`{}`: {error}", value.path));
                None
            }
        }
    }

    /// A whole number from `low` to `high`.
    pub fn number(&mut self, key: &'static str, low: u64, high: u64, f: &mut Findings) -> Option<u64> {
        let value = self.get(key)?;
        let DeValue::Integer(number) = value.value else {
            value.wrong_type("a whole number", f);
            return None;
        };
        let number = u64::from_str_radix(number.as_str(), number.radix()).ok();
        let number = number.filter(|number| (low..=high).contains(number));
        if number.is_none() {
            f.error(value.span, format!("`{}` must be a whole number from {low} to {high}", value.path));
        }
        number
    }

    /// As [`Table::number`], for numbers that fit.
    pub fn number_u32(&mut self, key: &'static str, low: u32, high: u32, f: &mut Findings) -> Option<u32> {
        self.number(key, low.into(), high.into(), f).and_then(|number| u32::try_from(number).ok())
    }

    /// Names with a string each, in the order of the file.
    pub fn string_map(&mut self, key: &'static str, f: &mut Findings) -> Vec<(Text<'a>, Text<'a>)> {
        let Some(table) = self.table(key, f) else { return Vec::new() };
        let entries = table.into_entries();
        entries.into_iter().filter_map(|(name, value)| Some((name, value.string(f)?))).collect()
    }
}

const SIZE_HELP: &str = "write a number with a unit, such as \"64MiB\" or \"1GiB\"";

impl<'a> Value<'a> {
    pub fn is_table(&self) -> bool {
        self.value.is_table()
    }

    pub fn is_list(&self) -> bool {
        self.value.is_array()
    }

    pub fn as_str(&self) -> Option<&'a str> {
        self.value.as_str()
    }

    pub fn as_integer(&self) -> Option<i64> {
        let number = self.value.as_integer()?;
        i64::from_str_radix(number.as_str(), number.radix()).ok()
    }

    pub fn as_boolean(&self) -> Option<bool> {
        self.value.as_bool()
    }

    pub fn string(&self, f: &mut Findings) -> Option<Text<'a>> {
        self.typed_string("a string", f)
    }

    pub fn typed_string(&self, expected: &str, f: &mut Findings) -> Option<Text<'a>> {
        let text = self.value.as_str();
        if text.is_none() {
            self.wrong_type(expected, f);
        }
        Some(Text { text: text?, span: self.span })
    }

    pub fn boolean(&self, f: &mut Findings) -> Option<bool> {
        let value = self.value.as_bool();
        if value.is_none() {
            self.wrong_type("true or false", f);
        }
        value
    }

    pub fn strings(&self, f: &mut Findings) -> Vec<Text<'a>> {
        self.items("a list of strings", f).iter().filter_map(|item| item.string(f)).collect()
    }

    pub fn table(&self, f: &mut Findings) -> Option<Table<'a>> {
        let table = self.as_table();
        if table.is_none() {
            self.wrong_type("a table", f);
        }
        table
    }

    pub fn as_table(&self) -> Option<Table<'a>> {
        // An inline table or a header is marked whole; what dotted keys imply, by its first key.
        let span = if self.span.start < self.span.end { self.span } else { self.key };
        Some(Table { path: self.path.clone(), span, entries: self.value.as_table()?, known: Vec::new() })
    }

    pub fn tables(&self, f: &mut Findings) -> Vec<Table<'a>> {
        let expected = format!("a list of tables: write [[{}]]", self.path);
        self.items(&expected, f).iter().filter_map(|item| item.table(f)).collect()
    }

    /// The items of a list.
    pub fn items(&self, expected: &str, f: &mut Findings) -> Vec<Value<'a>> {
        if self.value.as_array().is_none() {
            self.wrong_type(expected, f);
        }
        self.as_items()
    }

    /// As [`Value::items`], where nothing is said of other types.
    pub fn as_items(&self) -> Vec<Value<'a>> {
        let item = |item: &'a Spanned<DeValue<'a>>| {
            let span = Span::from(item.span());
            Value { path: self.path.clone(), key: span, span, value: item.get_ref() }
        };
        self.value.as_array().map(|list| list.iter().map(item).collect()).unwrap_or_default()
    }

    pub fn wrong_type(&self, expected: &str, f: &mut Findings) {
        let found = match self.value.type_str() {
            "integer" => "an integer",
            "array" => "a list",
            "boolean" => "true or false",
            "datetime" => "a date",
            "float" => "a number with a fraction",
            "table" => "a table",
            _ => "a string",
        };
        let span = if self.span.start < self.span.end { self.span } else { self.key };
        f.error(span, format!("`{}`: expected {expected}, found {found}", self.path));
    }
}

/// A key as messages show it.
fn short(key: &str) -> String {
    match key.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &key[..end]),
        None => key.to_owned(),
    }
}
