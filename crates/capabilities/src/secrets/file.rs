//! Secrets from a JSON file, as Dapr's `secretstores.local.file` (dapr/components-contrib,
//! secretstores/local/file/filestore.go): read once, nested names joined by a separator.

use super::{STORE_BYTES_MAX, Values};
use sampan_app::Secret;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

pub struct File {
    pub secrets: BTreeMap<String, Values>,
    pub multi_valued: bool,
}

/// Why a file is no store of secrets. The texts contain none of its values.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("cannot read {0}: {1}")]
    Unreadable(String, std::io::Error),
    #[error("{0} is larger than {STORE_BYTES_MAX} bytes")]
    TooLarge(String),
    #[error("{path} is no JSON object: line {line}, column {column}")]
    Malformed { path: String, line: usize, column: usize },
    #[error("{0} has two secrets of the name `{1}`")]
    Twice(String, String),
}

impl File {
    pub fn read(path: &Path, separator: &str, multi_valued: bool) -> Result<Self, FileError> {
        let shown = path.display().to_string();
        let unreadable = |error| FileError::Unreadable(shown.clone(), error);
        let file = std::fs::File::open(path).map_err(unreadable)?;
        let mut bytes = Vec::new();
        file.take(STORE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() > STORE_BYTES_MAX {
            return Err(FileError::TooLarge(shown));
        }
        let parsed: serde_json::Map<String, Value> = serde_json::from_slice(&bytes).map_err(|error| {
            FileError::Malformed { path: shown.clone(), line: error.line(), column: error.column() }
        })?;
        let twice = |name: String| FileError::Twice(shown.clone(), name);
        let secrets = if multi_valued { grouped(parsed, separator) } else { single(parsed, separator) };
        Ok(File { secrets: secrets.map_err(twice)?, multi_valued })
    }
}

/// Every value is a secret of one key, its own name.
fn single(
    parsed: serde_json::Map<String, Value>,
    separator: &str,
) -> Result<BTreeMap<String, Values>, String> {
    let mut flat = Values::new();
    flatten(Value::Object(parsed), "", separator, &mut flat)?;
    Ok(flat.into_iter().map(|(name, value)| (name.clone(), Values::from([(name, value)]))).collect())
}

/// Every member of the file is a secret, which may have many keys.
fn grouped(
    parsed: serde_json::Map<String, Value>,
    separator: &str,
) -> Result<BTreeMap<String, Values>, String> {
    let mut secrets = BTreeMap::new();
    for (name, value) in parsed {
        let mut values = Values::new();
        // A plain value has the secret's own name as its key.
        let start = if matches!(value, Value::Object(_)) { "" } else { name.as_str() };
        flatten(value, start, separator, &mut values)?;
        secrets.insert(name, values);
    }
    Ok(secrets)
}

/// The parser bounds the depth.
fn flatten(value: Value, name: &str, separator: &str, into: &mut Values) -> Result<(), String> {
    let below = |part: &str| {
        if name.is_empty() { part.to_owned() } else { format!("{name}{separator}{part}") }
    };
    let text = match value {
        Value::Object(members) => {
            for (part, value) in members {
                flatten(value, &below(&part), separator, into)?;
            }
            return Ok(());
        }
        Value::Array(items) => {
            for (index, value) in items.into_iter().enumerate() {
                flatten(value, &below(&index.to_string()), separator, into)?;
            }
            return Ok(());
        }
        Value::String(text) => text,
        Value::Null => String::new(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    };
    match into.insert(name.to_owned(), Secret::new(text)) {
        None => Ok(()),
        Some(_) => Err(name.to_owned()),
    }
}
