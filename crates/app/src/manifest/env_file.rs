//! Files of variables, such as `.env`: `NAME=VALUE`, with `export`, quotes and comments as shells have them.

use std::collections::BTreeMap;

/// Errors name a line and never its text, which may be a secret.
pub(super) fn parse(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut out = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |what: &str| format!("line {}: {what}", index + 1);
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        let (name, value) = line.split_once('=').ok_or_else(|| wrong("there is no `=`"))?;
        let name = name.trim_end();
        let valid = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
        if name.is_empty() || !name.bytes().all(valid) {
            return Err(wrong("what stands before `=` is no name"));
        }
        let value = unquote(value.trim()).ok_or_else(|| wrong("a quote is not closed"))?;
        out.insert(name.to_owned(), value);
    }
    Ok(out)
}

/// `'…'` is literal, `"…"` knows `\n`, `\t`, `\"`, `\\` and `\$`, and bare text ends at ` #`.
fn unquote(value: &str) -> Option<String> {
    if let Some(rest) = value.strip_prefix('\'') {
        return rest.split_once('\'').map(|(text, _)| text.to_owned());
    }
    let Some(rest) = value.strip_prefix('"') else {
        let end = value.find(" #").unwrap_or(value.len());
        return Some(value[..end].trim_end().to_owned());
    };
    let mut out = String::new();
    let mut chars = rest.chars();
    loop {
        match chars.next()? {
            '"' => return Some(out),
            '\\' => match chars.next()? {
                'n' => out.push('\n'),
                't' => out.push('\t'),
                'r' => out.push('\r'),
                other => out.push(other),
            },
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_file() {
        for (line, expected) in [
            ("A=1", Some(("A", "1"))),
            ("export A = x y # comment", Some(("A", "x y"))),
            ("A='$x # y' # z", Some(("A", "$x # y"))),
            (r#"A="a\n\"b\"""#, Some(("A", "a\n\"b\""))),
            ("A=", Some(("A", ""))),
            ("A=b#c", Some(("A", "b#c"))),
            ("# A=1", None),
            ("", None),
        ] {
            let parsed = parse(line).unwrap();
            let first = parsed.iter().next().map(|(name, value)| (name.as_str(), value.as_str()));
            assert_eq!(first, expected, "{line}");
        }
        for (text, line) in [("A=1\nB", "line 2"), ("=1", "line 1"), ("A='x", "line 1"), ("A B=1", "line 1")]
        {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(line), "{text}: {error}");
        }
        assert!(!parse("PASSWORD='hunter2").unwrap_err().contains("hunter2"));
    }
}
