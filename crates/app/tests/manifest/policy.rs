//! What routes do beside handing over, and TCP routes: what is understood, and what is said of the rest.

use crate::{bad, good};
use sampan_app::*;
use std::time::Duration;

const COMPONENTS: &str = "\n[component.api]\nsource = \"a.wasm\"\n[component.next]\nsource = \"b.wasm\"\n";

/// A route with these keys.
fn route(keys: &str) -> String {
    format!(
        "{COMPONENTS}[[route]]\npath = \"/u/:id/...\"\nto = \"next\"\n{keys}\n[[route]]\npath = \"/\"\nto = \"api\"\n"
    )
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[test]
fn every_key_has_its_meaning() {
    let text = route(
        r#"
        query = { v = "2", beta = "*" }
        rewrite = "/users/:id/..."
        rewrite_host = "backend:8080"
        request_headers = { set = { X-A = "1" }, add = { x-b = "2" }, remove = ["Cookie"] }
        response_headers = { remove = ["Server"] }
        timeout = "5s"
        body_limit = "1MiB"
        [route.cors]
        origins = ["https://Shop.example.com", "https://*.example.com"]
        methods = ["get", "PUT"]
        headers = "X-Token"
        expose = ["ETag"]
        credentials = true
        max_age = "10m"
        [route.rate_limit]
        requests = 100
        per = "1m"
        burst = 20
        key = "header:X-Key"
        "#,
    );
    let (app, warnings) = good("sampan.toml", &text);
    assert_eq!(warnings, Vec::<String>::new());
    let strings = |list: &[&str]| list.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
    let expected = Policy {
        response_headers: HeaderEdits { remove: strings(&["server"]), ..HeaderEdits::default() },
        cors: Some(Cors {
            origins: strings(&["https://shop.example.com", "https://*.example.com"]),
            methods: strings(&["GET", "PUT"]),
            headers: strings(&["x-token"]),
            expose: strings(&["ETag"]),
            credentials: true,
            max_age: Some(Duration::from_secs(600)),
        }),
        rate_limit: Some(RateLimit {
            requests: 100,
            per: Duration::from_secs(60),
            burst: 20,
            key: RateKey::Header("x-key".into()),
            store: None,
            on_failure: OnFailure::Open,
        }),
        body_bytes: Some(1 << 20),
        timeout: Some(Duration::from_secs(5)),
        rewrite: Some("/users/:id/...".into()),
        rewrite_host: Some("backend:8080".into()),
        request_headers: HeaderEdits {
            remove: strings(&["cookie"]),
            set: vec![pair("x-a", "1")],
            add: vec![pair("x-b", "2")],
        },
    };
    assert_eq!(app.routes[0].policy, expected);
    assert_eq!(app.routes[0].query, [pair("v", "2"), pair("beta", "*")]);
    assert_eq!(app.routes[1].policy, Policy::default());
}

#[test]
fn limits_with_a_store_bring_it_along() {
    let text =
        route("rate_limit = { requests = 5, per = \"1s\", store = \"default\", on_failure = \"closed\" }");
    let (app, _) = good("sampan.toml", &text);
    let limit = app.routes[0].policy.rate_limit.clone().unwrap();
    assert_eq!((limit.store.as_deref(), limit.on_failure), (Some("default"), OnFailure::Closed));
    assert_eq!((limit.key, limit.burst), (RateKey::SourceIp, 5));
    assert!(app.keyvalue.contains_key("default"));
}

#[test]
fn a_route_may_have_several_targets() {
    let text = format!(
        "{COMPONENTS}[[route]]\npath = \"/...\"\nsplit_by = \"cookie:seen\"\n\
         to = [{{ to = \"api\", weight = 90 }}, {{ to = \"next\", weight = 9 }}, \
         {{ to = \"static:public\", weight = 1, index = \"start.html\" }}]\n"
    );
    let (app, warnings) = good("sampan.toml", &text);
    assert_eq!(warnings, Vec::<String>::new());
    let Target::Split(split) = &app.routes[0].to else { panic!("{:?}", app.routes[0].to) };
    assert_eq!(split.by, Some(SplitBy::Cookie("seen".into())));
    assert_eq!(split.targets[0], (Target::Component("api".into()), 90));
    assert_eq!(split.targets[1], (Target::Component("next".into()), 9));
    let Target::Static(folder) = &split.targets[2].0 else { panic!("{:?}", split.targets[2]) };
    assert_eq!(folder.index, "start.html");
}

#[test]
fn routes_with_other_parameters_are_others() {
    let two = |query: &str| {
        format!(
            "{COMPONENTS}[[route]]\npath = \"/\"\nto = \"api\"\n[[route]]\npath = \"/\"\nto = \"next\"\n{query}\n"
        )
    };
    good("sampan.toml", &two("query = { v = \"2\" }"));
    let findings = bad("sampan.toml", &two(""));
    assert!(findings[0].1.contains("is there already"), "{findings:?}");
}

/// The keys of a route, the text that is marked, and what the message and the help contain.
type Case = (&'static str, &'static str, &'static str, &'static str);

#[track_caller]
fn check(cases: &[Case]) {
    for (keys, marked, message, help) in cases {
        let findings = bad("sampan.toml", &route(keys));
        assert_eq!(findings.len(), 1, "{keys}\n{findings:#?}");
        let (at, said, helped) = &findings[0];
        assert_eq!(at, marked, "{keys}\n{findings:#?}");
        assert!(said.contains(message), "{keys}\n{said}");
        assert!(helped.contains(help), "{keys}\n{helped}");
    }
}

#[test]
fn rewrites_and_headers() {
    check(&[
        ("rewrite = \"new\"", "\"new\"", "does not begin with `/`", "such as \"/new/:id/...\""),
        ("rewrite = \"/:name\"", "\"/:name\"", "there is no `:name` in `/u/:id/...`", "matched"),
        ("rewrite = \"/a/.../b\"", "\"/a/.../b\"", "`...` stands at the end", ""),
        ("rewrite = \"/a?b\"", "\"/a?b\"", "`?` is no part of a path", ""),
        ("rewrite = \"/caf\u{e9}\"", "\"/caf\u{e9}\"", "ASCII", ""),
        ("rewrite_host = \"http://x\"", "\"http://x\"", "is not a host", "backend.example.com:8080"),
        ("rewrite_host = \"a:99999\"", "\"a:99999\"", "is not a host", ""),
        ("request_headers = {}", "{}", "`route.request_headers` changes nothing", "set = {"),
        ("request_headers = { sets = {} }", "sets", "unknown key `sets`", "did you mean `set`?"),
        ("request_headers = { set = { \"a b\" = \"1\" } }", "\"a b\"", "`a b` is not a header", ""),
        (
            "request_headers = { set = { a = \"\u{e9}\" } }",
            "\"\u{e9}\"",
            "cannot be the value of a header",
            "",
        ),
        ("request_headers = { set = { Host = \"x\" } }", "Host", "`host` cannot be changed", "rewrite_host"),
        (
            "response_headers = { remove = [\"Content-Length\"] }",
            "\"Content-Length\"",
            "cannot be changed",
            "body",
        ),
        ("timeout = \"0s\"", "\"0s\"", "`route.timeout`", ""),
        ("body_limit = \"x\"", "\"x\"", "`route.body_limit`", "64MiB"),
        ("split_by = \"source-ip\"", "\"source-ip\"", "several targets", "weight"),
        ("query = { a = 1 }", "1", "expected a string", ""),
    ]);
}

#[test]
fn cors_and_rates() {
    check(&[
        ("cors = {}", "{}", "`route.cors` has no `origins`", "https://"),
        ("cors = { origins = [] }", "[]", "no page could use the route", ""),
        ("cors = { origins = [\"example.com\"] }", "\"example.com\"", "is not an origin", "SCHEME://HOST"),
        ("cors = { origins = [\"https://a/\"] }", "\"https://a/\"", "is not an origin", "without a path"),
        (
            "cors = { origins = \"*\", credentials = true }",
            "\"*\"",
            "could act as the user",
            "name the origins",
        ),
        (
            "cors = { origins = \"*\", methods = [\"A B\"] }",
            "\"A B\"",
            "does not belong into `methods`",
            "names",
        ),
        ("rate_limit = { per = \"1s\" }", "{ per = \"1s\" }", "has no `requests`", "requests = 100"),
        ("rate_limit = { requests = 0, per = \"1s\" }", "0", "must be a whole number from 1", ""),
        ("rate_limit = { requests = 1, per = \"9000h\" }", "\"9000h\"", "longer than a year", "1m"),
        (
            "rate_limit = { requests = 1, per = \"1s\", key = \"cookie\" }",
            "\"cookie\"",
            "`cookie` is nothing to count by",
            "\"header:NAME\"",
        ),
        (
            "rate_limit = { requests = 1, per = \"1s\", store = \"x\" }",
            "\"x\"",
            "there is no key-value store `x`",
            "[keyvalue.NAME]",
        ),
        (
            "rate_limit = { requests = 1, per = \"1s\", store = \"default\", burst = 5 }",
            "burst",
            "`burst` belongs to limits without a `store`",
            "over the last `per`",
        ),
        (
            "rate_limit = { requests = 1, per = \"1s\", on_failure = \"open\" }",
            "\"open\"",
            "`on_failure` belongs to limits with a `store`",
            "",
        ),
        (
            "rate_limit = { requests = 1, per = \"1s\", store = \"default\", on_failure = \"pass\" }",
            "\"pass\"",
            "when the store is down",
            "\"closed\"",
        ),
    ]);
}

#[test]
fn targets() {
    let table: &[Case] = &[
        ("to = []", "[]", "0 targets", "weight = 90"),
        ("to = 5", "5", "a target, or a list of targets", ""),
        ("to = [\"api\"]", "\"api\"", "expected a table", ""),
        ("to = [{ to = \"api\" }]", "{ to = \"api\" }", "has no `weight`", ""),
        (
            "to = [{ to = \"api\", weight = 0 }]",
            "[{ to = \"api\", weight = 0 }]",
            "no target has a weight",
            "",
        ),
        (
            "to = [{ to = \"apo\", weight = 1 }]",
            "\"apo\"",
            "there is no component `apo`",
            "did you mean `api`?",
        ),
        (
            "to = [{ to = \"api\", weight = 1, index = \"x\" }]",
            "index",
            "belongs to routes to a static folder",
            "",
        ),
        (
            "to = [{ to = \"api\", weight = 1 }]\nsplit_by = \"user\"",
            "\"user\"",
            "`user` is nothing to split by",
            "cookie:NAME",
        ),
        ("to = \"redirect:/:name\"", "\"redirect:/:name\"", "no `:name` in `/u/:id`", "stand for"),
        ("to = \"redirect:/x/...\"", "\"redirect:/x/...\"", "nothing that `...` could stand for", ""),
        ("to = \"redirect:https://:id/\"", "\"redirect:https://:id/\"", "it has no host", ""),
        ("to = \"redirect:/.../x\"", "\"redirect:/.../x\"", "`...` stands at the end", ""),
    ];
    for (keys, marked, message, help) in table {
        let findings = bad("sampan.toml", &format!("{COMPONENTS}[[route]]\npath = \"/u/:id\"\n{keys}\n"));
        let found = findings.iter().find(|(_, said, _)| said.contains(message));
        let Some((at, _, helped)) = found else { panic!("{keys}\n{findings:#?}") };
        assert!(at == marked && helped.contains(help), "{keys}\n{findings:#?}");
    }
    for to in ["redirect:https://h:80/users/:id?x#y", "redirect:/u/:id", "redirect:https://h"] {
        good(
            "sampan.toml",
            &format!(
                "{COMPONENTS}[[route]]\npath = \"/u/:id\"\nto = \"{to}\"\n[[route]]\npath = \"/\"\nto = [{{ to = \"api\", weight = 1 }}, {{ to = \"next\", weight = 1 }}]\n"
            ),
        );
    }
}

#[test]
fn connections_that_cannot_be_handed_on() {
    let table: &[Case] = &[
        ("to = \"upstream:db\"", "[[tcp]]", "`tcp` has no `listen`", "127.0.0.1:5432"),
        ("listen = \"db\"\nto = \"upstream:db\"", "\"db\"", "is not an address to listen on", ""),
        ("listen = \"127.0.0.1:1\"", "[[tcp]]", "`tcp` has no `to`", "upstream:NAME"),
        ("listen = \"127.0.0.1:1\"\nto = \"api\"", "\"api\"", "`api` takes no connections", "upstream:NAME"),
        (
            "listen = \"127.0.0.1:1\"\nto = \"upstream:x\"",
            "\"upstream:x\"",
            "no upstream `x`",
            "[upstream.NAME]",
        ),
        ("listen = \"127.0.0.1:9\"\nto = \"upstream:x\"", "\"127.0.0.1:9\"", "listens already", "of its own"),
        ("listen = \"127.0.0.1:1\"\nto = \"upstream:x\"\nconnections = 0", "0", "from 1 to", ""),
        ("listen = \"127.0.0.1:1\"\nto = \"upstream:x\"\nidel = \"1s\"", "idel", "unknown key", "`idle`"),
        ("listen = \"127.0.0.1:1\"\nto = \"upstream:x\"\nfilters = [\"f\"]", "\"f\"", "no filter `f`", ""),
    ];
    for (keys, marked, message, help) in table {
        let text = format!("{}[[listen]]\naddress = \"127.0.0.1:9\"\n[[tcp]]\n{keys}\n", route(""));
        let findings = bad("sampan.toml", &text);
        let found = findings.iter().find(|(_, said, _)| said.contains(message));
        let Some((at, _, helped)) = found else { panic!("{keys}\n{findings:#?}") };
        assert!(at == marked && helped.contains(help), "{keys}\n{findings:#?}");
    }
}
