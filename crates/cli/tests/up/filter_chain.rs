//! A chain that mixes kinds of filters, before a component and before a folder.

use crate::{App, component};
use sampan_testing::guest;

#[test]
fn kinds_of_filters_in_one_chain() {
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
[[route]]
path = "/hello"
to = "hello"
filters = ["one", "two", "three", {{ use = "one", config = "" }}]
[[route]]
path = "/file"
to = "static:public"
filters = ["three", "two", "one"]
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
        three = component("filter-middleware").display(),
    );
    let app = App::new(&manifest);
    app.write("public/file", "a file");
    let up = app.up();
    let hello = up.get("/hello").text();
    for (path, body, headers) in [
        ("/hello", hello.as_str(), &["x-http-wasm", "x-easegress", "x-middleware"][..]),
        ("/file", "a file", &["x-http-wasm", "x-easegress", "x-middleware"]),
        ("/ends", "ended", &["x-http-wasm"]),
        ("/elsewhere", hello.as_str(), &["x-http-wasm"]),
    ] {
        let got = up.get(path);
        assert_eq!((got.status, got.text().as_str()), (200, body), "{path}");
        for name in ["x-http-wasm", "x-easegress", "x-middleware"] {
            assert_eq!(got.header(name).is_some(), headers.contains(&name), "{path}: {name}");
        }
    }
    assert!(hello.starts_with("Hello"), "{hello}");
}
