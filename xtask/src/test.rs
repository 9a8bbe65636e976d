//! Runs all tests, and the few that failed once more, alone.
//!
//! Tests here start databases, browsers and containers, many at once on a machine that may do other things besides. What
//! fails only in that company is named at the end, and with what it said, so that it gets mended; what fails alone, or is
//! more than a few, fails the run.

use crate::Result;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::Command;

/// More tests than these do not fail by chance.
const AGAIN_MAX: usize = 5;

/// What one run of Cargo's tests said.
#[derive(Debug, Default, PartialEq)]
struct Said {
    /// Failed tests by what selects their program: `--lib`, `--test up`. Those of documentation have none.
    failed: BTreeMap<String, Vec<String>>,
    /// Programs that failed, whether they said by which tests or not.
    programs_failed: usize,
    programs_with_names: usize,
    passed: usize,
}

pub fn run() -> Result {
    let (ok, said) = cargo_test(&["--no-fail-fast"])?;
    if ok {
        return Ok(());
    }
    let count: usize = said.failed.values().map(Vec::len).sum();
    if count == 0 || count > AGAIN_MAX || said.programs_failed != said.programs_with_names {
        return Err("tests failed".into());
    }
    for (program, names) in &said.failed {
        let mut arguments: Vec<&str> = program.split(' ').collect();
        arguments.extend(["--", "--test-threads=1", "--exact"]);
        arguments.extend(names.iter().map(String::as_str));
        let (ok, again) = cargo_test(&arguments)?;
        // A name that selects nothing must not look like a success.
        if !ok || again.passed < names.len() {
            return Err(format!("tests failed: {}", names.join(", ")).into());
        }
    }
    eprintln!("\nFAILED AT FIRST, and passed alone (see above for why):");
    for (program, names) in &said.failed {
        names.iter().for_each(|name| eprintln!("  {program}: {name}"));
    }
    Ok(())
}

/// Whether all passed, and what was said.
fn cargo_test(arguments: &[&str]) -> Result<(bool, Said)> {
    let (reader, writer) = std::io::pipe()?;
    let mut command = Command::new("cargo");
    command.args(["test", "--workspace"]).args(arguments);
    let mut child = command.stdout(writer.try_clone()?).stderr(writer).spawn()?;
    // Its copies of the writing end go with it.
    drop(command);
    let mut parser = Parser::default();
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        std::io::stdout().write_all(&line)?;
        parser.line(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
    Ok((child.wait()?.success(), parser.said))
}

/// Reads what Cargo and the test programs print.
#[derive(Default)]
struct Parser {
    said: Said,
    /// What selects the program that is running.
    program: Option<String>,
    /// The names of a list `failures:`, while there is one.
    names: Option<Vec<String>>,
}

impl Parser {
    fn line(&mut self, line: &str) {
        if let Some(rest) = line.trim_start().strip_prefix("Running ") {
            self.program = selector(rest);
            self.names = None;
        } else if line.trim_start().starts_with("Doc-tests ") {
            (self.program, self.names) = (None, None);
        } else if line == "failures:" {
            self.names = Some(Vec::new());
        } else if line.starts_with("---- ") {
            // What the tests said comes first, and their names after it.
            self.names = None;
        } else if let (Some(names), Some(name)) = (&mut self.names, line.strip_prefix("    ")) {
            names.push(name.to_owned());
        } else if line.starts_with("test result: FAILED") {
            self.end_program();
        } else if let Some(rest) = line.strip_prefix("test result: ok. ") {
            self.said.passed += rest.split(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0);
        } else if line.starts_with("error: test failed") || line.starts_with("error: doctest failed") {
            self.said.programs_failed += 1;
        }
    }

    fn end_program(&mut self) {
        let names = self.names.take().unwrap_or_default();
        if let Some(program) = self.program.clone().filter(|_| !names.is_empty()) {
            self.said.failed.entry(program).or_default().extend(names);
            self.said.programs_with_names += 1;
        }
    }
}

/// From `unittests src/lib.rs (PATH)` or `tests/up/main.rs (PATH)`.
fn selector(rest: &str) -> Option<String> {
    let source = rest.strip_prefix("unittests ");
    let Some(source) = source else {
        let name = rest.strip_prefix("tests/")?.split([' ', '/']).next()?;
        return Some(format!("--test {}", name.trim_end_matches(".rs")));
    };
    Some(if source.starts_with("src/lib.rs") { "--lib" } else { "--bins" }.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Said {
        let mut parser = Parser::default();
        text.lines().for_each(|line| parser.line(line));
        parser.said
    }

    const UP: &str = "
     Running unittests src/lib.rs (/t/debug/deps/a-1)
test result: ok. 7 passed; 0 failed; 0 ignored
     Running tests/up/main.rs (/t/debug/deps/up-2)
test tcp::one ... FAILED
failures:

---- tcp::one stdout ----
failures: are not this
    nor this
failures:
    tcp::one
    tcp::two

test result: FAILED. 58 passed; 2 failed; 0 ignored
error: test failed, to rerun pass `-p sampan-cli --test up`
     Running tests/kube.rs (/t/debug/deps/kube-3)
";

    #[test]
    fn failed_tests_are_known_by_their_program() {
        let all = said(UP);
        let names = vec!["tcp::one".to_owned(), "tcp::two".to_owned()];
        assert_eq!(all.failed, BTreeMap::from([("--test up".to_owned(), names)]));
        assert_eq!((all.programs_failed, all.programs_with_names, all.passed), (1, 1, 7));
    }

    #[test]
    fn a_program_that_dies_and_documentation_have_no_names() {
        let died = format!("{UP}error: test failed, to rerun pass `-p sampan-cli --test kube`\n");
        let all = said(&died);
        assert_ne!(all.programs_failed, all.programs_with_names);
        let documentation = "   Doc-tests sampan_app\nfailures:\n    src/lib.rs - x (line 1)\n\n\
                             test result: FAILED. 0 passed\nerror: doctest failed, to rerun pass `--doc`\n";
        let all = said(&format!("{UP}{documentation}"));
        assert_ne!(all.programs_failed, all.programs_with_names);
    }

    #[test]
    fn programs_are_selected_by_where_their_source_is() {
        for (line, expected) in [
            ("unittests src/lib.rs (/x)", Some("--lib")),
            ("unittests src/main.rs (/x)", Some("--bins")),
            ("tests/kube.rs (/x)", Some("--test kube")),
            ("tests/up/main.rs (/x)", Some("--test up")),
            ("benches/x.rs (/x)", None),
        ] {
            assert_eq!(selector(line).as_deref(), expected);
        }
    }
}
