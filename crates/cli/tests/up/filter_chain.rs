//! A chain that mixes all four kinds of filters, before a component, an upstream and a folder.

use crate::{App, component};
use sampan_testing::{HttpServer, Response, guest};

/// What the upstream says it got.
const UPSTREAM: &str = "upstream: /upstream Some(\"1\")";

#[test]
#[expect(clippy::too_many_lines, reason = "one manifest")]
fn kinds_of_filters_in_one_chain() {
    let upstream = HttpServer::start(|request| {
        Response::new(200, format!("upstream: {} {:?}", request.target, request.header("x-one")))
    });
    let (one, two) = (guest("filter-http-wasm"), guest("filter-easegress"));
    let manifest = format!(
        r#"
[app]
name = "chain"
[component.hello]
source = "{hello}"
[filter.one]
source = "{one}"
config = """
set 0 x-one 1
features 2
--
set 1 x-http-wasm response"""
[filter.two]
source = "{two}"
parameters = {{ run = "set-resp-header x-easegress response" }}
results = {{ wasmResult1 = "end", wasmResult2 = "component:hello" }}
[filter.three]
source = "{three}"
[filter.four]
source = "{four}"
[upstream.shop]
servers = ["{upstream}"]
[[route]]
path = "/upstream"
to = "upstream:shop"
filters = ["four", "three", "two", "one", "four"]
[[route]]
path = "/hello"
to = "hello"
filters = ["one", "two", "four", "three", {{ use = "one", config = "" }}]
[[route]]
path = "/file"
to = "static:public"
filters = ["three", "four", "two", "one"]
[[route]]
path = "/ends"
to = "static:public"
filters = ["one", {{ use = "two", config = '{{"run": "set-resp-body ended\nreturn 1"}}' }}]
[[route]]
path = "/elsewhere"
to = "static:public"
filters = ["one", {{ use = "two", config = '{{"run": "set-path /hello\nreturn 2"}}' }}]
"#,
        hello = component("serve-hello").display(),
        one = one.display(),
        two = two.display(),
        four = guest("proxy-add-header").display(),
        upstream = upstream.address,
        three = component("filter-middleware").display(),
    );
    let app = App::new(&manifest);
    app.write("public/file", "a file");
    let up = app.up();
    let hello = up.get("/hello").text();
    for (path, body, headers) in [
        ("/hello", hello.as_str(), &["x-http-wasm", "x-easegress", "x-middleware", "hello"][..]),
        ("/upstream", UPSTREAM, &["x-http-wasm", "x-easegress", "x-middleware", "hello"]),
        ("/file", "a file", &["x-http-wasm", "x-easegress", "x-middleware", "hello"]),
        ("/ends", "ended", &["x-http-wasm"]),
        ("/elsewhere", hello.as_str(), &["x-http-wasm"]),
    ] {
        let got = up.get(path);
        assert_eq!((got.status, got.text().as_str()), (200, body), "{path}");
        for name in ["x-http-wasm", "x-easegress", "x-middleware", "hello"] {
            assert_eq!(got.header(name).is_some(), headers.contains(&name), "{path}: {name}");
        }
    }
    assert!(hello.starts_with("Hello"), "{hello}");
}
