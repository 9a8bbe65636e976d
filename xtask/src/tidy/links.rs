//! Links in the documents must lead somewhere: relative ones to a file or folder of the tree, and those with
//! a `#` to a heading. Addresses in the web are not visited.

use super::{Problem, Source};

pub fn problems(tree: &[Source]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for source in tree.iter().filter(|source| source.path.ends_with(".md")) {
        for (line, link) in links(&source.text) {
            if let Err(what) = resolve(tree, source, &link) {
                problems.push(Problem::new(&source.path, line, what));
            }
        }
    }
    problems
}

/// The targets of `[text](target)` outside of code, with their lines.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    let mut fenced = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        // Every second piece between backticks is code.
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("``");
        let targets = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        links.extend(targets.map(|(target, _)| (index + 1, target.to_owned())));
    }
    links
}

fn resolve(tree: &[Source], from: &Source, link: &str) -> Result<(), String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return Ok(());
    }
    let (file, heading) = link.split_once('#').map_or((link, None), |(file, heading)| (file, Some(heading)));
    let path = if file.is_empty() { from.path.clone() } else { join(&from.path, file) };
    let folder = format!("{path}/");
    let target = tree.iter().find(|source| source.path == path);
    if target.is_none() && !tree.iter().any(|source| source.path.starts_with(&folder)) {
        return Err(format!("the link leads to `{path}`, which does not exist"));
    }
    match (heading, target) {
        (Some(heading), Some(target)) if !headings(&target.text).any(|one| one == heading) => {
            Err(format!("`{path}` has no heading `#{heading}`"))
        }
        _ => Ok(()),
    }
}

/// The path of `link` as seen from the file `from`.
fn join(from: &str, link: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The names by which the headings of a document can be linked, as GitHub forms them.
fn headings(text: &str) -> impl Iterator<Item = String> {
    let heading = |line: &str| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    text.lines().filter(|line| line.starts_with('#')).map(heading)
}

#[cfg(test)]
mod tests {
    use super::super::tests::tree;
    use super::*;

    #[test]
    fn dead_links_are_found() {
        for (link, dead) in [
            ("STYLE.md", false),
            ("docs", false),
            ("docs/more.md#a-heading-with-code", false),
            ("#top", false),
            ("https://example.com/none", false),
            ("STYLES.md", true),
            ("docs/more.md#nothing", true),
            ("#nothing", true),
        ] {
            let text = format!("# Top\n\nSee [it]({link}).\n");
            let tree = tree(&[
                ("README.md", &text),
                ("STYLE.md", ""),
                ("docs/more.md", "# A heading, with `code`!\n\n[up](../STYLE.md)\n"),
            ]);
            let found = problems(&tree);
            assert_eq!(!found.is_empty(), dead, "{link}: {found:?}");
            assert!(found.iter().all(|problem| problem.line == 3));
        }
    }

    #[test]
    fn code_has_no_links() {
        let text = "```\n[a](none)\n```\n`[b](none)` and [c](none)\n";
        assert_eq!(links(text), [(4, "none".to_owned())]);
    }
}
