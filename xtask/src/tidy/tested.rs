//! Every guest is there for a test: its name stands, as a text, in the code of some crate.

use super::{Problem, Source};
use std::collections::BTreeSet;

pub fn problems(tree: &[Source]) -> Vec<Problem> {
    let code: Vec<&str> = tree
        .iter()
        .filter(|source| source.path.starts_with("crates/") || source.path.starts_with("xtask/src/bench"))
        .map(|source| source.text.as_str())
        .collect();
    let mut problems = Vec::new();
    for (name, path) in guests(tree) {
        let quoted = format!("\"{name}\"");
        if !code.iter().any(|text| text.contains(&quoted)) {
            let what = format!("no test asks for the guest `{name}`");
            problems.push(Problem::new(path, 0, what));
        }
    }
    problems
}

/// Names and the files that define them: `guests/NAME/Cargo.toml`, `guests/wat/NAME.wat`, `guests/c/NAME.c`.
fn guests(tree: &[Source]) -> BTreeSet<(&str, &str)> {
    tree.iter().filter_map(|source| Some((guest(&source.path)?, source.path.as_str()))).collect()
}

fn guest(path: &str) -> Option<&str> {
    match path.split('/').collect::<Vec<_>>()[..] {
        ["guests", name, "Cargo.toml"] => Some(name),
        ["guests", "wat", file] => file.strip_suffix(".wat"),
        ["guests", "c", file] => file.strip_suffix(".c"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::tree;
    use super::*;

    #[test]
    fn a_guest_without_a_test_is_found() {
        let found = problems(&tree(&[
            ("guests/one/Cargo.toml", ""),
            ("guests/one/src/main.rs", ""),
            ("guests/two/Cargo.toml", ""),
            ("guests/wat/three.wat", ""),
            ("guests/c/four.c", ""),
            ("guests/c/five.c", ""),
            ("guests/Cargo.toml", ""),
            (
                "crates/cli/tests/run/main.rs",
                "guest(\"one\"); wat(\"three\"); guest_for(\"c\", \"five\"); two",
            ),
        ]));
        let paths: Vec<&str> = found.iter().map(|problem| problem.path.as_str()).collect();
        assert_eq!(paths, ["guests/c/four.c", "guests/two/Cargo.toml"]);
    }
}
