//! Rate limits and splits: who gets how much.

use crate::{Got, ask, block_on, component, components, route, router};
use http::Request;
use sampan_app::{OnFailure, Policy, RateKey, RateLimit, Route, Split, SplitBy, Target};
use sampan_gateway::{Handlers, Router};
use sampan_service::{Handler, Peer, empty};
use std::collections::HashMap;
use std::time::Duration;

fn limit(requests: u32, per: Duration, key: RateKey) -> RateLimit {
    RateLimit { requests, per, burst: requests, key, store: None, on_failure: OnFailure::Open }
}

fn limited(limit: RateLimit) -> Route {
    let policy = Policy { rate_limit: Some(limit), ..Policy::default() };
    Route { policy, ..route("/...", component("api")) }
}

const HOUR: Duration = Duration::from_secs(3600);

fn rate(got: &Got) -> (u16, &str, &str, &str, &str) {
    let header = |name| got.header(name);
    let retry = header("retry-after");
    (got.status, header("ratelimit-limit"), header("ratelimit-remaining"), header("ratelimit-reset"), retry)
}

#[test]
fn who_asks_too_often_is_told_when_to_come_back() {
    let router = router(&[limited(limit(2, HOUR, RateKey::Route))]);
    let expected =
        [(200, "2", "1", "1800", ""), (200, "2", "0", "3600", ""), (429, "2", "0", "3600", "1800")];
    for expected in expected {
        let got = ask(&router, "GET", "/", &[], "");
        assert_eq!(rate(&got), expected);
    }
    assert_eq!(ask(&router, "GET", "/", &[], "").text(), "too many requests\n");
}

#[test]
fn each_value_of_a_header_has_its_own() {
    let router = router(&[limited(limit(1, HOUR, RateKey::Header("x-key".into())))]);
    let table = [("a", 200), ("b", 200), ("a", 429), ("", 200), ("", 429)];
    for (key, status) in table {
        assert_eq!(ask(&router, "GET", "/", &[("x-key", key)], "").status, status, "{key}");
    }
    // All without the header together.
    assert_eq!([200, 429].map(|_| ask(&router, "GET", "/", &[], "").status), [200, 429]);
}

fn status_from(router: &Router, address: &str) -> u16 {
    let mut request = Request::get("/").body(empty()).unwrap();
    let address = format!("{address}:1234").parse().unwrap();
    let local = "127.0.0.1:80".parse().unwrap();
    request.extensions_mut().insert(Peer { address, local, tls: false });
    block_on(router.handle(request)).status().as_u16()
}

#[test]
fn each_address_has_its_own_and_each_network_of_ipv6() {
    let router = router(&[limited(limit(1, HOUR, RateKey::SourceIp))]);
    let table = [
        ("192.0.2.1", 200),
        ("192.0.2.2", 200),
        ("192.0.2.1", 429),
        ("[::ffff:192.0.2.2]", 429),
        ("[2001:db8:0:1::1]", 200),
        ("[2001:db8:0:1:ffff::9]", 429),
        ("[2001:db8:0:2::1]", 200),
    ];
    for (address, status) in table {
        assert_eq!(status_from(&router, address), status, "{address}");
    }
}

#[test]
fn a_new_version_of_the_routes_goes_on_counting() {
    let handlers = components();
    let routes = [limited(limit(1, HOUR, RateKey::Header("x-key".into())))];
    let before = Router::new("app", &routes, &handlers).unwrap();
    assert_eq!(ask(&before, "GET", "/", &[], "").status, 200);
    let after = Router::new("app", &routes, &handlers).unwrap();
    drop(before);
    assert_eq!(ask(&after, "GET", "/", &[], "").status, 429);
    let stored = RateLimit { store: Some("nowhere".into()), ..limit(1, HOUR, RateKey::Route) };
    let error = Router::new("app", &[limited(stored)], &Handlers { ..components() }).map(drop).unwrap_err();
    assert!(error.what.contains("no key-value store `nowhere`"), "{error}");
}

fn split(weights: [u32; 2], by: Option<SplitBy>) -> Router {
    let targets = vec![(component("api"), weights[0]), (component("php"), weights[1])];
    router(&[route("/...", Target::Split(Split { targets, by }))])
}

#[test]
fn each_target_gets_its_share() {
    let router = split([90, 10], None);
    let mut counts = HashMap::<String, u32>::new();
    for _ in 0..5000 {
        *counts.entry(ask(&router, "GET", "/", &[], "").served.to.to_string()).or_default() += 1;
    }
    // Five standard deviations around 500.
    assert!((394..=606).contains(&counts["php"]), "{counts:?}");
    let all = split([0, 1], None);
    assert!((0..100).all(|_| &*ask(&all, "GET", "/", &[], "").served.to == "php"));
    assert!(sampan_telemetry::metrics().render().contains(r#"route="/...",to="php",status="2xx""#));
}

#[test]
fn clients_stay_with_their_target() {
    let router = split([50, 50], Some(SplitBy::Header("x-user".into())));
    let to = |user: &str| ask(&router, "GET", "/", &[("x-user", user)], "").served.to.to_string();
    let users: Vec<String> = (0..200).map(|user| format!("user{user}")).collect();
    let first: Vec<String> = users.iter().map(|user| to(user)).collect();
    assert_eq!(users.iter().map(|user| to(user)).collect::<Vec<_>>(), first);
    let api = first.iter().filter(|to| *to == "api").count();
    assert!((50..150).contains(&api), "{api} of 200");
    // Where the first one's share grows, nobody leaves it.
    let more = split([70, 30], Some(SplitBy::Header("x-user".into())));
    for (user, before) in users.iter().zip(&first).filter(|(_, before)| *before == "api") {
        assert_eq!(&*ask(&more, "GET", "/", &[("x-user", user)], "").served.to, before);
    }
}

#[test]
fn who_has_no_cookie_gets_one() {
    let router = split([50, 50], Some(SplitBy::Cookie("seen".into())));
    for _ in 0..20 {
        let got = ask(&router, "GET", "/", &[], "");
        let set = got.header("set-cookie");
        assert!(set.starts_with("seen=") && set.ends_with("; Path=/; HttpOnly; SameSite=Lax"), "{set}");
        let cookie = format!("a=b; {}", set.split(';').next().unwrap());
        let again = ask(&router, "GET", "/", &[("cookie", &cookie)], "");
        assert_eq!((again.header("set-cookie"), &again.served.to), ("", &got.served.to));
    }
}

#[test]
fn targets_of_any_kind_share_a_route() {
    let respond = Target::Respond { status: 418, headers: Vec::new(), body: String::new() };
    let targets = vec![(respond, 1), (component("api"), 0)];
    let router = router(&[route("/...", Target::Split(Split { targets, by: None }))]);
    let got = ask(&router, "GET", "/", &[], "");
    assert_eq!((got.status, &*got.served.to), (418, "respond"));
    for targets in [vec![], vec![(component("api"), 0)], vec![(component("nobody"), 1)]] {
        let to = Target::Split(Split { targets, by: None });
        assert!(Router::new("app", &[route("/", to)], &components()).is_err());
    }
}
