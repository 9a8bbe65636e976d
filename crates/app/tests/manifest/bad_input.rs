//! What is said of manifests that are wrong: the place, the cause, what to do.

use crate::{Folder, bad, parse};
use sampan_app::{Severity, render};

/// A route and a component that are right, for tests of something else.
const REST: &str = "\n[component.api]\nsource = \"a.wasm\"\n[[route]]\npath = \"/\"\nto = \"api\"\n";

/// A manifest, the text that is marked, and what the message and the help contain.
type Case = (&'static str, &'static str, &'static str, &'static str);

#[track_caller]
fn check_all(name: &str, rest: &str, cases: &[Case]) {
    for (text, marked, message, help) in cases {
        let findings = bad(name, &format!("{text}{rest}"));
        let found = findings.iter().find(|(_, said, _)| said.contains(message));
        let Some((at, _, helped)) = found else {
            panic!("{text}\nwas said: {findings:#?}\nwanted: {message}")
        };
        assert_eq!(at, marked, "{text}");
        assert!(helped.contains(help), "{text}\n{helped}");
        assert_eq!(findings.len(), 1, "{text}\n{findings:#?}");
    }
}

#[test]
fn keys_and_types() {
    check_all(
        "sampan.toml",
        REST,
        &[
            ("[ap]\nname = \"x\"", "ap", "unknown key `ap` in the manifest", "did you mean `app`?"),
            ("[app]\nnmae = \"x\"", "nmae", "unknown key `nmae` in `app`", "did you mean `name`?"),
            ("[app]\nzzzzzz = 1", "zzzzzz", "unknown key `zzzzzz`", "known keys are: memory, name, state"),
            ("[app]\nname = 5", "5", "`app.name`: expected a string, found an integer", ""),
            ("[app]\nname = \"a b\"", "\"a b\"", "`a b` is not a name for an app", "letters"),
            ("[app]\nmemory = true", "true", "expected a size such as \"64MiB\", found true or false", ""),
            ("[app]\nmemory = 0", "0", "`app.memory` must be more than 0 bytes", "64MiB"),
            ("app = 5", "5", "`app`: expected a table, found an integer", ""),
            (
                "listen = { address = \"127.0.0.1:1\" }",
                "{ address = \"127.0.0.1:1\" }",
                "write [[listen]]",
                "",
            ),
            ("[[listen]]", "[[listen]]", "`listen` has no `address`", "127.0.0.1:8080"),
            ("[[listen]]\naddress = \"8080\"", "\"8080\"", "not an address to listen on", "0.0.0.0:8080"),
            (
                "[[listen]]\naddress = \"127.0.0.1:1\"\ntls = { cert = \"a\" }",
                "{ cert = \"a\" }",
                "`listen.tls` has no `key`",
                "PEM",
            ),
            ("[telemetry]\notlp = \"x\"", "otlp", "`telemetry.otlp` is not supported yet", "newer version"),
            (
                "[messaging.x]\ntype = \"redis\"",
                "[messaging.x]",
                "a broker of type redis needs a `url`",
                "6379",
            ),
            ("[messaging.x]\ntype = \"kafka\"", "\"kafka\"", "there is no store of type", "nats"),
            ("[messaging.x]\nurl = \"nats://h\"\npath = \"p\"", "\"p\"", "of type nats has no `path`", ""),
            ("[variables]\n\"a-b\" = \"1\"", "\"a-b\"", "`a-b` is not the name of a variable", "`_`"),
            ("[variables]\na = 1", "1", "`variables.a`: expected a table, found an integer", ""),
            (
                "[variables]\na = { defualt = \"\", required = false, default = \"\" }",
                "defualt",
                "unknown key",
                "default",
            ),
        ],
    );
}

#[test]
fn components() {
    let of = |keys: &str| {
        format!("[component.b]\nsource = \"b.wasm\"\n{keys}\n[[route]]\npath = \"/b\"\nto = \"b\"\n")
    };
    for (keys, marked, message, help) in [
        ("kind = \"htp\"", "\"htp\"", "there is no kind `htp`", "did you mean \"http\"?"),
        ("kind = \"server\"", "\"server\"", "a server has no `port`", "port = 8080"),
        ("port = 80", "80", "`port` belongs to the kind server", "add `kind`"),
        ("kind = \"server\"\nport = 65536", "65536", "a whole number from 1 to 65535", ""),
        ("argv = \"x\"", "argv", "`argv` belongs to the kinds cgi, wagi and wcgi", ""),
        ("kind = \"cgi\"\ndocument_root = \"www\"", "\"www\"", "begins with `/`", "/docroot"),
        (
            "kind = \"cgi\"\ndocument_root = \"/www\"",
            "\"/www\"",
            "in no folder that the component is granted",
            "FOLDER",
        ),
        ("limits = { memory = \"5x\" }", "\"5x\"", "`5x` is not a size", "64MiB"),
        ("limits = { time = \"soon\" }", "\"soon\"", "`soon` is not a duration", ""),
        ("limits = { instances = 0 }", "0", "a whole number from 1 to", ""),
        (
            "limits = { instances = 1.5 }",
            "1.5",
            "expected a whole number, found a number with a fraction",
            "",
        ),
        ("limits = { tme = \"1s\" }", "tme", "unknown key `tme` in `component.b.limits`", "`time`"),
        ("image = \"ghcr.io/a/b\"", "image", "`component.b` has both `source` and `image`", "remove one"),
        ("lazy = 1", "1", "expected true or false, found an integer", ""),
        ("build = {}", "{}", "`component.b.build` has no `command`", "cargo build"),
        ("build = { command = 1 }", "1", "expected a string or a list of strings", ""),
        ("build = { command = \"x\", watch = [\"{\"] }", "\"{\"", "is not a pattern of files", "src/**/*.rs"),
        ("env = [\"A=1\"]", "[\"A=1\"]", "expected a table, found a list", ""),
        ("env = { \"A=B\" = \"1\" }", "\"A=B\"", "`A=B` is not an environment variable", ""),
        ("env = { A = \"{{ x }}\" }", "\"{{ x }}\"", "there is no variable `x`", "[variables] x = "),
        ("variables = { a = \"{{ x\" }", "\"{{ x\"", "`{{` without `}}`", "{{ name }}"),
        ("grant = { keyvalue = [\"x\"] }", "\"x\"", "there is no store [keyvalue.x]", "[keyvalue.x]"),
        ("grant = { sql = [\"y=x\"] }", "\"y=x\"", "there is no store [sql.x]", "[sql.x]"),
        ("grant = { http = [\"example.com\"] }", "\"example.com\"", "is not an HTTP origin", "https://"),
        ("grant = { tcp = [\"db\"] }", "\"db\"", "is not a network destination", "HOST:PORT"),
        ("grant = { services = [\"ftp://x\"] }", "\"ftp://x\"", "is not a service", "postgres"),
        ("grant = { files = [\"a:b\"] }", "\"a:b\"", "must be absolute", ""),
        ("grant = { ports = [\"x\"] }", "\"x\"", "is not a port mapping", ""),
        ("grant = { variables = [\"nope\"] }", "\"nope\"", "there is no variable `nope`", "required = true"),
        (
            "grant = { sql = [\"default\", \"default\"] }",
            "\"default\"",
            "a name that it has already",
            "another name",
        ),
        ("grant = { files = [\"a:/x\", \"b:/x/\"] }", "\"b:/x/\"", "a name that it has already", ""),
        ("grant = { htp = [] }", "htp", "unknown key `htp` in `component.b.grant`", "`http`"),
        ("grant = { messaging = [\"x\"] }", "\"x\"", "there is no broker `x`", "[messaging.NAME]"),
    ] {
        let text = of(keys);
        let findings = bad("sampan.toml", &text);
        let [(at, said, helped)] = findings.as_slice() else { panic!("{keys}: {findings:#?}") };
        assert_eq!(at, marked, "{keys}");
        assert!(said.contains(message), "{keys}: {said}");
        assert!(helped.contains(help), "{keys}: {helped}");
    }
    for (text, message) in [
        ("[component.b]\nkind = \"http\"", "`component.b` has no `source`"),
        ("[component.b]\nsource = \"b\"\n[component.B]\nsource = \"b\"", "the name of another component"),
        ("[component.\"../x\"]\nsource = \"a\"", "`../x` is not a name for a component"),
        ("[component.b]\nsource = \"https://x/a.wasm\"", "`source` is a file of this machine"),
    ] {
        assert!(bad("sampan.toml", text).iter().any(|(_, said, _)| said.contains(message)), "{text}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn routes() {
    let component = "[component.api]\nsource = \"a.wasm\"\n[[route]]\npath = \"/api/:id\"\nto = \"api\"\n";
    for (keys, marked, message, help) in [
        ("path = \"/x\"\nto = \"ap\"", "\"ap\"", "there is no component `ap`", "did you mean `api`?"),
        (
            "path = \"/x\"\nto = \"upstream:x\"",
            "\"upstream:x\"",
            "there is no upstream `x`",
            "declared by [upstream.NAME]",
        ),
        ("path = \"/x\"\nto = \"statics:x\"", "\"statics:x\"", "`statics:x` is nowhere", "static:FOLDER"),
        ("path = \"/x\"\nto = \"static:\"", "\"static:\"", "no folder is named", "static:public"),
        ("path = \"/x\"\nto = \"redirect:x\"", "\"redirect:x\"", "not a place to redirect to", "https://"),
        ("path = \"/x\"\nto = \"redirect:/y\"\nstatus = 200", "200", "from 300 to 399", ""),
        ("path = \"/x\"\nto = \"redirect:/y\"\nstatus = 304", "304", "not the status of a redirect", "301"),
        ("path = \"/x\"\nto = \"api\"\nstatus = 301", "301", "`status` belongs to redirects", ""),
        ("path = \"/x\"\nto = \"api\"\nindex = \"a\"", "index", "`index` belongs to routes to a static", ""),
        ("path = \"/x\"\nto = \"static:p\"\nor = \"apj\"", "\"apj\"", "there is no component `apj`", "`api`"),
        (
            "path = \"/x\"\nto = \"static:p\"\nindex = \"../a\"",
            "\"../a\"",
            "`index` is a file in the folder",
            "",
        ),
        (
            "path = \"/x\"\nto = \"static:p\"\nor = \"api\"\nfallback = \"a\"",
            "or",
            "`fallback` or `or`, not both",
            "",
        ),
        ("path = \"x\"\nto = \"api\"", "\"x\"", "it does not begin with `/`", "/users/:id"),
        ("path = \"/.../x\"\nto = \"api\"", "\"/.../x\"", "`...` stands at the end", ""),
        ("path = \"/:/x\"\nto = \"api\"", "\"/:/x\"", "after `:` a name follows", ""),
        ("path = \"/:a/:a\"\nto = \"api\"", "\"/:a/:a\"", "`:a` occurs twice", ""),
        ("path = \"/a?b\"\nto = \"api\"", "\"/a?b\"", "`?` is no part of a path", ""),
        ("path = \"/a//b\"\nto = \"api\"", "\"/a//b\"", "`//` matches nothing", ""),
        ("path = \"/a/%2E./b\"\nto = \"api\"", "\"/a/%2E./b\"", "`%2E.` matches nothing", ""),
        ("path = \"/a%zz\"\nto = \"api\"", "\"/a%zz\"", "two hexadecimal digits", ""),
        ("path = \"/x\"\nto = \"static:p\"\nfallback = \"./a\"", "\"./a\"", "is a file in the folder", ""),
        ("path = \"/x\"\nto = \"static:p\"\ncache_control = \"ä\"", "\"ä\"", "no header's value", ""),
        ("path = \"/a/../b\"\nto = \"api\"", "\"/a/../b\"", "`..` matches nothing", ""),
        (
            "path = \"/api/:id\"\nto = \"api\"",
            "\"/api/:id\"",
            "is there already, to component `api`",
            "remove one",
        ),
        ("path = \"/api/:x/\"\nto = \"api\"", "\"/api/:x/\"", "matches the same requests as `/api/:id`", ""),
        (
            "path = \"/x\"\nto = \"api\"\nhost = \"a:80\"",
            "\"a:80\"",
            "`a:80` is not a host",
            "without a port",
        ),
        ("path = \"/x\"\nto = \"api\"\nmethod = \"G T\"", "\"G T\"", "not an HTTP method", "GET"),
        ("path = \"/x\"\nto = \"api\"\nheaders = { \"a b\" = \"\" }", "\"a b\"", "not a header", "x-version"),
        (
            "path = \"/x\"\nto = \"api\"\nfilters = [\"f\"]",
            "\"f\"",
            "there is no filter `f`",
            "[filter.NAME]",
        ),
        ("to = \"api\"", "[[route]]", "`route` has no `path`", "/..."),
        ("path = \"/x\"", "[[route]]", "`route` has no `to`", "static:FOLDER"),
        ("path = \"/x\"\nto = \"api\"\npth = 1", "pth", "unknown key `pth` in `route`", "`path`"),
    ] {
        let findings = bad("sampan.toml", &format!("{component}[[route]]\n{keys}\n"));
        let [(at, said, helped)] = findings.as_slice() else { panic!("{keys}: {findings:#?}") };
        assert_eq!(at, marked, "{keys}");
        assert!(said.contains(message), "{keys}: {said}");
        assert!(helped.contains(help), "{keys}: {helped}");
    }
    // What narrows a route keeps both.
    for keys in ["method = \"GET\"", "host = \"a.example\"", "headers = { x = \"1\" }"] {
        let text = format!("{component}[[route]]\npath = \"/api/:x\"\nto = \"api\"\n{keys}\n");
        assert!(parse("sampan.toml", &text).is_ok(), "{keys}");
    }
    let two = "path = \"/m\"\nto = \"api\"\nmethods = [\"GET\", \"PUT\"]";
    let text = format!("{component}[[route]]\n{two}\n[[route]]\n{}\n", two.replace("GET", "POST"));
    assert!(bad("sampan.toml", &text)[0].1.contains("matches the same requests"), "both answer PUT");
    assert!(bad("sampan.toml", "").iter().any(|(_, said, _)| said.contains("has no route")));
}

#[test]
fn stores() {
    check_all(
        "sampan.toml",
        REST,
        &[
            (
                "[keyvalue.a]\ntype = \"reids\"",
                "\"reids\"",
                "there is no store of type `reids`",
                "sqlite, redis",
            ),
            ("[keyvalue.a]\ntype = \"redis\"", "[keyvalue.a]", "needs a `url`", "redis://"),
            ("[keyvalue.a]\ntype = \"dapr\"", "\"dapr\"", "not supported yet", ""),
            ("[keyvalue.a]\ntype = \"postgres\"", "[keyvalue.a]", "needs a `url`", "postgres://"),
            (
                "[keyvalue.a]\nurl = \"mysql://u@h\"\nlayout = \"v1\"",
                "\"v1\"",
                "type mysql has no `layout`",
                "",
            ),
            (
                "[keyvalue.a]\nurl = \"redis://h\"\nlayout = \"hash\"",
                "\"hash\"",
                "there is no layout `hash`",
                "plain, dapr",
            ),
            (
                "[keyvalue.a]\nurl = \"postgres://u@h\"\ntable = \"a b\"",
                "\"a b\"",
                "not a name for a table",
                "letters",
            ),
            ("[keyvalue.a]\nschema = \"x\"", "\"x\"", "type sqlite has no `schema`", ""),
            ("[keyvalue.a]\nurl = \"http://x\"", "[keyvalue.a]", "does not tell the type", "add `type`"),
            ("[keyvalue.a]\ntype = \"redis\"\nurl = \"http://x\"", "\"http://x\"", "`http` does not fit", ""),
            ("[keyvalue.a]\npath = \"a\"\ntype = \"memory\"", "\"a\"", "type memory has no `path`", ""),
            ("[keyvalue.a]\nurl = \"localhost\"", "\"localhost\"", "this is not a URL", "redis://"),
            ("[keyvalue.a]\nprefx = \"a\"", "prefx", "unknown key `prefx`", "`prefix`"),
            ("[keyvalue.\"a/b\"]\ntype = \"memory\"", "\"a/b\"", "`a/b` is not a name for a store", ""),
            ("[sql.a]\ntype = \"mysql\"", "[sql.a]", "needs a `url`", "mysql://"),
            ("[sql.a]\ntype = \"sqlite\"\nca = \"x\"", "\"x\"", "type sqlite has no `ca`", ""),
            ("[sql.a]\nconnections = 0", "0", "from 1 to 10000", ""),
            ("[sql.a]\nstatement_timeout = 5", "5", "expected a duration", ""),
        ],
    );
}

#[test]
fn everything_is_said_at_once_and_in_order() {
    let text = "[app]\nnmae = \"x\"\n[component.api]\nsorce = \"a\"\nkind = \"x\"\n[[route]]\npath = \"a\"\nto = \"b\"\n";
    let findings = bad("sampan.toml", text);
    let marked: Vec<_> = findings.iter().map(|(marked, _, _)| marked.as_str()).collect();
    assert_eq!(marked, ["nmae", "[component.api]", "sorce", "\"x\"", "\"a\"", "\"b\""]);
}

#[test]
fn findings_are_bounded() {
    let text: String = (0..1000).map(|i| format!("key{i} = 1\n")).collect();
    let findings = bad("sampan.toml", &text);
    assert_eq!(findings.len(), 201);
    assert_eq!(findings[200].1, "801 more findings are not shown");
}

#[test]
fn what_is_not_toml() {
    for text in ["[app", "a = ", "a = 1\na = 2\n", "[[route]\n", "x = \"\u{1}\"", "= 1", "a.b = 1\na = 2"] {
        let findings = bad("sampan.toml", text);
        assert!(
            findings.iter().all(|(_, said, _)| said.starts_with("the manifest is not TOML: ")),
            "{findings:?}"
        );
    }
    let deep = format!("a = {}1{}", "[".repeat(5000), "]".repeat(5000));
    assert!(!bad("sampan.toml", &deep).is_empty());
    let folder = Folder::new(&[("sampan.toml", "")]);
    std::fs::write(folder.path().join("sampan.toml"), b"a = \"\xff\"").unwrap();
    let findings = folder.read("sampan.toml").unwrap_err();
    assert!(findings[0].message.contains("it is not UTF-8 text (at byte 5)"), "{findings:?}");
}

#[test]
fn files_that_cannot_be_read() {
    let folder = Folder::new(&[]);
    let findings = folder.read("sampan.toml").unwrap_err();
    assert!(findings[0].message.contains("No such file"), "{findings:?}");
    std::fs::create_dir(folder.path().join("sampan.toml")).unwrap();
    let findings = folder.read("sampan.toml").unwrap_err();
    assert!(findings[0].message.contains("it is not a file"), "{findings:?}");
    folder.write("big.toml", &"#".repeat((4 << 20) + 1));
    let findings = folder.read("big.toml").unwrap_err();
    assert!(findings[0].message.contains("larger than 4 MiB"), "{findings:?}");
}

#[test]
fn how_it_looks() {
    let folder = Folder::new(&[(
        "sampan.toml",
        "[app]\nname = \"shop\"\n\n[component.api]\nsorce = \"ä.wasm\"\n\n[[route]]\npath = \"/\"\nto = \"api\"\n",
    )]);
    let findings = folder.read("sampan.toml").unwrap_err();
    let shown = render(&findings, false).replace(&format!("{}/", folder.path().display()), "");
    let expected = "\
error: `component.api` has no `source`
 --> sampan.toml:4:1
  |
4 | [component.api]
  | ^^^^^^^^^^^^^^^
  |
  = help: add `source = \"FILE.wasm\"`, or `image = \"REGISTRY/NAME:TAG\"`

error: unknown key `sorce` in `component.api`
 --> sampan.toml:5:1
  |
5 | sorce = \"ä.wasm\"
  | ^^^^^
  |
  = help: did you mean `source`?

";
    assert_eq!(shown, expected);
    assert!(render(&findings, true).contains("\u{1b}["), "colours");
    let warning =
        parse("sampan.toml", "[component.a]\nsource = \"a\"\n[[route]]\npath = \"/\"\nto = \"static:x\"");
    let (_, warnings) = warning.unwrap();
    assert_eq!(warnings[0].severity, Severity::Warning);
    let shown = render(&warnings, false);
    assert!(shown.starts_with("warning: nothing reaches the component `a`\n"), "{shown}");
}

#[test]
fn a_file_that_changed_meanwhile_is_shown_as_it_is() {
    let folder = Folder::new(&[("sampan.toml", "[app]\nnmae = \"xäxäxäxä\"\n")]);
    let findings = folder.read("sampan.toml").unwrap_err();
    for text in ["", "ä", "[app]\nää", "\r\n\r\n\r\n\u{feff}"] {
        folder.write("sampan.toml", text);
        assert!(render(&findings, false).contains("unknown key `nmae`"), "{text:?}");
    }
    std::fs::remove_file(folder.path().join("sampan.toml")).unwrap();
    assert!(render(&findings, false).contains("sampan.toml"));
}
