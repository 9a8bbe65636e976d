//! Filters that were not written for these tests, or are as large as those that are in use.

use crate::site::Site;
use crate::{Ask, get, seen, shown, upstream};
use sampan_testing::servers::{Envoy, EnvoyFilter};
use sampan_testing::{HttpServer, Response, crate_examples, guest};
use std::sync::atomic::{AtomicU32, Ordering};

/// Sends the requests to both, by way of the first filter, and compares the answers.
#[track_caller]
fn compare(asks: &[Ask], envoy: &Envoy, site: &Site, chain: usize) -> Vec<Response> {
    let both = asks.iter().map(|ask| {
        let theirs = ask.send(envoy.addresses[chain], chain);
        let ours = ask.send(site.address, chain);
        assert_eq!(shown(&ours), shown(&theirs), "{} {}", ask.method, ask.path);
        ours
    });
    both.collect()
}

/// Answers each `/bytes/1` with one byte, even and odd in turn, and everything else as the upstream does.
fn httpbin() -> HttpServer {
    let calls = AtomicU32::new(0);
    HttpServer::start(move |request| match &*request.target {
        "/bytes/1" => Response::new(200, [b'0' + (calls.fetch_add(1, Ordering::Relaxed) % 2) as u8]),
        _ => Response::new(200, seen(request)),
    })
}

/// The examples of the Rust SDK's version 0.1.4, which speaks ABI 0.1.0 and begins with `_start`.
#[test]
fn the_sdks_own_examples_of_abi_0_1_0() {
    let Some(folder) = crate_examples("proxy-wasm", "0.1.4", "wasm32-wasip1", &[]) else { return };
    let names = ["http_headers", "http_body", "http_config", "http_auth_random", "hello_world"];
    let chains = names.map(|name| {
        let wasm = folder.join(name).with_extension("wasm");
        vec![EnvoyFilter {
            wasm,
            vm_id: name.to_owned(),
            configuration: "custom".to_owned(),
            ..EnvoyFilter::default()
        }]
    });
    let upstream = upstream();
    let (theirs, ours) = (httpbin(), httpbin());
    let Some(mut envoy) =
        Envoy::start(&chains, &[("upstream", upstream.address), ("httpbin", theirs.address)])
    else {
        return;
    };
    let mut site = Site::start(&chains, &[("upstream", upstream.address), ("httpbin", ours.address)]);

    let answers = compare(&[get("/hello"), get("/text")], &envoy, &site, 0);
    assert_eq!((answers[0].text().as_str(), answers[0].header("hello")), ("Hello, World!\n", Some("World")));
    assert!(answers[1].text().starts_with("GET /text"), "{}", answers[1].text());

    let secret = Ask { method: "POST", path: "/text", headers: &[], body: "a secret" };
    let answers = compare(&[get("/json"), secret], &envoy, &site, 1);
    assert_eq!(answers[0].text(), "{\"a\":\"b\"}");
    assert!(answers[1].text().starts_with("Original message body ("), "{}", answers[1].text());

    let answers = compare(&[get("/text")], &envoy, &site, 2);
    assert_eq!(answers[0].header("custom-header"), Some("custom"));

    let answers = compare(&[get("/text"), get("/text"), get("/text")], &envoy, &site, 3);
    assert_eq!(Vec::from_iter(answers.iter().map(|answer| answer.status)), [200, 403, 200]);
    assert!(answers.iter().all(|answer| answer.header("powered-by") == Some("proxy-wasm")));
    assert_eq!((ours.requests().len(), theirs.requests().len()), (3, 3));

    compare(&[get("/text")], &envoy, &site, 4);
    envoy.process.wait_for_error("Hello, World!");
    site.process.wait_for_error("Hello, World!");
}

const FORM: &[(&str, &str)] = &[("content-type", "application/x-www-form-urlencoded")];
const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

/// A request, and what the firewall says to it.
const ATTACKS: &[(Ask, u16)] = &[
    (get("/search?q=boats&page=2"), 200),
    (get("/search?q=it%27s+a+boat"), 200),
    (get("/search?q=1%27+OR+%271%27%3D%271"), 403),
    (get("/search?q=-1+UNION+SELECT+name%2Cpassword+FROM+users--"), 403),
    (get("/search?q=%3Cscript%3Ealert(1)%3C/script%3E"), 403),
    (Ask { method: "GET", path: "/", headers: &[("user-agent", "x' or 1=1 --")], body: "" }, 403),
    (Ask { method: "GET", path: "/", headers: &[("x-other", "x' or 1=1 --")], body: "" }, 200),
    (Ask { method: "POST", path: "/login", headers: FORM, body: "user=ada&password=boat" }, 200),
    (
        Ask {
            method: "POST",
            path: "/login",
            headers: FORM,
            body: "user=admin%27--&password=x%27+or+1%3D1--+",
        },
        403,
    ),
    (Ask { method: "POST", path: "/api", headers: JSON, body: "{\"a\":[{\"b\":\"plain\"}]}" }, 200),
    (
        Ask {
            method: "POST",
            path: "/api",
            headers: JSON,
            body: "{\"a\":[{\"b\":\"<img src=x onerror=alert(1)>\"}]}",
        },
        403,
    ),
];

#[test]
fn a_web_application_firewall() {
    let filter = |mode: &str, body_max: usize| EnvoyFilter {
        wasm: guest("proxy-waf"),
        vm_id: "waf".to_owned(),
        configuration: format!(
            "{{\"mode\":\"{mode}\",\"headers\":[\"user-agent\"],\"body_max\":{body_max}}}"
        ),
        ..EnvoyFilter::default()
    };
    let chains = [vec![filter("block", 65536)], vec![filter("report", 65536)], vec![filter("block", 10)]];
    let upstream = upstream();
    let clusters = [("upstream", upstream.address)];
    let Some(envoy) = Envoy::start(&chains, &clusters) else { return };
    let site = Site::start(&chains, &clusters);
    for (ask, status) in ATTACKS {
        let answers = compare(&[*ask], &envoy, &site, 0);
        assert_eq!(answers[0].status, *status, "{} {}", ask.method, ask.path);
        let answers = compare(&[*ask], &envoy, &site, 1);
        let found = answers[0].text().contains("x-waf: ");
        assert_eq!((answers[0].status, found), (200, *status == 403 && ask.body.is_empty()), "{}", ask.path);
    }
    let long = Ask { method: "POST", path: "/login", headers: FORM, body: "user=ada&password=boat" };
    assert_eq!(compare(&[long], &envoy, &site, 2)[0].status, 413);
}
