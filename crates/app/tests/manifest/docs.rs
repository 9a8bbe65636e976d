//! What docs/manifest.md shows is understood.

use crate::{good, parse_with};
use std::path::{Path, PathBuf};

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

/// What a page shows as TOML.
fn examples(page: &str) -> Vec<String> {
    let text = std::fs::read_to_string(docs().join(page)).unwrap();
    let blocks = text.split("```toml\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap().to_owned()).collect()
}

fn pages() -> Vec<String> {
    let entries = std::fs::read_dir(docs()).unwrap().map(|entry| entry.unwrap().file_name());
    let names = entries.map(|name| name.to_str().unwrap().to_owned());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".md")).collect();
    names.sort();
    names
}

#[test]
fn examples_are_understood() {
    let env = |name: &str| name.starts_with("SAMPAN_VARIABLE_").then(|| "x".to_owned());
    let mut count = 0;
    // The page about routes shows parts of manifests, and has a test of its own.
    for page in pages().into_iter().filter(|page| page != "routes.md") {
        // Elsewhere than on the manifest's own page, what has no route is a fragment.
        let whole = |text: &String| page == "manifest.md" || text.contains("[[route]]");
        for text in examples(&page).into_iter().filter(whole) {
            count += 1;
            // A part of a manifest may lack routes; then one is added.
            let route = "[[route]]\npath = \"/added\"\nto = \"static:added\"\n";
            let whole = if text.contains("[[route]]") { text.clone() } else { format!("{text}\n{route}") };
            if let Err(findings) = parse_with("sampan.toml", &whole, &env).map(drop) {
                let unknown: Vec<_> =
                    findings.iter().filter(|one| !one.message.starts_with("cannot read")).collect();
                // The file of variables that one example names does not exist here.
                let missing = |message: &str| message.contains("production.env");
                assert!(
                    unknown.iter().all(|one| missing(&one.message)),
                    "docs/{page}:\n{text}\n{unknown:#?}"
                );
            }
        }
    }
    assert!(count > 12, "{count}");
}

/// The pages for people who come from elsewhere show manifests that are whole.
#[test]
fn manifests_for_newcomers_are_whole() {
    let env = |_: &str| None;
    for page in pages().iter().filter(|name| name.starts_with("from-")) {
        let examples = examples(page);
        assert!(!examples.is_empty(), "docs/{page}");
        for text in examples {
            match parse_with("sampan.toml", &text, &env) {
                Ok((_, warnings)) => assert_eq!(warnings, [], "docs/{page}:\n{text}"),
                Err(findings) => panic!("docs/{page}:\n{text}\n{}", sampan_app::render(&findings, false)),
            }
        }
    }
}

#[test]
fn examples_of_routes_are_understood() {
    let examples = examples("routes.md");
    assert!(examples.len() >= 6, "{}", examples.len());
    for mut text in examples {
        if !text.contains("[upstream") {
            text += "[upstream.api]\nservers = [\"127.0.0.1:1\"]\n";
        }
        if !text.contains("[[route]]") {
            text += "[[route]]\npath = \"/\"\nto = \"static:x\"\n";
        }
        good("sampan.toml", &text);
    }
}

/// Every key that the reader knows is on the page.
#[test]
fn every_key_is_there() {
    let page = std::fs::read_to_string(docs().join("manifest.md")).unwrap();
    // Unknown keys are answered with the list of the known ones.
    let text = "zzzzzzzzzzzz = 1\n[app]\nzzzzzzzzzzzz = 1\n[[listen]]\naddress = \"127.0.0.1:1\"\nzzzzzzzzzzzz = 1\n\
        [component.a]\nsource = \"a\"\nzzzzzzzzzzzz = 1\n[component.a.limits]\nzzzzzzzzzzzz = 1\n\
        [component.a.grant]\nzzzzzzzzzzzz = 1\n[component.a.build]\ncommand = \"x\"\nzzzzzzzzzzzz = 1\n\
        [[route]]\npath = \"/\"\nto = \"static:x\"\nzzzzzzzzzzzz = 1\n\
        request_headers = { zzzzzzzzzzzz = 1 }\ncors = { origins = \"*\", zzzzzzzzzzzz = 1 }\n\
        rate_limit = { requests = 1, per = \"1s\", zzzzzzzzzzzz = 1 }\n\
        [[tcp]]\nlisten = \"127.0.0.1:2\"\nto = \"upstream:u\"\nzzzzzzzzzzzz = 1\n[telemetry]\nzzzzzzzzzzzz = 1\n\
        [variables.v]\ndefault = \"\"\nzzzzzzzzzzzz = 1\n[keyvalue.k]\nzzzzzzzzzzzz = 1\n[sql.s]\nzzzzzzzzzzzz = 1\n\
        [upstream.u]\nservers = [\"a:1\"]\nzzzzzzzzzzzz = 1\n[upstream.u.tls]\nzzzzzzzzzzzz = 1\n\
        [upstream.u.health]\npath = \"/\"\nzzzzzzzzzzzz = 1\n[upstream.u.outlier]\nzzzzzzzzzzzz = 1\n\
        [upstream.u.retry]\nzzzzzzzzzzzz = 1\n[upstream.u.timeouts]\nzzzzzzzzzzzz = 1\n\
        [upstream.u.limits]\nzzzzzzzzzzzz = 1\n[upstream.u.keep_alive]\nzzzzzzzzzzzz = 1\n\
        [filter.f]\nsource = \"f\"\nzzzzzzzzzzzz = 1\n[filter.f.limits]\nzzzzzzzzzzzz = 1\n\
        [filter.f.canary]\nconfig = \"c\"\nshare = \"1%\"\nzzzzzzzzzzzz = 1\n";
    let findings = crate::bad("sampan.toml", text);
    assert_eq!(findings.len(), 27, "{findings:#?}");
    // A key of Spin in `sampan.toml` makes it a manifest of Spin, and three grants are for later.
    let elsewhere = ["spin_manifest_version", "spin_version", "trigger", "inference", "lock", "secrets"];
    for (_, message, help) in findings {
        let known = help.strip_prefix("known keys are: ").unwrap_or_else(|| panic!("{message}: {help}"));
        for key in known.split(", ").filter(|key| !elsewhere.contains(key)) {
            let there = [format!("`{key}`"), format!("`[{key}]`"), format!("[{key}."), format!("[[{key}")];
            assert!(there.iter().any(|form| page.contains(form)), "{message}: `{key}` is not on the page");
        }
    }
}

#[test]
fn the_first_example_is_whole() {
    let first = examples("manifest.md").remove(0).replace("required = true, ", "default = \"x\", ");
    let (app, warnings) = good("sampan.toml", &first);
    assert_eq!((app.components.len(), app.routes.len(), warnings.len()), (2, 3, 0), "{warnings:?}");
}

/// Manifests below a folder of the project.
fn manifests(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name();
        // What tools leave behind is not ours.
        if entry.path().is_dir() && name != "target" && name != "node_modules" {
            found.extend(manifests(&entry.path()));
        } else if name == "sampan.toml" || name == "spin.toml" {
            found.push(entry.path());
        }
    }
    found
}

#[test]
fn examples_and_templates_are_right() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found = manifests(&root.join("examples"));
    found.extend(manifests(&root.join("templates")));
    assert!(found.len() >= 10, "{found:?}");
    let env = |_: &str| None;
    for path in found {
        // Templates have a place for the name.
        let text = std::fs::read_to_string(&path).unwrap().replace("__NAME__", "app");
        let read = sampan_app::parse_manifest(&path, &text, &sampan_app::Surroundings::new(&env));
        match read {
            Ok((_, warnings)) => assert_eq!(warnings, [], "{}", path.display()),
            Err(findings) => panic!("{}", sampan_app::render(&findings, false)),
        }
    }
}
