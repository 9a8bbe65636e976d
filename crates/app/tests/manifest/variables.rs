//! Where the values of variables come from, and that secrets stay secret.

use crate::{Folder, good, parse_with};
use sampan_app::{Surroundings, parse_manifest, read_manifest, render};

const APP: &str = "[component.a]\nsource = \"a.wasm\"\nvariables = { v = \"<{{ x }}>\" }\n[[route]]\npath = \"/\"\nto = \"a\"\n";

/// The value that the component sees.
fn value(folder: &Folder, env: &[(&str, &str)], files: &[&str]) -> String {
    let lookup = |name: &str| env.iter().find(|(one, _)| *one == name).map(|(_, value)| (*value).to_owned());
    let mut surroundings = Surroundings::new(&lookup);
    surroundings.variables_files = files.iter().map(|file| folder.path().join(file)).collect();
    match read_manifest(&folder.path().join("sampan.toml"), &surroundings) {
        Ok((app, _)) => app.components[0].grants.config[0].value.reveal().to_owned(),
        Err(findings) => panic!("{findings:#?}"),
    }
}

#[test]
fn providers_are_asked_in_their_order() {
    let text = format!("[app]\nvariables_file = \"own.env\"\n[variables]\nx = \"default\"\n{APP}");
    let folder = Folder::new(&[
        ("sampan.toml", &text),
        (".env", "x=not this one\nSPIN_VARIABLE_X=\"dot env\"\n"),
        ("named.env", "x=named\n"),
        ("own.env", "SAMPAN_VARIABLE_X=own\n"),
    ]);
    let sampan = ("SAMPAN_VARIABLE_X", "sampan");
    let spin = ("SPIN_VARIABLE_X", "spin");
    assert_eq!(value(&folder, &[spin, sampan], &["named.env"]), "<sampan>");
    assert_eq!(value(&folder, &[spin], &["named.env"]), "<spin>");
    assert_eq!(value(&folder, &[("x", "no"), ("X", "no")], &["named.env"]), "<dot env>");
    folder.write(".env", "x=not this one\n");
    assert_eq!(value(&folder, &[], &["named.env"]), "<named>");
    assert_eq!(value(&folder, &[], &[]), "<own>");
    folder.write("own.env", "# nothing\n");
    assert_eq!(value(&folder, &[], &[]), "<default>");
    assert_eq!(value(&folder, &[("SAMPAN_VARIABLE_X", "")], &[]), "<>");
}

#[test]
fn a_required_variable_without_a_value_names_all_places() {
    let findings =
        parse_with("sampan.toml", &format!("[variables]\nx = {{ required = true }}\n{APP}"), &|_| None);
    let findings = findings.unwrap_err();
    assert_eq!(findings.len(), 1, "{findings:#?}");
    assert_eq!(findings[0].message, "the variable `x` is required and has no value");
    let help = findings[0].help.as_ref().unwrap();
    for place in ["SAMPAN_VARIABLE_X", "SPIN_VARIABLE_X", ".env", "--env-file", "`variables_file`", "default"]
    {
        assert!(help.contains(place), "{place}: {help}");
    }
}

#[test]
fn files_of_variables_that_are_wrong() {
    let text = format!("[app]\nvariables_file = \"own.env\"\n[variables]\nx = \"default\"\n{APP}");
    let folder = Folder::new(&[("sampan.toml", &text)]);
    let message = |folder: &Folder| folder.read("sampan.toml").unwrap_err()[0].message.clone();
    assert!(message(&folder).contains("own.env: No such file"), "{}", message(&folder));
    folder.write("own.env", "x=1\nthe password hunter2\n");
    assert!(message(&folder).ends_with("own.env: line 2: there is no `=`"), "{}", message(&folder));
    let (app, _) = good("sampan.toml", &format!("[variables]\nx = \"d\"\n{APP}"));
    assert_eq!(app.components[0].grants.config[0].value.reveal(), "<d>");
}

#[test]
fn secrets_are_in_no_message() {
    const SECRET: &str = "hunter2";
    let env = |name: &str| name.starts_with("SAMPAN_VARIABLE_").then(|| SECRET.to_owned());
    // A secret in every place where a template may stand and something may be wrong with it.
    for text in [
        "[component.a]\nsource = \"a.wasm\"\ngrant = { http = [\"{{ x }}\"] }",
        "[component.a]\nsource = \"a.wasm\"\ngrant = { tcp = [\"{{ x }}\"] }",
        "[component.a]\nsource = \"a.wasm\"\ngrant = { services = [\"{{ x }}://a\"] }",
        "[component.a]\nsource = \"a.wasm\"\nenv = { A = \"{{ x }}\" }\nvariables = { a = \"{{ x }}\" }",
        "[keyvalue.a]\ntype = \"redis\"\nurl = \"{{ x }}\"",
        "[keyvalue.a]\ntype = \"redis\"\nurl = \"{{ x }}://host\"",
        "[sql.a]\nurl = \"{{ x }}://host\"",
        "[sql.a]\nurl = \"mysql://root:hunter2@host/db\"\nsatement_timeout = \"1s\"",
        "[sql]\na = { url = \"mysql://root:hunter2@host/db\", x = 1 }",
        "[sql.a]\nurl = \"mysql://root:hunter2@host/db",
        "[sql.a]\nurl = \"mysql://root:hunter2@host/db\" oops",
        "[variables]\ny = { default = \"hunter2\", secret = yes }",
        "[variables.y]\nrequired = true\nsecret = true\ndefault = \"hunter2\"",
        "[variables]\ny = { secret = true, default = \"hunter2\", x = 1 }",
        "[variables]\ny = { secret = 1, default = \"hunter2\" }",
    ] {
        let rest = "\n[[route]]\npath = \"/\"\nto = \"static:public\"\n";
        let declare = if text.contains("[variables") {
            ""
        } else {
            "[variables]\nx = { required = true, secret = true }\n"
        };
        let folder = Folder::new(&[("sampan.toml", &format!("{declare}{text}{rest}"))]);
        let path = folder.path().join("sampan.toml");
        let manifest = std::fs::read_to_string(&path).unwrap();
        let shown = match parse_manifest(&path, &manifest, &Surroundings::new(&env)) {
            Ok((app, warnings)) => format!("{app:?}{}", render(&warnings, false)),
            Err(findings) => render(&findings, false),
        };
        assert!(!shown.contains(SECRET), "{text}\n{shown}");
        assert!(!shown.is_empty());
    }
}

#[test]
fn a_secret_in_a_host_name_is_doubtful() {
    let text = format!(
        "[variables]\nx = {{ default = \"db.internal\", secret = true }}\n{}",
        APP.replace("variables =", "grant = { http = [\"https://{{ x }}\"] }\nvariables =")
    );
    let (app, warnings) = good("sampan.toml", &text);
    assert!(app.components[0].grants.http[0].allows("https", "db.internal", 443));
    assert!(warnings[0].contains("a secret variable stands where its value shows"), "{warnings:?}");
}

#[test]
fn templates() {
    for (template, value) in [
        ("plain", "plain"),
        ("{{ x }}{{x}}", "XX"),
        ("a {{  x  }} b", "a X b"),
        ("{ x } }}", "{ x } }}"),
        ("{{ y }}", "{{ x }}"),
        ("", ""),
    ] {
        let text = APP.replace("<{{ x }}>", template);
        let (app, _) = good("sampan.toml", &format!("[variables]\nx = \"X\"\ny = \"{{{{ x }}}}\"\n{text}"));
        assert_eq!(app.components[0].grants.config[0].value.reveal(), value, "{template}");
    }
    let long = "y".repeat(1000);
    let many = "{{ x }}".repeat(100);
    let text = format!("[variables]\nx = \"{long}\"\n{}", APP.replace("<{{ x }}>", &many));
    let findings = parse_with("sampan.toml", &text, &|_| None).unwrap_err();
    assert!(findings[0].message.contains("longer than 64 KiB"), "{findings:?}");
}
