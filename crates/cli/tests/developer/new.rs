//! `sampan new`: what it makes, and what it refuses.

use crate::{good, run};
use std::fs;
use std::os::unix::fs::symlink;

#[test]
fn the_list_names_every_template() {
    let dir = sampan_testing::temp_dir();
    let list = good(dir.path(), &["new", "--list"]).stdout;
    let names = Vec::from_iter(list.lines().filter_map(|line| line.split_whitespace().next()));
    assert_eq!(names, ["rust", "javascript", "python", "php", "static"]);
}

#[test]
fn an_app_says_what_is_next_and_needs_nothing_but_its_build() {
    let dir = sampan_testing::temp_dir();
    let made = good(dir.path(), &["new", "my-app", "--template", "static"]);
    assert_eq!(made.stdout, "made my-app from the template static; next:\n  cd my-app && sampan up\n");
    let app = dir.path().join("my-app");
    assert!(good(&app, &["check"]).stdout.contains("my-app: no components, 1 route: no errors, no warnings"));
    assert_eq!(fs::read_to_string(app.join(".gitignore")).unwrap(), "/.sampan\n");
    assert!(fs::read_to_string(app.join("public/index.html")).unwrap().contains("<title>my-app</title>"));

    for (template, language) in [("rust", "cargo"), ("javascript", "npm"), ("python", "venv"), ("php", "npm")]
    {
        let folder = format!("of {template}");
        let made = good(dir.path(), &["new", "my-app", "-t", template, "--dir", &folder]);
        assert!(
            made.stdout.contains(&format!("cd 'of {template}' && sampan build && sampan up")),
            "{made:?}"
        );
        let app = dir.path().join(folder);
        for file in ["README.md", ".gitignore", "sampan.toml"] {
            let text = fs::read_to_string(app.join(file)).unwrap();
            assert!(!text.contains("__NAME__") && !text.contains("__CRATE__"), "{template}/{file}");
        }
        // All that is missing is what the build makes.
        let check = run(&app, &["check"]);
        assert_eq!(
            (check.code, check.stdout.as_str()),
            (1, "my-app: 1 component, 1 route: 1 error, no warnings\n")
        );
        assert!(check.stderr.contains("sampan build") && check.stderr.contains(language), "{}", check.stderr);
    }
}

#[test]
fn names_that_are_none() {
    let dir = sampan_testing::temp_dir();
    let long = "a".repeat(65);
    let table = [
        ("My App", "my-app"),
        ("my_app", "my-app"),
        ("../up", "up"),
        ("/tmp/x", "x"),
        ("1st", "st"),
        ("a--b", "a-b"),
        ("a-", "such as a"),
        ("-a", ""),
        ("caf\u{e9}", "caf"),
        ("", "my-app"),
        ("..", "my-app"),
        (".", "my-app"),
        ("a\nb", "a-b"),
        ("a-1", "such as a"),
        (&long, "such as aaa"),
    ];
    for (name, suggestion) in table {
        let made = run(dir.path(), &["new", "-t", "static", "--", name]);
        assert_eq!(made.code, 1, "{name:?}: {made:?}");
        assert!(made.stderr.contains("is no name for an app"), "{name:?}: {}", made.stderr);
        assert!(made.stderr.contains(suggestion), "{name:?}: {}", made.stderr);
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    let unknown = run(dir.path(), &["new", "a", "--template", "cobol"]);
    assert!(
        unknown.code == 1 && unknown.stderr.contains("rust, javascript, python, php, static"),
        "{unknown:?}"
    );
    let none = run(dir.path(), &["new", "a"]);
    assert!(none.code == 1 && none.stderr.contains("--template"), "{none:?}");
}

#[test]
fn nothing_is_overwritten() {
    let dir = sampan_testing::temp_dir();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("full")).unwrap();
    fs::write(at("full/.hidden"), "mine").unwrap();
    fs::write(at("file"), "mine").unwrap();
    symlink(at("nowhere"), at("dangling")).unwrap();
    for name in ["full", "file", "dangling"] {
        let made = run(dir.path(), &["new", name, "-t", "rust"]);
        assert_eq!(made.code, 1, "{name}: {made:?}");
        assert!(made.stderr.contains(&format!("cannot make {name}: ")), "{}", made.stderr);
        assert!(made.stderr.contains("nothing is ever overwritten"), "{}", made.stderr);
    }
    assert_eq!(fs::read_dir(at("full")).unwrap().count(), 1);
    assert_eq!(fs::read_to_string(at("file")).unwrap(), "mine");
    // An empty folder is as good as none.
    fs::create_dir(at("empty")).unwrap();
    good(dir.path(), &["new", "app", "-t", "static", "--dir", "empty"]);
    assert!(at("empty/sampan.toml").exists());
}
