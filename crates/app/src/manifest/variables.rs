//! Variables of an app, where their values come from, and templates `{{ name }}` that use them.

use super::findings::{Findings, Span, nearest, quoted};
use super::tree::{Table, Text};
use super::{Surroundings, env_file, read_stream, read_text};
use crate::Severity;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Names of the environment for the variable `x`: one of these, then `X`.
const PREFIXES: [&str; 2] = ["SAMPAN_VARIABLE_", "SPIN_VARIABLE_"];
/// A text that templates made may be so long.
const EXPANDED_MAX: usize = 64 << 10;

/// All variables with their values.
#[derive(Default)]
pub(super) struct Variables {
    list: BTreeMap<String, Variable>,
}

struct Variable {
    /// `None` where none was found, which has been reported.
    value: Option<String>,
    secret: bool,
}

/// A text whose templates were filled in.
pub(super) struct Expanded {
    pub text: String,
    /// Whether a secret is in it.
    pub secret: bool,
    /// Whether it held any template.
    pub template: bool,
}

/// How a manifest names its variables.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Sampan,
    /// Each is a table.
    Spin,
}

/// The places that may hold values, in the order in which they are asked.
struct Providers<'a> {
    surroundings: &'a Surroundings<'a>,
    /// `.env` first, then the named files.
    files: Vec<VariablesFile>,
}

struct VariablesFile {
    says: BTreeMap<String, String>,
    /// Names without a prefix count too. `.env` is shared with other tools, whose `HOST` is not our `host`.
    bare_names: bool,
}

impl Variables {
    /// Reads `[variables]` and looks up the values.
    pub fn read(
        table: Option<Table<'_>>,
        dialect: Dialect,
        root: &Path,
        named_files: &[(PathBuf, Option<Span>)],
        surroundings: &Surroundings<'_>,
        f: &mut Findings,
    ) -> Self {
        let mut variables = Variables::default();
        let Some(table) = table else {
            return variables;
        };
        let providers = Providers::open(root, named_files, surroundings, f);
        for (name, value) in table.into_entries() {
            if !is_name(name.text) {
                f.error_help(
                    name.span,
                    format!("{} is not the name of a variable", quoted(name.text)),
                    "write letters, digits and `_`, beginning with a letter, such as `api_host`",
                );
                continue;
            }
            let declared = match value.as_str() {
                Some(text) if dialect == Dialect::Sampan => {
                    Some(Declared { default: Some(text.to_owned()), ..Declared::default() })
                }
                _ => Declared::read(&value, f),
            };
            let Some(declared) = declared else { continue };
            let found = providers.find(name.text).or(declared.default);
            if found.is_none() {
                report_missing(name, declared.required, f);
            }
            variables.list.insert(name.text.to_owned(), Variable { value: found, secret: declared.secret });
        }
        variables
    }

    /// Fills in the templates of a text. `None` where something is wrong with it, which has been reported.
    pub fn expand(&self, text: Text<'_>, f: &mut Findings) -> Option<Expanded> {
        let mut expanded = Expanded { text: String::new(), secret: false, template: false };
        let mut rest = text.text;
        let mut complete = true;
        while let Some(start) = rest.find("{{") {
            expanded.text.push_str(&rest[..start]);
            expanded.template = true;
            let Some(end) = rest[start..].find("}}").map(|end| start + end) else {
                f.error_help(
                    text.span,
                    "`{{` without `}}`",
                    "write {{ name }}, where name is one of [variables]",
                );
                return None;
            };
            let name = rest[start + 2..end].trim();
            rest = &rest[end + 2..];
            match self.list.get(name) {
                Some(variable) => {
                    expanded.secret |= variable.secret;
                    complete &= variable.value.is_some();
                    expanded.text.push_str(variable.value.as_deref().unwrap_or_default());
                }
                None => {
                    complete = false;
                    self.report_unknown(name, text.span, f);
                }
            }
            if expanded.text.len() > EXPANDED_MAX {
                f.error(text.span, "this text with its variables filled in is longer than 64 KiB");
                return None;
            }
        }
        expanded.text.push_str(rest);
        complete.then_some(expanded)
    }

    /// As [`Variables::expand`], for places that are no secret, such as host names.
    pub fn expand_public(&self, text: Text<'_>, f: &mut Findings) -> Option<Expanded> {
        let expanded = self.expand(text, f)?;
        if expanded.secret {
            f.warn(
                text.span,
                "a secret variable stands where its value shows, such as in messages and metrics",
                "declare the variable without `secret`, or write the host into the manifest",
            );
        }
        Some(expanded)
    }

    /// The value of a variable and whether it is a secret; `None` where it has none or is not declared.
    pub fn get(&self, name: Text<'_>, f: &mut Findings) -> Option<(String, bool)> {
        match self.list.get(name.text) {
            Some(variable) => variable.value.clone().map(|value| (value, variable.secret)),
            None => {
                self.report_unknown(name.text, name.span, f);
                None
            }
        }
    }

    fn report_unknown(&self, name: &str, span: Span, f: &mut Findings) {
        let help = match nearest(name, self.list.keys().map(String::as_str)) {
            Some(one) => format!("did you mean `{one}`?"),
            None => format!("declare it: [variables] {} = {{ required = true }}", shown_name(name)),
        };
        f.error_help(span, format!("there is no variable {}", quoted(name)), help);
    }
}

/// A name that a help text may show.
fn shown_name(name: &str) -> &str {
    if is_name(name) { name } else { "NAME" }
}

fn is_name(name: &str) -> bool {
    name.len() <= 100
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// What the manifest says of a variable.
#[derive(Default)]
struct Declared {
    default: Option<String>,
    required: bool,
    secret: bool,
}

impl Declared {
    fn read(value: &super::tree::Value<'_>, f: &mut Findings) -> Option<Self> {
        let mut table = value.table(f)?;
        f.hide(table.has("secret"));
        let secret = table.boolean("secret", f).unwrap_or(false);
        let default = table.string("default", f);
        let required = table.boolean("required", f).unwrap_or(false);
        table.string("description", f);
        if let (true, Some(default)) = (required, default) {
            f.error_help(
                default.span,
                format!("`{}` is required and has a default", value.path),
                "a variable has a default or is required, not both",
            );
        }
        table.finish(f);
        f.hide(false);
        Some(Declared { default: default.map(|text| text.text.to_owned()), required, secret })
    }
}

fn report_missing(name: Text<'_>, required: bool, f: &mut Findings) {
    let upper = name.text.to_ascii_uppercase();
    let what = if required { "is required and" } else { "has no default and" };
    f.error_help(
        name.span,
        format!("the variable `{}` {what} has no value", name.text),
        format!(
            "set SAMPAN_VARIABLE_{upper} or SPIN_VARIABLE_{upper} in the environment, in the file .env beside \
             the manifest, or in a file named by --env-file or `variables_file`; or declare a default"
        ),
    );
}

impl<'a> Providers<'a> {
    fn open(
        root: &Path,
        named: &[(PathBuf, Option<Span>)],
        surroundings: &'a Surroundings<'a>,
        f: &mut Findings,
    ) -> Self {
        let mut files = Vec::new();
        let dot_env = root.join(".env");
        if dot_env.is_file() {
            files.extend(read_file(&dot_env, None, false, f));
        }
        for (path, span) in named {
            files.extend(read_file(path, *span, true, f));
        }
        Providers { surroundings, files }
    }

    fn find(&self, name: &str) -> Option<String> {
        let upper = name.to_ascii_uppercase();
        let by_prefix = || PREFIXES.iter().map(|prefix| format!("{prefix}{upper}"));
        if let Some(value) = by_prefix().find_map(|full| (self.surroundings.env)(&full)) {
            return Some(value);
        }
        self.files.iter().find_map(|file| {
            let bare = || file.says.get(name).or_else(|| file.says.get(&upper)).filter(|_| file.bare_names);
            by_prefix().find_map(|full| file.says.get(&full)).or_else(bare).cloned()
        })
    }
}

fn read_file(path: &Path, span: Option<Span>, bare_names: bool, f: &mut Findings) -> Option<VariablesFile> {
    // The manifest names files; whoever types a command may name a pipe.
    let text = if span.is_some() || !bare_names { read_text(path) } else { read_stream(path) };
    match text.and_then(|text| env_file::parse(&text)) {
        Ok(says) => Some(VariablesFile { says, bare_names }),
        Err(error) => {
            // Where a file is wrong is told, and what it says is not: it may hold secrets.
            let help = "such a file has lines NAME=VALUE, and comments that begin with #".to_owned();
            f.add(Severity::Error, span, format!("{}: {error}", path.display()), Some(help));
            None
        }
    }
}
