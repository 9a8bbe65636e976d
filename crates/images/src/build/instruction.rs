//! What the lines of a Dockerfile say (docs.docker.com/reference/dockerfile). Variables still have no values.

use super::parse::{Flag, Heredoc, Line, Wrong};
use super::words::split;
use std::ops::Range;

/// A word, and where it is in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    pub text: String,
    pub span: Range<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Instruction {
    From { image: Word, platform: Option<Word>, name: Option<String> },
    Arg(Vec<(String, Option<Word>)>),
    Env(Vec<(Word, Word)>),
    Label(Vec<(Word, Word)>),
    Copy(Copy),
    Workdir(Word),
    Entrypoint(Command),
    Cmd(Command),
    Expose(Vec<Word>),
    Volume(Vec<Word>),
    User(Word),
    StopSignal(Word),
    Healthcheck(Healthcheck),
    Maintainer(String),
    OnBuild(String),
    Shell(Vec<String>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    pub is_add: bool,
    pub sources: Vec<Word>,
    pub documents: Vec<Heredoc>,
    pub to: Word,
    pub from: Option<Word>,
    pub chown: Option<Word>,
    pub chmod: Option<Word>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Exec(Vec<String>),
    /// For a shell, which is not there.
    Shell(String),
}

/// In nanoseconds, as in the configuration (moby, `api/types/container/config.go`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Healthcheck {
    pub test: Vec<String>,
    pub interval: Option<i64>,
    pub timeout: Option<i64>,
    pub start_period: Option<i64>,
    pub start_interval: Option<i64>,
    pub retries: Option<i64>,
}

fn wrong<T>(what: impl Into<String>, help: &'static str, span: Range<usize>) -> Result<T, Wrong> {
    Err(Wrong { what: what.into(), help, span })
}

pub fn instruction(line: &Line, escape: char) -> Result<Instruction, Wrong> {
    let flags = Flags::of(line)?;
    let text = line.rest.text.as_str();
    if text.is_empty() {
        return wrong(
            format!("{} says nothing", line.name),
            "write what it is for after it",
            line.span.clone(),
        );
    }
    let word = || Word { text: text.to_owned(), span: line.rest.whole() };
    Ok(match line.name.as_str() {
        "FROM" => from(line, &flags)?,
        "ARG" => Instruction::Arg(arguments(line, escape)?),
        "ENV" => Instruction::Env(pairs(line, escape)?),
        "LABEL" => Instruction::Label(pairs(line, escape)?),
        "COPY" | "ADD" => Instruction::Copy(copy(line, &flags)?),
        "WORKDIR" => Instruction::Workdir(word()),
        "ENTRYPOINT" => Instruction::Entrypoint(command(text)),
        "CMD" => Instruction::Cmd(command(text)),
        "EXPOSE" => Instruction::Expose(words(line, escape)),
        "VOLUME" => Instruction::Volume(match json(text) {
            Some(list) => list.into_iter().map(|text| Word { text, span: line.rest.whole() }).collect(),
            None => words(line, escape),
        }),
        "USER" => Instruction::User(word()),
        "STOPSIGNAL" => Instruction::StopSignal(word()),
        "HEALTHCHECK" => Instruction::Healthcheck(healthcheck(line, &flags)?),
        "MAINTAINER" => Instruction::Maintainer(text.to_owned()),
        "ONBUILD" => Instruction::OnBuild(on_build(line)?),
        "SHELL" => match json(text) {
            Some(list) if !list.is_empty() => Instruction::Shell(list),
            _ => {
                return wrong(
                    "SHELL wants a list",
                    "write SHELL [\"PROGRAM\", \"ARGUMENT\"]",
                    line.rest.whole(),
                );
            }
        },
        "RUN" => {
            return wrong(
                "RUN needs a system inside the image, and there is none: an image of WebAssembly has files only",
                "build with your own tools first and COPY the result, or COPY --from an image that has it",
                line.span.clone(),
            );
        }
        other => {
            const KNOWN: &str = "instructions are FROM, ARG, ENV, COPY, ADD, WORKDIR, ENTRYPOINT, CMD, LABEL, EXPOSE, \
                                 VOLUME, USER, STOPSIGNAL, HEALTHCHECK, ONBUILD and SHELL";
            let shown: String = other.chars().take(40).collect();
            return wrong(format!("there is no instruction `{shown}`"), KNOWN, line.span.clone());
        }
    })
}

/// The flags of an instruction, each at most once but for `exclude`.
struct Flags<'a>(&'a [Flag]);

impl<'a> Flags<'a> {
    fn of(line: &'a Line) -> Result<Self, Wrong> {
        let known: &[&str] = match line.name.as_str() {
            "FROM" => &["platform"],
            "COPY" => &["from", "chown", "chmod", "link", "parents"],
            "ADD" => &["chown", "chmod", "link", "checksum", "keep-git-dir"],
            "HEALTHCHECK" => &["interval", "timeout", "start-period", "start-interval", "retries"],
            // They are refused for what they are, not for their flags.
            "RUN" | "ONBUILD" => return Ok(Flags(&line.flags)),
            _ => &[],
        };
        for (at, flag) in line.flags.iter().enumerate() {
            if !known.contains(&flag.name.as_str()) {
                let what = format!("{} has no flag `--{}`", line.name, flag.name);
                return wrong(what, "leave it out, or correct its name", flag.span.clone());
            }
            if flag.name == "parents" {
                let help = "name each folder, or COPY the whole one";
                return wrong("`--parents` is not supported here", help, flag.span.clone());
            }
            if line.flags[..at].iter().any(|other| other.name == flag.name) {
                return wrong(format!("`--{}` stands here twice", flag.name), "leave one", flag.span.clone());
            }
        }
        Ok(Flags(&line.flags))
    }

    fn value(&self, name: &str) -> Result<Option<Word>, Wrong> {
        let Some(flag) = self.0.iter().find(|flag| flag.name == name) else { return Ok(None) };
        match &flag.value {
            Some(value) if !value.is_empty() => {
                Ok(Some(Word { text: value.clone(), span: flag.span.clone() }))
            }
            _ => wrong(format!("`--{name}` has no value"), "write it as --NAME=VALUE", flag.span.clone()),
        }
    }
}

fn words(line: &Line, escape: char) -> Vec<Word> {
    let found = split(&line.rest.text, escape).into_iter();
    found
        .map(|(at, text)| Word { text: text.to_owned(), span: line.rest.span(at..at + text.len()) })
        .collect()
}

/// A list in JSON, if it is one.
fn json(text: &str) -> Option<Vec<String>> {
    text.starts_with('[').then(|| serde_json::from_str(text).ok()).flatten()
}

fn command(text: &str) -> Command {
    json(text).map_or_else(|| Command::Shell(text.to_owned()), Command::Exec)
}

fn from(line: &Line, flags: &Flags<'_>) -> Result<Instruction, Wrong> {
    let mut words = words(line, '\\').into_iter();
    let (image, keyword, name) = (words.next(), words.next(), words.next());
    let name = match (keyword, name, words.next()) {
        (None, None, None) => None,
        (Some(keyword), Some(name), None) if keyword.text.eq_ignore_ascii_case("as") => {
            let name_text = name.text.to_ascii_lowercase();
            let is_plain = |one: char| one.is_ascii_alphanumeric() || matches!(one, '-' | '_' | '.');
            let begins = name_text.starts_with(|one: char| one.is_ascii_alphabetic());
            if !begins || !name_text.chars().all(is_plain) {
                let help = "a stage's name begins with a letter, and has letters, digits, `-`, `_` and `.`";
                return wrong("the stage's name is not valid", help, name.span);
            }
            Some(name_text)
        }
        _ => {
            return wrong(
                "FROM is not understood",
                "write FROM IMAGE, or FROM IMAGE AS NAME",
                line.rest.whole(),
            );
        }
    };
    let Some(image) = image else {
        return wrong("FROM names no image", "write FROM IMAGE", line.span.clone());
    };
    Ok(Instruction::From { image, platform: flags.value("platform")?, name })
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|one: char| one.is_ascii_digit())
        && name.chars().all(|one| one.is_ascii_alphanumeric() || one == '_')
}

fn arguments(line: &Line, escape: char) -> Result<Vec<(String, Option<Word>)>, Wrong> {
    let one = |word: Word| {
        let (name, value) = match word.text.split_once('=') {
            Some((name, value)) => {
                (name.to_owned(), Some(Word { text: value.to_owned(), span: word.span.clone() }))
            }
            None => (word.text.clone(), None),
        };
        match is_name(&name) {
            true => Ok((name, value)),
            false => wrong("the argument's name is not valid", "write ARG NAME or ARG NAME=VALUE", word.span),
        }
    };
    words(line, escape).into_iter().map(one).collect()
}

/// `KEY=VALUE KEY=VALUE`, or `KEY VALUE` as it was once written.
fn pairs(line: &Line, escape: char) -> Result<Vec<(Word, Word)>, Wrong> {
    let words = words(line, escape);
    let wants = || format!("{} wants names and values", line.name);
    let help = "write NAME=VALUE, and quotes around a value with spaces";
    if words.first().is_some_and(|first| !first.text.contains('=')) {
        let text = &line.rest.text;
        let Some(space) = text.find(char::is_whitespace) else {
            return wrong(wants(), help, line.rest.whole());
        };
        let value = text[space..].trim_start();
        let at = text.len() - value.len();
        let key = Word { text: text[..space].to_owned(), span: line.rest.span(0..space) };
        return Ok(vec![(key, Word { text: value.to_owned(), span: line.rest.span(at..text.len()) })]);
    }
    let pair = |word: Word| match word.text.split_once('=') {
        Some((key, value)) if !key.is_empty() => {
            let (key, value) = (key.to_owned(), value.to_owned());
            Ok((Word { text: key, span: word.span.clone() }, Word { text: value, span: word.span }))
        }
        _ => wrong(wants(), help, word.span),
    };
    words.into_iter().map(pair).collect()
}

fn copy(line: &Line, flags: &Flags<'_>) -> Result<Copy, Wrong> {
    let mut words: Vec<Word> = match json(&line.rest.text) {
        Some(list) => list.into_iter().map(|text| Word { text, span: line.rest.whole() }).collect(),
        // No quotes here: a name with spaces needs the list.
        None => {
            let mut at = 0;
            let mut word = |text: &str| {
                let start = at + line.rest.text[at..].find(text).unwrap_or(0);
                at = start + text.len();
                Word { text: text.to_owned(), span: line.rest.span(start..at) }
            };
            line.rest.text.split_whitespace().map(&mut word).collect()
        }
    };
    let (Some(to), false) = (words.pop(), words.is_empty()) else {
        let what = format!("{} names no source or no destination", line.name);
        return wrong(what, "write COPY SOURCE… DESTINATION", line.rest.whole());
    };
    let is_document = |word: &Word| line.heredocs.iter().any(|one| one.name == word.text);
    words.retain(|word| !is_document(word));
    if let Some(checksum) = flags.value("checksum")? {
        return wrong("`--checksum` is for downloads, which are not supported here", URL_HELP, checksum.span);
    }
    for source in words.iter().filter(|_| line.name == "ADD") {
        if source.text.contains("://") || source.text.starts_with("git@") {
            let what = "ADD of a URL is not supported: what it fetches would be another image on another day";
            return wrong(what, URL_HELP, source.span.clone());
        }
    }
    Ok(Copy {
        is_add: line.name == "ADD",
        sources: words,
        documents: line.heredocs.clone(),
        to,
        from: flags.value("from")?,
        chown: flags.value("chown")?,
        chmod: flags.value("chmod")?,
    })
}

const URL_HELP: &str = "download the file first, check it, and COPY it";

fn on_build(line: &Line) -> Result<String, Wrong> {
    let flags = line.flags.iter().map(|flag| match &flag.value {
        Some(value) => format!("--{}={value} ", flag.name),
        None => format!("--{} ", flag.name),
    });
    let text = flags.collect::<String>() + &line.rest.text;
    let first = text.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
    if matches!(first.as_str(), "ONBUILD" | "FROM" | "MAINTAINER") {
        return wrong(format!("ONBUILD cannot have {first}"), "name another instruction", line.rest.whole());
    }
    Ok(text)
}

fn healthcheck(line: &Line, flags: &Flags<'_>) -> Result<Healthcheck, Wrong> {
    let text = line.rest.text.as_str();
    if text.eq_ignore_ascii_case("none") {
        return Ok(Healthcheck { test: vec!["NONE".to_owned()], ..Healthcheck::default() });
    }
    let (first, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    if !first.eq_ignore_ascii_case("cmd") || rest.trim().is_empty() {
        return wrong(
            "HEALTHCHECK is not understood",
            "write HEALTHCHECK CMD COMMAND, or HEALTHCHECK NONE",
            line.rest.whole(),
        );
    }
    let test = match command(rest.trim()) {
        Command::Exec(words) => [vec!["CMD".to_owned()], words].concat(),
        Command::Shell(text) => vec!["CMD-SHELL".to_owned(), text],
    };
    let duration = |name: &str| match flags.value(name)? {
        None => Ok(None),
        Some(word) => match nanoseconds(&word.text) {
            Some(time) => Ok(Some(time)),
            None => wrong("the duration is not valid", "write it as 30s, 1m30s or 500ms", word.span),
        },
    };
    let retries = match flags.value("retries")? {
        None => None,
        Some(word) => match word.text.parse().ok().filter(|count: &i64| *count >= 0) {
            Some(count) => Some(count),
            None => return wrong("the number of retries is not valid", "write a number", word.span),
        },
    };
    Ok(Healthcheck {
        test,
        interval: duration("interval")?,
        timeout: duration("timeout")?,
        start_period: duration("start-period")?,
        start_interval: duration("start-interval")?,
        retries,
    })
}

/// `1h2m3.5s`, as Go writes durations.
fn nanoseconds(text: &str) -> Option<i64> {
    let mut total = 0f64;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|one: char| !one.is_ascii_digit() && one != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        let unit_end = rest[end..].find(|one: char| one.is_ascii_digit()).map_or(rest.len(), |at| at + end);
        total += number
            * match &rest[end..unit_end] {
                "ns" => 1.0,
                "us" | "µs" => 1e3,
                "ms" => 1e6,
                "s" => 1e9,
                "m" => 60e9,
                "h" => 3600e9,
                _ => return None,
            };
        rest = &rest[unit_end..];
    }
    (!text.is_empty() && total < 9e18).then_some(total as i64)
}
