//! Rules on single files: how they begin, how long they are, what they may not mention.

use super::{Problem, Source};

/// Comments and tests included.
const FILE_LINES_MAX: usize = 500;

pub fn problems(tree: &[Source]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for source in tree {
        if source.path.ends_with(".rs") {
            begins_with_purpose(source, &mut problems);
            fits_the_budget(source, &mut problems);
            leaves_nothing_undone(source, &mut problems);
            leaves_the_engine_to_its_crate(source, &mut problems);
        } else if source.path.ends_with("Cargo.toml") {
            inherits_lints(source, &mut problems);
        }
    }
    problems
}

fn begins_with_purpose(source: &Source, problems: &mut Vec<Problem>) {
    if !source.text.starts_with("//! ") {
        problems.push(Problem::new(&source.path, 1, "the first line says with `//!` what the file is for"));
    }
}

fn fits_the_budget(source: &Source, problems: &mut Vec<Problem>) {
    let lines = source.text.lines().count();
    if lines > FILE_LINES_MAX {
        let what = format!("{lines} lines; a file has at most {FILE_LINES_MAX}: split it by purpose");
        problems.push(Problem::new(&source.path, lines, what));
    }
}

/// Clippy finds the macros in compiled code only; comments and other platforms' code count too.
fn leaves_nothing_undone(source: &Source, problems: &mut Vec<Problem>) {
    // In pieces, so that this file does not break its own rule.
    let words =
        [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("TO", "DO"), concat!("FIX", "ME")];
    for (index, line) in source.text.lines().enumerate() {
        for word in words.iter().filter(|word| line.contains(**word)) {
            let what = format!("`{word}`: do it now, or open an issue and say here what holds today");
            problems.push(Problem::new(&source.path, index + 1, what));
        }
    }
}

/// Only `engine` configures Wasmtime. Clippy refuses the type by clippy.toml; this also sees text that is
/// not compiled, and does not depend on a configuration file that a crate could shadow.
fn leaves_the_engine_to_its_crate(source: &Source, problems: &mut Vec<Problem>) {
    let elsewhere = source.path.starts_with("crates/") && !source.path.starts_with("crates/engine/");
    if !elsewhere {
        return;
    }
    let mut rest = source.text.as_str();
    while let Some(at) = rest.find("wasmtime::") {
        rest = &rest[at + "wasmtime::".len()..];
        let names = match rest.strip_prefix('{') {
            Some(group) => group.split(';').next().unwrap_or_default(),
            None => rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default(),
        };
        let mut names = names.split(|c: char| !c.is_alphanumeric() && c != '_');
        if names.any(|name| name == "Config") {
            let line = source.text[..source.text.len() - rest.len()].lines().count();
            problems.push(Problem::new(&source.path, line, "only crates/engine configures Wasmtime"));
        }
    }
}

fn inherits_lints(source: &Source, problems: &mut Vec<Problem>) {
    let ours = source.path.starts_with("crates/") || source.path.starts_with("xtask/");
    if ours && !source.text.contains("[lints]\nworkspace = true\n") {
        let what = "a crate takes the workspace's lints: [lints] workspace = true";
        problems.push(Problem::new(&source.path, 0, what));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::tree;
    use super::*;

    /// The lines at which a file breaks a rule.
    #[track_caller]
    fn check(path: &str, text: &str, lines: &[usize]) {
        let found = problems(&tree(&[(path, text)]));
        assert_eq!(found.iter().map(|problem| problem.line).collect::<Vec<_>>(), lines, "{found:?}");
    }

    #[test]
    fn first_line() {
        check("crates/a/src/x.rs", "//! Why.\nfn x() {}\n", &[]);
        check("crates/a/src/x.rs", "fn x() {}\n", &[1]);
        check("guests/a/src/main.rs", "// Why.\n", &[1]);
        check("guests/a/src/main.rs", "", &[1]);
    }

    #[test]
    fn length() {
        let lines = |count: usize| "//! Why.\n".to_owned() + &"\n".repeat(count - 1);
        check("xtask/src/x.rs", &lines(500), &[]);
        check("xtask/src/x.rs", &lines(501), &[501]);
    }

    #[test]
    fn nothing_undone() {
        check("crates/a/src/x.rs", concat!("//! Why.\nfn x() { to", "do!() }\n"), &[2]);
        check("crates/a/src/x.rs", concat!("//! Why.\n\n// FIX", "ME later\n"), &[3]);
        check("crates/a/src/x.rs", "//! Why.\n// The todo list of the user.\n", &[]);
    }

    #[test]
    fn engine_alone_configures() {
        let path = "crates/runtime/src/x.rs";
        check(path, "//! Why.\nlet config = wasmtime::Config::new();\n", &[2]);
        check(path, "//! Why.\nuse wasmtime::{Engine, Config};\n", &[2]);
        check(path, "//! Why.\nuse wasmtime::{\n    Store,\n    Config as C,\n};\n", &[2]);
        check(path, "//! Why.\nuse wasmtime::{Engine, Store};\nuse other::Config;\n", &[]);
        check(path, "//! Why.\nuse wasmtime::ConfigExtra;\n", &[]);
        check("crates/engine/src/x.rs", "//! Why.\nuse wasmtime::Config;\n", &[]);
    }

    #[test]
    fn lints() {
        check("crates/a/Cargo.toml", "[package]\n\n[lints]\nworkspace = true\n\n[dependencies]\n", &[]);
        check("crates/a/Cargo.toml", "[package]\n[lints.clippy]\nall = \"allow\"\n", &[0]);
        check("guests/a/Cargo.toml", "[package]\n", &[]);
    }
}
