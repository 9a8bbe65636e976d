//! What is said of Dapr's resources that are wrong: the place, the cause, what to do.

use crate::Folder;
use sampan_app::dapr::load;
use sampan_app::{Diagnostic, Severity, render};

#[track_caller]
fn bad(text: &str) -> Vec<Diagnostic> {
    let folder = Folder::new(&[("a.yaml", text)]);
    match load(folder.path()) {
        Ok(resources) => panic!("nothing is wrong with it: {resources:#?}\n{text}"),
        Err(findings) => findings.into_iter().filter(|one| one.severity == Severity::Error).collect(),
    }
}

/// A document, the text that is marked, and what the message and the help contain.
type Case = (&'static str, &'static str, &'static str, &'static str);

#[track_caller]
fn check_all(head: &str, cases: &[Case]) {
    for (text, marked, message, help) in cases {
        let text = format!("apiVersion: dapr.io/v1alpha1\n{head}{text}");
        let findings = bad(&text);
        let [found] = &findings[..] else { panic!("{text}\n{findings:#?}") };
        assert!(found.message.contains(message), "{text}\n{found:#?}");
        let span = found.span.clone().expect("a place");
        assert_eq!(text.get(span).expect("a span within the text"), *marked, "{text}\n{found:#?}");
        assert!(found.help.clone().unwrap_or_default().contains(help), "{text}\n{found:#?}");
    }
}

#[test]
fn components() {
    check_all(
        "kind: Component\n",
        &[
            ("spec: { type: a.b }", "apiVersion", "`metadata` is missing", "name: NAME"),
            (
                "metadata: { nmae: x }\nspec: { type: a.b }",
                "nmae",
                "unknown key `nmae` in metadata",
                "`name`",
            ),
            ("metadata: { name: }\nspec: { type: a.b }", "name", "`metadata.name` is missing", ""),
            ("metadata: { name: x }", "apiVersion", "`spec` is missing", "state.redis"),
            ("metadata: { name: x }\nspce: { type: a.b }", "spce", "unknown key `spce`", "`spec`"),
            ("metadata: { name: x }\nspec: { version: v1 }", "version", "`spec.type` is missing", ""),
            (
                "metadata: { name: x }\nspec: { type: redis }",
                "redis",
                "`redis` is not a component's type",
                "",
            ),
            ("metadata: { name: x }\nspec: [a]", "[a]", "`spec`: expected a map, found a list", ""),
            (
                "metadata: { name: x }\nspec: { type: a.b, metadata: { a: b } }",
                "{ a: b }",
                "`spec.metadata`: expected a list, found a map",
                "",
            ),
            (
                "metadata: { name: x }\nspec: { type: a.b, metadata: [{ name: n, vaule: v }] }",
                "vaule",
                "unknown key `vaule` in spec.metadata",
                "`value`",
            ),
            (
                "metadata: { name: x }\nspec: { type: a.b, metadata: [{ value: v }] }",
                "value",
                "`spec.metadata.name` is missing",
                "",
            ),
            (
                "metadata: { name: x }\nspec: { type: a.b, metadata: [{ name: n, secretKeyRef: { key: k } }] }",
                "key",
                "`spec.metadata.secretKeyRef.name` is missing",
                "",
            ),
            (
                "metadata: { name: x }\nspec: { type: a.b, initTimeout: soon }",
                "soon",
                "`soon` is not a duration",
                "1m30s",
            ),
            ("metadata: { name: x }\nspec: { type: a.b, initTimeout: 5 }", "5", "`5` has no unit", "5s"),
            (
                "metadata: { name: x }\nspec: { type: a.b, ignoreErrors: maybe }",
                "maybe",
                "`spec.ignoreErrors`: expected true or false, found a text",
                "",
            ),
            (
                "metadata: { name: x, name: y }\nspec: { type: a.b }",
                "name",
                "the key `name` is there twice",
                "remove one",
            ),
            ("metadata: { name: x }\nspec: { type: a.b }\nscopes: x", "x", "`scopes`: expected a list", ""),
        ],
    );
}

#[test]
fn other_kinds() {
    check_all(
        "metadata: { name: x }\n",
        &[
            ("kind: Subscription\nspec: { topic: t, route: / }", "topic", "`spec.pubsubname` is missing", ""),
            (
                "kind: Subscription\nspec: { pubsubname: b, topic: t }",
                "pubsubname",
                "no route, so no event would arrive",
                "routes:",
            ),
            (
                "kind: Subscription\nspec: { pubsubname: b, topic: t, routes: { rules: [{ match: x }] } }",
                "match",
                "`spec.routes.rules.path` is missing",
                "",
            ),
            (
                "kind: Subscription\nspec: { pubsubname: b, topic: t, route: /, bulkSubscribe: { enabled: true, maxMessagesCount: -1 } }",
                "-1",
                "`spec.bulkSubscribe.maxMessagesCount` must be a whole number from 0",
                "",
            ),
            (
                "kind: HTTPEndpoint\nspec: { baseUrl: example.com }",
                "example.com",
                "not the address",
                "https://",
            ),
            (
                "kind: Configuration\nspec: { secrets: { scopes: [{ storeName: s, defaultAccess: some }] } }",
                "some",
                "neither allow nor deny",
                "",
            ),
            (
                "kind: Resiliency\nspec: { policies: { retries: { r: { policy: linear } } } }",
                "policy",
                "no retry policy `linear`",
                "exponential",
            ),
            (
                "kind: Resiliency\nspec: { policies: { retries: { r: { matching: { httpStatusCodes: \"500-400\" } } } } }",
                "\"500-400\"",
                "`500-400` is no status",
                "100 to 599",
            ),
            (
                "kind: Resiliency\nspec: { policies: { retries: { fast: {} } }, targets: { apps: { a: { retry: fats } } } }",
                "fats",
                "there is no retry policy `fats`",
                "did you mean `fast`?",
            ),
            (
                "kind: Resiliency\nspec: { targets: { components: { a: { outbound: { circuitBreaker: cb } } } } }",
                "cb",
                "there is no circuit breaker `cb`",
                "in this folder",
            ),
            ("kind: Resiliency\nspec: { policies: { timeouts: { t: 5d } } }", "5d", "not a duration", "5s"),
        ],
    );
    let findings = bad("apiVersion: dapr.io/v9\nkind: Component\n");
    assert_eq!(findings[0].message, "the version `dapr.io/v9` is not known");
}

#[test]
fn a_finding_as_it_is_shown() {
    let text =
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: x\nspec:\n  tpye: state.redis\n";
    let folder = Folder::new(&[("store.yaml", text)]);
    let findings = load(folder.path()).expect_err("a slip");
    let shown = render(&findings, false);
    for part in
        ["unknown key `tpye` in spec", "store.yaml:6:3", "tpye: state.redis", "^^^^", "did you mean `type`?"]
    {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
}

#[test]
fn secrets_are_not_shown() {
    let head = "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: { name: x }\nspec:\n  type: a.b\n";
    for text in [
        "  metadata:\n  - { name: p, vaule: hunter2 }\n",
        "  metadata:\n  - { value: hunter2 }\n",
        "  metadata:\n  - name: p\n    value: 'hunter2\n",
        "  metadata:\n  - name: p\n    value: hunter2: x\n",
        "  metadata: { password: hunter2 }\n",
    ] {
        let folder = Folder::new(&[("a.yaml", &format!("{head}{text}"))]);
        let findings = load(folder.path()).expect_err(text);
        let shown = format!("{}{findings:?}", render(&findings, false));
        assert!(!shown.contains("hunter2"), "{text}\n{shown}");
        assert!(shown.contains("a.yaml:"), "the place is told: {shown}");
    }
}

#[test]
fn what_is_not_yaml() {
    for (text, line) in [
        ("a: [1, 2", 1),
        ("a: b\n  c: d: e\n", 2),
        ("a: b\n\t- c\n", 1),
        ("x: *nobody\n", 1),
        ("a: \"unclosed\n", 1),
        ("a: &a [*a]\n", 1),
        ("? [a, b]\n: c\n", 1),
    ] {
        let findings = bad(text);
        let [found] = &findings[..] else { panic!("{text}\n{findings:#?}") };
        assert!(found.message.starts_with("this is not YAML"), "{text}\n{found:#?}");
        let place = found.place(text).expect("a place");
        assert!(place.line >= line && place.line <= text.lines().count() + 1, "{text}\n{place:?}");
    }
}

#[test]
fn what_would_grow_without_a_bound() {
    let laughs = (1..30).fold("a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned(), |text, level| {
        let before = format!("*a{},", level - 1).repeat(9);
        format!("{text}a{level}: &a{level} [{before}]\n")
    });
    let deep = "[".repeat(100_000);
    let many = "- x\n".repeat(150_000);
    let documents = "---\na: b\n".repeat(1500);
    for (text, message) in [
        (laughs.as_str(), "more than 100000 values"),
        (&deep, "recursion limit"),
        (&"- ".repeat(100), "more than 64 levels"),
        (&many, "more than 100000 values"),
        (&documents, "more than 1000 documents"),
        (&"#".repeat((4 << 20) + 1), "larger than 4 MiB"),
    ] {
        let findings = bad(text);
        assert!(findings[0].message.contains(message), "{:?}", findings[0].message);
    }
    let slips = "---\napiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {}\n".repeat(500);
    let findings = bad(&slips);
    assert!(findings.len() <= 202, "{}", findings.len());
    assert!(findings.iter().any(|one| one.message.contains("more findings are not shown")));
}

#[test]
fn folders_and_names() {
    let component = |name: &str, rest: &str| {
        format!(
            "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{ name: {name} }}\nspec: {{ type: a.b }}\n{rest}"
        )
    };
    let findings = load(std::path::Path::new("/no/such/folder")).expect_err("there is none");
    assert!(findings[0].message.contains("cannot read the folder /no/such/folder"), "{findings:?}");

    let folder = Folder::new(&[("a.yaml", &component("x", "")), ("b.yaml", &component("x", "scopes: [a]"))]);
    let findings = load(folder.path()).expect_err("twice");
    assert!(findings[0].message.contains("`x` is there twice"), "{findings:?}");
    assert!(findings[0].file.ends_with("b.yaml"), "{findings:?}");

    let apart = [component("x", "scopes: [b]"), component("x", "scopes: [a]")];
    let folder = Folder::new(&[("a.yaml", &apart[0]), ("b.yaml", &apart[1])]);
    assert_eq!(load(folder.path()).expect("each for another app").components.len(), 2);

    let missing = "apiVersion: dapr.io/v2alpha1\nkind: Subscription\nmetadata: { name: s }\n\
                   spec: { pubsubname: bsu, topic: t, routes: { default: / } }\n";
    let bus = component("bus", "").replace("a.b", "pubsub.redis");
    let folder = Folder::new(&[("a.yaml", missing), ("b.yaml", &bus)]);
    let warnings = load(folder.path()).expect("it may be elsewhere").warnings;
    assert_eq!(warnings[0].message, "there is no pub/sub component `bsu`");
    assert_eq!(warnings[0].help.as_deref(), Some("did you mean `bus`?"));
    assert_eq!(&missing[warnings[0].span.clone().expect("a place")], "bsu");

    let folder = Folder::new(&[("a.yaml", "a: b")]);
    std::fs::write(folder.path().join("b.yaml"), b"\xff\xfe").expect("a file");
    let findings = load(folder.path()).expect_err("no text");
    assert!(findings.iter().any(|one| one.message.contains("not UTF-8")), "{findings:?}");
}
