//! Tables of routes and requests.

use super::*;
use sampan_app::Target;

fn route(path: &str) -> Route {
    Route::new(path, Target::Component("c".into()))
}

fn find(routes: &Routes, path: &str) -> Found {
    let headers = HeaderMap::new();
    routes.find(&Query { path, host: "localhost", method: &Method::GET, headers: &headers, parameters: "" })
}

/// The routes that requests find, in whatever order the manifest lists them; `-` for none.
#[track_caller]
fn check(patterns: &[&str], requests: &[(&str, &str)]) {
    let forward: Vec<_> = patterns.iter().map(|path| route(path)).collect();
    let backward: Vec<_> = forward.iter().rev().cloned().collect();
    for routes in [forward, backward] {
        let routes = Routes::new(&routes).unwrap();
        for (path, expected) in requests {
            let found = match find(&routes, path) {
                Found::Entry { index, .. } => routes.entries[index].route.to_string(),
                _ => "-".to_owned(),
            };
            assert_eq!(found, *expected, "{path} of {patterns:?}");
        }
    }
}

/// The examples of Spin's documentation and tests (spinframework.dev/http-trigger, crates/http/src/routes.rs).
#[test]
fn precedence_is_spins() {
    check(
        &["/foo", "/foo/bar"],
        &[("/foo", "/foo"), ("/foo/bar", "/foo/bar"), ("/", "-"), ("/foo/baz", "-")],
    );
    check(&["/..."], &[("/foo/bar", "/..."), ("/abc/", "/..."), ("/", "/..."), ("//", "/...")]);
    let one = ["/one/...", "/one/two/...", "/one/two/three/..."];
    check(
        &one,
        &[("/one/two/three/four", one[2]), ("/one/two/x", one[1]), ("/one", one[0]), ("/onetwo", "-")],
    );
    check(&["/one", "/..."], &[("/one", "/one"), ("/one/", "/one"), ("/one/two", "/...")]);
    check(
        &["/products/:productid", "/products/catalog", "/products/...", "/..."],
        &[
            ("/products/1234", "/products/:productid"),
            ("/products/catalog", "/products/catalog"),
            ("/products/1234/reviews", "/products/..."),
            ("/products", "/products/..."),
            ("/about", "/..."),
        ],
    );
    check(&["/a/*"], &[("/a", "/a/*"), ("/a/b/c", "/a/*"), ("/b", "-")]);
}

#[test]
fn the_leftmost_difference_decides_and_dead_ends_lead_back() {
    check(&["/:a/b", "/x/..."], &[("/x/b", "/x/..."), ("/y/b", "/:a/b")]);
    check(
        &["/x/y/z", "/x/:b/w", "/:a/..."],
        &[("/x/y/w", "/x/:b/w"), ("/x/y/v", "/:a/..."), ("/x", "/:a/...")],
    );
    check(&["/x/y", "/..."], &[("/x/z", "/..."), ("/x", "/...")]);
    check(&["/foo", "/foo/..."], &[("/foo", "/foo"), ("/foo/", "/foo"), ("/foo/a", "/foo/...")]);
    check(&["/:a", "/:a/..."], &[("/", "-"), ("/b", "/:a"), ("/b/c", "/:a/...")]);
    check(&["/"], &[("/", "/"), ("//", "-"), ("/a", "-")]);
}

#[test]
fn segments_compare_decoded_and_never_split() {
    check(
        &["/caf\u{e9}/menu", "/a b", "/a/b", "/x%2Fy", "/:n"],
        &[
            ("/caf%C3%A9/menu", "/caf\u{e9}/menu"),
            ("/%63af%c3%a9/menu", "/caf\u{e9}/menu"),
            ("/a%20b", "/a b"),
            ("/a%2Fb", "/:n"),
            ("/x%2fy", "/x%2Fy"),
            ("/x/y", "-"),
            ("/%ff", "/:n"),
            ("/A/b", "-"),
            ("//b", "-"),
        ],
    );
}

/// pattern, path → rest, names
type Captured = (&'static str, &'static str, &'static str, &'static [(&'static str, &'static str)]);

#[test]
fn a_match_says_what_stood_for_names_and_wildcard() {
    let table: &[Captured] = &[
        ("/...", "/", "/", &[]),
        ("/...", "/a/b", "/a/b", &[]),
        ("/...", "/a/b/", "/a/b/", &[]),
        ("/...", "//a", "//a", &[]),
        ("/foo/...", "/foo", "", &[]),
        ("/foo/...", "/foo/", "/", &[]),
        ("/foo/...", "/foo/a%20b/c/", "/a%20b/c/", &[]),
        ("/foo", "/foo/", "", &[]),
        ("/u/:id/p/:post/...", "/u/7/p/a%2Fb/c", "/c", &[("id", "7"), ("post", "a%2Fb")]),
        ("/:only", "/x/", "", &[("only", "x")]),
    ];
    for (pattern, path, rest, names) in table {
        let routes = Routes::new(&[route(pattern)]).unwrap();
        let names = names.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let expected = Found::Entry { index: 0, rest: (*rest).into(), names };
        assert_eq!(find(&routes, path), expected, "{pattern} {path}");
    }
    // Values of a dead end are forgotten.
    let routes = Routes::new(&[route("/x/:a/b"), route("/:b/...")]).unwrap();
    let expected = Found::Entry { index: 1, rest: "/y/c".into(), names: vec![("b".into(), "x".into())] };
    assert_eq!(find(&routes, "/x/y/c"), expected);
}

/// host, method, one header → the index of the route, or the methods that are allowed.
type Narrowed = (&'static str, &'static str, Option<&'static str>, Result<usize, &'static str>);

#[test]
fn hosts_methods_and_headers_narrow() {
    let narrow = |host: Option<&str>, methods: &[&str], beta: Option<&str>, path: &str| Route {
        host: host.map(Into::into),
        methods: methods.iter().map(|method| (*method).into()).collect(),
        headers: beta.iter().map(|value| ("X-Beta".into(), (*value).into())).collect(),
        ..route(path)
    };
    let routes = Routes::new(&[
        narrow(None, &["GET"], None, "/a"),
        narrow(None, &["POST", "PUT"], None, "/a"),
        narrow(None, &["GET"], Some("1"), "/a"),
        narrow(Some("*.example.com"), &[], None, "/a"),
        narrow(Some("Shop.Example.com"), &[], None, "/a"),
        narrow(Some("*.shop.example.com"), &[], None, "/a"),
        narrow(Some("other.org"), &["DELETE"], None, "/a"),
    ])
    .unwrap();
    let table: &[Narrowed] = &[
        ("localhost", "GET", None, Ok(0)),
        ("localhost", "HEAD", None, Ok(0)),
        ("localhost", "PUT", None, Ok(1)),
        ("localhost", "GET", Some("1"), Ok(2)),
        ("localhost", "GET", Some("2"), Ok(0)),
        ("localhost", "POST", Some("1"), Ok(1)),
        ("localhost", "DELETE", None, Err("GET POST PUT")),
        ("shop.example.com", "DELETE", None, Ok(4)),
        ("a.example.com", "DELETE", None, Ok(3)),
        ("a.b.example.com", "GET", None, Ok(3)),
        ("a.shop.example.com", "GET", None, Ok(5)),
        ("example.com", "GET", None, Ok(0)),
        ("badexample.com", "GET", None, Ok(0)),
        ("other.org", "DELETE", None, Ok(6)),
        ("other.org", "PATCH", None, Err("DELETE GET POST PUT")),
    ];
    for (host, method, beta, expected) in table {
        let headers: HeaderMap =
            beta.iter().map(|value| ("x-beta".parse().unwrap(), value.parse().unwrap())).collect();
        let method = method.parse().unwrap();
        let found = match routes.find(&Query {
            path: "/a",
            host,
            method: &method,
            headers: &headers,
            parameters: "",
        }) {
            Found::Entry { index, .. } => Ok(index),
            Found::OtherMethods(mut methods) => {
                methods.sort_by(|a, b| a.as_str().cmp(b.as_str()));
                Err(Vec::from_iter(methods.iter().map(Method::as_str)).join(" "))
            }
            Found::Nothing => Err(String::new()),
        };
        assert_eq!(found, expected.map_err(str::to_owned), "{host} {method} {beta:?}");
    }
}

#[test]
fn a_narrow_route_leaves_the_rest_to_a_wider_one() {
    let post = Route { methods: vec!["POST".into()], ..route("/a/b") };
    let routes = Routes::new(&[post, route("/a/...")]).unwrap();
    assert!(matches!(find(&routes, "/a/b"), Found::Entry { index: 1, .. }));
}

#[test]
fn of_two_that_are_as_narrow_the_last_wins() {
    let routes = Routes::new(&[route("/a"), route("/a"), route("/:x"), route("/:y")]).unwrap();
    assert!(matches!(find(&routes, "/a"), Found::Entry { index: 1, .. }));
    assert!(matches!(find(&routes, "/b"), Found::Entry { index: 3, .. }));
}

#[test]
fn routes_that_make_no_sense() {
    let table = [
        ("a", "begins with /"),
        ("/a//b", "empty segment"),
        ("/a/.../b", "at the end only"),
        ("/*/b", "at the end only"),
        ("/:", "no name"),
        ("/:a.b", "no name"),
        ("/:a/:a", "occurs twice"),
        ("/a/../b", "segment `..`"),
        ("/%zz", "hexadecimal"),
        ("/%2e%2e", "segment"),
    ];
    for (path, expected) in table {
        let (named, what) = Routes::new(&[route(path)]).unwrap_err();
        assert!(named == path && what.contains(expected), "{path}: {what}");
    }
    for host in ["", "*", "*.", "a.*.b", "a/b"] {
        let route = Route { host: Some(host.into()), ..route("/") };
        assert!(Routes::new(&[route]).unwrap_err().1.contains("is no host"), "{host}");
    }
    let method = Route { methods: vec!["A B".into()], ..route("/") };
    assert!(Routes::new(&[method]).unwrap_err().1.contains("no HTTP method"));
    let header = Route { headers: vec![("a b".into(), "c".into())], ..route("/") };
    assert!(Routes::new(&[header]).unwrap_err().1.contains("no header's name"));
}
