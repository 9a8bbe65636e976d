//! JSON as YAML that people read: mappings and lists in blocks, and every text that could be read as something else in
//! quotes (YAML 1.2, chapter 10: a JSON string is a YAML string).

use serde_json::Value;

/// Documents, with a line between them.
pub fn documents(all: &[Value]) -> String {
    let mut text = String::new();
    for (at, value) in all.iter().enumerate() {
        if at > 0 {
            text.push_str("---\n");
        }
        block(value, 0, &mut text);
    }
    text
}

fn block(value: &Value, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                text.push_str(&format!("{indent}{}:", scalar(key)));
                after(value, depth, text);
            }
        }
        Value::Array(items) => {
            for item in items {
                let mut inner = String::new();
                block(item, depth + 1, &mut inner);
                // The first line's place is taken by the dash.
                text.push_str(&format!("{indent}- {}", &inner[indent.len() + 2..]));
            }
        }
        other => text.push_str(&format!("{indent}{}\n", plain(other))),
    }
}

fn after(value: &Value, depth: usize, text: &mut String) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            text.push('\n');
            block(value, depth + 1, text);
        }
        Value::Array(items) if !items.is_empty() => {
            text.push('\n');
            block(value, depth, text);
        }
        Value::String(lines) if lines.contains('\n') && lines.ends_with('\n') => {
            text.push_str(" |\n");
            let indent = "  ".repeat(depth + 1);
            for line in lines.lines() {
                text.push_str(format!("{indent}{line}").trim_end());
                text.push('\n');
            }
        }
        other => text.push_str(&format!(" {}\n", plain(other))),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        other => other.to_string(),
    }
}

/// Without quotes only where nothing else could be meant.
fn scalar(text: &str) -> String {
    const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let is_plain = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'/')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte))
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    if is_plain { text.to_owned() } else { Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn blocks() {
        let value = json!({
            "a": { "b": [{ "c": 1, "d": ["x", "1"] }, "y"], "e": {} },
            "text": "one\n  two\n",
            "yes": "no: #",
        });
        let expected = "a:\n  b:\n  - c: 1\n    d:\n    - x\n    - \"1\"\n  - \"y\"\n  e: {}\n\
                        text: |\n  one\n    two\n\"yes\": \"no: #\"\n";
        assert_eq!(documents(&[value]), expected);
        assert_eq!(documents(&[json!({ "a": 1 }), json!({ "b": "x" })]), "a: 1\n---\nb: x\n");
    }
}
