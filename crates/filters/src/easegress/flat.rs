//! Names and values as an operator writes them: the part of YAML that Easegress's data calls need, and JSON.
//!
//! A map without nesting, `name: value` in each line (yaml.org/spec/1.2.2, block mappings of scalars).

use std::collections::BTreeMap;

/// Texts that YAML does not read as texts unless they are quoted.
const WORDS: [&str; 11] = ["true", "false", "yes", "no", "on", "off", "null", "y", "n", "~", "nan"];

/// # Errors
///
/// What is wrong, with its line, for a person.
pub fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
    let whole = text.trim();
    if whole.starts_with('{') {
        return json(whole);
    }
    let mut all = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let content = line.trim();
        if content.is_empty() || content.starts_with('#') || content == "---" {
            continue;
        }
        let pair = match line.starts_with([' ', '\t']) {
            true => Err("it is indented, and nothing may be inside of something else"),
            false => pair(content),
        };
        all.push(pair.map_err(|why| format!("line {}: {why}", index + 1))?);
    }
    Ok(all)
}

fn json(text: &str) -> Result<Vec<(String, String)>, String> {
    let map: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(text).map_err(|error| error.to_string())?;
    let pairs = map.into_iter().map(|(name, value)| match value {
        serde_json::Value::String(text) => Ok((name, text)),
        serde_json::Value::Number(_) | serde_json::Value::Bool(_) => Ok((name, value.to_string())),
        _ => Err(format!("the value of `{name}` is no text")),
    });
    pairs.collect()
}

const NO_PAIR: &str = "it is not `name: value`";

fn pair(line: &str) -> Result<(String, String), &'static str> {
    let (name, rest) = match quoted(line)? {
        Some((name, rest)) => (name, rest.trim_start().strip_prefix(':').ok_or(NO_PAIR)?),
        None => {
            let (name, rest) = match line.split_once(": ") {
                Some(parts) => parts,
                None => (line.strip_suffix(':').ok_or(NO_PAIR)?, ""),
            };
            (plain(name)?, rest)
        }
    };
    let rest = rest.trim_start();
    let value = match quoted(rest)? {
        Some((value, rest)) if rest.trim_start().is_empty() || rest.trim_start().starts_with('#') => value,
        Some(_) => return Err("something stands behind the quotes"),
        None => plain(rest.split_once(" #").map_or(rest, |(value, _)| value))?,
    };
    Ok((name, value))
}

/// A text in quotes at the beginning, and what stands behind it.
fn quoted(text: &str) -> Result<Option<(String, &str)>, &'static str> {
    const OPEN: &str = "its quotes do not end";
    if let Some(rest) = text.strip_prefix('\'') {
        let mut value = String::new();
        let mut left = rest;
        loop {
            let (part, more) = left.split_once('\'').ok_or(OPEN)?;
            value.push_str(part);
            match more.strip_prefix('\'') {
                Some(more) => {
                    value.push('\'');
                    left = more;
                }
                None => return Ok(Some((value, more))),
            }
        }
    }
    let Some(rest) = text.strip_prefix('"') else { return Ok(None) };
    let mut escaped = false;
    let end = rest.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    let end = end.ok_or(OPEN)?;
    let value =
        serde_json::from_str(&text[..end + 2]).map_err(|_| "its quotes hold an escape that is not known")?;
    Ok(Some((value, &rest[end + 1..])))
}

fn plain(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    if text.starts_with(['[', '{', '&', '*', '!', '|', '>', '%', '@', '`', ']', '}', ','])
        || text.starts_with("- ")
    {
        return Err("only texts and numbers are known; write others in quotes");
    }
    Ok(text.to_owned())
}

/// As Easegress prints it.
pub fn print(values: &BTreeMap<String, String>) -> String {
    if values.is_empty() {
        return "{}\n".to_owned();
    }
    values.iter().map(|(name, value)| format!("{}: {}\n", scalar(name), scalar(value))).collect()
}

fn scalar(text: &str) -> String {
    let first =
        text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_' || byte == b'/');
    let rest = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./ ".contains(&byte));
    let word = WORDS.contains(&text.to_ascii_lowercase().as_str());
    if first && rest && !word && !text.ends_with(' ') {
        return text.to_owned();
    }
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let text = "# a comment\n---\nid/user4: \"true\"\nplain: some words # and a comment\n'it''s': 'x: y'\n\
                    \"a: b\": \"line\\nbreak\"\nnumber: 0.4\nempty:\nurl: http://h/\n\n";
        let expected = [
            ("id/user4", "true"),
            ("plain", "some words"),
            ("it's", "x: y"),
            ("a: b", "line\nbreak"),
            ("number", "0.4"),
            ("empty", ""),
            ("url", "http://h/"),
        ];
        let expected: Vec<_> = expected.map(|(a, b)| (a.to_owned(), b.to_owned())).into();
        assert_eq!(parse(text).unwrap(), expected);
        let map: BTreeMap<_, _> = expected.into_iter().collect();
        assert_eq!(parse(&print(&map)).unwrap().into_iter().collect::<BTreeMap<_, _>>(), map);
        assert_eq!(parse("{\"a\": \"b\", \"n\": 3}").unwrap().len(), 2);
        assert_eq!(parse("").unwrap(), []);
        assert_eq!(parse("{}").unwrap(), []);
    }

    #[test]
    fn it_is_printed_as_easegress_does() {
        let map = [("id/user1", "true"), ("n", "3"), ("text", "some words")];
        let map: BTreeMap<_, _> = map.map(|(a, b)| (a.to_owned(), b.to_owned())).into_iter().collect();
        assert_eq!(print(&map), "id/user1: \"true\"\n\"n\": \"3\"\ntext: some words\n");
        assert_eq!(print(&BTreeMap::new()), "{}\n");
    }

    #[test]
    fn what_is_no_flat_map_is_refused() {
        for text in [
            "a",
            "a: [1]",
            "a:\n  b: c",
            "- a: b",
            "\"a: b",
            "a: \"b\" c",
            "a: |",
            "{\"a\": {}}",
            "{",
            "a: 'b",
            "\"\\q\": x",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
