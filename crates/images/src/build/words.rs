//! Words, quotes and variables, as in Dockerfiles (moby/buildkit, `frontend/dockerfile/shell/lex.go`).

use std::collections::BTreeMap;

pub type Variables = BTreeMap<String, String>;

/// Values can name values; no longer ones come of it.
const EXPANDED_MAX_BYTES: usize = 256 << 10;
/// `${a:-${b:-…}}`
const NESTED_MAX: usize = 16;

/// The words of a line, with their quotes and where each begins.
pub fn split(text: &str, escape: char) -> Vec<(usize, &str)> {
    let mut words = Vec::new();
    let mut start = None;
    let mut quote = None;
    let mut characters = text.char_indices();
    while let Some((at, one)) = characters.next() {
        match (quote, one) {
            (None, one) if one.is_whitespace() => {
                if let Some(start) = start.take() {
                    words.push((start, &text[start..at]));
                }
                continue;
            }
            (None, '"' | '\'') => quote = Some(one),
            (Some(open), one) if open == one => quote = None,
            // In single quotes, nothing is escaped.
            (Some('\''), _) => {}
            (_, one) if one == escape => {
                start.get_or_insert(at);
                characters.next();
                continue;
            }
            _ => {}
        }
        start.get_or_insert(at);
    }
    if let Some(start) = start {
        words.push((start, &text[start..]));
    }
    words
}

/// A word without its quotes, and with the values of its variables.
pub fn expand(word: &str, variables: &Variables, escape: char) -> Result<String, String> {
    let mut lexer = Lexer {
        rest: word.chars().collect::<Vec<_>>().into_iter().peekable(),
        variables,
        escape,
        raw: false,
    };
    lexer.until(None, 0)
}

/// A document's text: quotes stand for themselves.
pub fn expand_document(text: &str, variables: &Variables, escape: char) -> Result<String, String> {
    let mut lexer =
        Lexer { rest: text.chars().collect::<Vec<_>>().into_iter().peekable(), variables, escape, raw: true };
    lexer.until(None, 0)
}

struct Lexer<'a> {
    rest: std::iter::Peekable<std::vec::IntoIter<char>>,
    variables: &'a Variables,
    escape: char,
    /// Quotes mean nothing.
    raw: bool,
}

impl Lexer<'_> {
    /// What comes before a closing brace, or before the end.
    fn until(&mut self, end: Option<char>, depth: usize) -> Result<String, String> {
        let mut out = String::new();
        while let Some(one) = self.rest.next() {
            if out.len() > EXPANDED_MAX_BYTES {
                return Err("its value becomes too long".to_owned());
            }
            match one {
                one if Some(one) == end => return Ok(out),
                '\'' if !self.raw => self.single(&mut out)?,
                '"' if !self.raw => self.double(&mut out, depth)?,
                '$' => out.push_str(&self.variable(depth)?),
                one if one == self.escape => match self.rest.next() {
                    Some(next) if self.raw && next != '$' && next != self.escape => out.extend([one, next]),
                    Some(next) => out.push(next),
                    // At the very end it stands for itself.
                    None => out.push(one),
                },
                one => out.push(one),
            }
        }
        match end {
            None => Ok(out),
            Some(_) => Err("a `${` has no `}`".to_owned()),
        }
    }

    fn single(&mut self, out: &mut String) -> Result<(), String> {
        loop {
            match self.rest.next() {
                Some('\'') => return Ok(()),
                Some(one) => out.push(one),
                None => return Err("a quote has no end".to_owned()),
            }
        }
    }

    fn double(&mut self, out: &mut String, depth: usize) -> Result<(), String> {
        loop {
            match self.rest.next() {
                Some('"') => return Ok(()),
                Some('$') => out.push_str(&self.variable(depth)?),
                Some(one) if one == self.escape => match self.rest.next() {
                    Some(next) if next == '"' || next == '$' || next == self.escape => out.push(next),
                    Some(next) => out.extend([one, next]),
                    None => out.push(one),
                },
                Some(one) => out.push(one),
                None => return Err("a quote has no end".to_owned()),
            }
        }
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(one) = self.rest.next_if(|one| one.is_ascii_alphanumeric() || *one == '_') {
            name.push(one);
        }
        name
    }

    /// What stands behind a dollar.
    fn variable(&mut self, depth: usize) -> Result<String, String> {
        if self.rest.next_if_eq(&'{').is_none() {
            let name = self.name();
            // A dollar that names nothing is a dollar.
            return Ok(if name.is_empty() { "$".to_owned() } else { self.value(&name).unwrap_or_default() });
        }
        if depth == NESTED_MAX {
            return Err("variables are nested too deeply".to_owned());
        }
        let name = self.name();
        if name.is_empty() {
            return Err("a `${` names no variable".to_owned());
        }
        let colon = self.rest.next_if_eq(&':').is_some();
        let known = self.value(&name).filter(|value| !colon || !value.is_empty());
        match self.rest.next() {
            Some('}') if !colon => Ok(self.value(&name).unwrap_or_default()),
            Some('-') => Ok(known.unwrap_or(self.until(Some('}'), depth + 1)?)),
            Some('+') => {
                let other = self.until(Some('}'), depth + 1)?;
                Ok(if known.is_some() { other } else { String::new() })
            }
            Some('?') => {
                let what = self.until(Some('}'), depth + 1)?;
                known.ok_or(format!("`{name}` has no value{}{what}", if what.is_empty() { "" } else { ": " }))
            }
            None => Err("a `${` has no `}`".to_owned()),
            Some(one) => Err(format!(
                "`${{{name}{}{one}…}}` is no substitution that is known here",
                if colon { ":" } else { "" }
            )),
        }
    }

    fn value(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }
}
