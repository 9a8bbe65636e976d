//! Values in columns that hold JSON (`jsonb` of PostgreSQL, `JSON` of MySQL), which keep what a document means and not
//! how it was written: spaces go, keys change places, `1e2` becomes `100`.
//!
//! Ours keep their bytes. A value is stored as JSON only if the column gives it back exactly, but for the spaces
//! that it adds and we take out; all else is stored as Dapr stores bytes: base64 in a JSON string, with the column
//! `isbinary` set. Dapr reads both, and gives the bytes to its clients as they were. What that costs: Dapr's own
//! queries do not look into base64 (ours do).

use crate::keyvalue::StoreError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;

/// Documents that are nested deeper are bytes. MariaDB stops at 32.
const DEPTH_MAX: usize = 30;

/// What a column of JSON does to a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// It parses it and writes it anew (`jsonb`, MySQL).
    Parsed,
    /// It keeps the text (MariaDB).
    Text,
}

/// What to store, and whether it is base64.
pub fn encode(value: Vec<u8>, column: Column) -> (String, bool) {
    match String::from_utf8(value) {
        Ok(text) if survives(&text, column) => (text, false),
        Ok(text) => (format!("\"{}\"", BASE64.encode(text)), true),
        Err(error) => (format!("\"{}\"", BASE64.encode(error.as_bytes())), true),
    }
}

/// Undoes [`encode`], and reads what Dapr has stored.
pub fn decode(stored: String, is_binary: bool, column: Column) -> Result<Vec<u8>, StoreError> {
    match (is_binary, column) {
        (false, Column::Text) => Ok(stored.into_bytes()),
        (false, Column::Parsed) => Ok(compact(&stored).into_bytes()),
        (true, _) => {
            let text: Option<String> = serde_json::from_str(&stored).ok();
            let bytes = text.and_then(|text| BASE64.decode(text).ok());
            bytes.ok_or_else(|| StoreError::Other("the row says base64, and its value is none".to_owned()))
        }
    }
}

fn survives(text: &str, column: Column) -> bool {
    let Ok(document) = serde_json::from_str::<Value>(text) else { return false };
    match column {
        Column::Text => depth(&document) <= DEPTH_MAX,
        Column::Parsed => {
            let mut written = String::with_capacity(text.len());
            write(&document, DEPTH_MAX, &mut written).is_some() && written == text
        }
    }
}

fn depth(document: &Value) -> usize {
    match document {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(object) => 1 + object.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// Writes it as both databases do, without their spaces: keys by length, then by bytes (PostgreSQL's documentation,
/// 8.14; MySQL's, "Normalization, Merging, and Autowrapping of JSON Values"). `None` for what they may change:
/// numbers that are no integers, and the character 0, which PostgreSQL refuses.
fn write(document: &Value, depth: usize, out: &mut String) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    match document {
        Value::Null | Value::Bool(_) => out.push_str(&document.to_string()),
        Value::Number(number) => out.push_str(&number.as_i64()?.to_string()),
        Value::String(text) => out.push_str(&string(text)?),
        Value::Array(items) => {
            out.push('[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                write(item, depth, out)?;
            }
            out.push(']');
        }
        Value::Object(object) => {
            let mut entries: Vec<_> = object.iter().collect();
            entries.sort_by_key(|(key, _)| (key.len(), *key));
            out.push('{');
            for (place, (key, value)) in entries.into_iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                out.push_str(&string(key)?);
                out.push(':');
                write(value, depth, out)?;
            }
            out.push('}');
        }
    }
    Some(())
}

fn string(text: &str) -> Option<String> {
    (!text.contains('\0')).then(|| Value::from(text).to_string())
}

/// Takes out the spaces between tokens.
fn compact(text: &str) -> String {
    let (mut out, mut quoted, mut escaped) = (String::with_capacity(text.len()), false, false);
    for letter in text.chars() {
        if quoted {
            quoted = escaped || letter != '"';
            escaped = letter == '\\' && !escaped;
        } else if letter.is_ascii_whitespace() {
            continue;
        } else {
            quoted = letter == '"';
        }
        out.push(letter);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_column_would_change_is_stored_as_bytes() {
        let deep = format!("{}1{}", "[".repeat(31), "]".repeat(31));
        // The text; whether it survives being parsed; whether it survives as text.
        let table: [(&str, bool, bool); 16] = [
            ("1", true, true),
            ("\"a b\\n\\\"\"", true, true),
            (r#"{"a":1,"b":[true,null],"aa":{}}"#, true, true),
            (r#"{"aa":1,"b":2}"#, false, true),
            (r#"{"a": 1}"#, false, true),
            (r#"{"a":1,"a":1}"#, false, true),
            ("1.50", false, true),
            ("1e2", false, true),
            ("-0", false, true),
            ("18446744073709551616", false, true),
            (r#""\u0041""#, false, true),
            (r#""\u0000""#, false, true),
            (r#""\ud800""#, false, false),
            ("", false, false),
            ("no json", false, false),
            (&deep, false, false),
        ];
        for (text, parsed, kept) in table {
            for (column, expected) in [(Column::Parsed, parsed), (Column::Text, kept)] {
                let (stored, is_binary) = encode(text.as_bytes().to_vec(), column);
                assert_eq!(!is_binary, expected, "{text}, {column:?}");
                assert!(serde_json::from_str::<Value>(&stored).is_ok(), "{text}: {stored}");
                assert_eq!(decode(stored, is_binary, column).as_deref(), Ok(text.as_bytes()), "{text}");
            }
        }
        let spaced = r#"{"a": [1, "x \" , y\\"], "b": {}}"#.to_owned();
        let compact = br#"{"a":[1,"x \" , y\\"],"b":{}}"#;
        assert_eq!(decode(spaced, false, Column::Parsed).as_deref(), Ok(&compact[..]));
        assert!(decode("\"*\"".to_owned(), true, Column::Parsed).is_err());
    }
}
