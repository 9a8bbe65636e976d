//! Easegress's flash sale, as its cookbook tells it, with `examples/flash-sale`: on several instances at once, with
//! parameters that change while it runs, and data that the operator lists, changes and clears.

use crate::{App, Up};
use sampan_testing::{Response, free_port, http_send, npm_example};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

const PERMITTED: &str = "You can buy the laptop for $1 now.\n";
const PAST: &str = "2021-08-08T00:00:00+00:00";
const DATA: &str = "/wasm/data/flash-sale/wasm";

struct Sale {
    app: App,
    admin: String,
    /// The example's own, with the places that a test has to choose.
    manifest: String,
}

impl Sale {
    fn new(example: &Path) -> Sale {
        let manifest = std::fs::read_to_string(example.join("sampan.toml")).unwrap();
        let wasm = example.join("build/flash-sale.wasm");
        let admin = format!("127.0.0.1:{}", free_port());
        let manifest = manifest
            .replace("build/flash-sale.wasm", wasm.to_str().unwrap())
            .replace("static:public", &format!("static:{}", example.join("public").display()))
            .replace("127.0.0.1:2381", &admin);
        Sale { app: App::new(&manifest), admin, manifest }
    }

    /// The same manifest with other parameters.
    fn write(&self, start: &str, ratio: &str, most: &str) {
        let manifest = self.manifest.replace(PAST, start);
        let manifest = manifest.replace("blockRatio = \"0.4\"", &format!("blockRatio = \"{ratio}\""));
        let manifest = manifest.replace("maxPermission = \"3\"", &format!("maxPermission = \"{most}\""));
        self.app.write("sampan.toml", manifest);
    }

    /// Other parameters without a restart.
    #[track_caller]
    fn set(&self, start: &str, ratio: &str, most: &str) {
        self.write(start, ratio, most);
        let answer = self.ask("POST", "/wasm/code", b"");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    fn ask(&self, method: &str, path: &str, body: &[u8]) -> Response {
        http_send(&*self.admin, method, path, &[("Host", &self.admin)], body).unwrap()
    }
}

#[track_caller]
fn buy(up: &Up, user: &str) -> String {
    buy_at(&up.address, user)
}

#[track_caller]
fn buy_at(address: &str, user: &str) -> String {
    let headers = [("Host", "shop"), ("Authorization", user)];
    let answer = http_send(address, "GET", "/flashsale", &headers, b"").unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text().to_owned()
}

/// How many of so many users are let through, who all come at once.
fn permitted(up: &Up, users: usize, prefix: &str) -> usize {
    let (next, permitted, address) = (AtomicUsize::new(0), AtomicUsize::new(0), up.address.as_str());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let user = next.fetch_add(1, Ordering::Relaxed);
                    if user >= users {
                        return;
                    }
                    if buy_at(address, &format!("{prefix}{user}")) == PERMITTED {
                        permitted.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    permitted.into_inner()
}

#[test]
fn the_sale_as_easegresss_cookbook_tells_it() {
    let Some(example) = npm_example("flash-sale") else { return };
    let sale = Sale::new(&example);

    // 1. Before the start nobody gets through.
    sale.write("2121-08-08T02:00:00+02:00", "0", "3");
    let up = sale.app.up();
    assert_eq!(buy(&up, "user1"), "not start yet.\n");

    // 2. After it some of the crowd is blocked.
    sale.set(PAST, "1", "1000");
    assert_eq!(buy(&up, "user1"), "sold out.\n");
    sale.set(PAST, "0.5", "1000");
    let lucky = permitted(&up, 300, "crowd");
    assert!((90..210).contains(&lucky), "{lucky} of 300");
    assert_eq!(sale.ask("DELETE", DATA, b"").status, 200);

    // 3. Lucky once, lucky always.
    sale.set(PAST, "0", "1000");
    assert_eq!(buy(&up, "user1"), PERMITTED);
    sale.set(PAST, "1", "1000");
    assert_eq!((buy(&up, "user1").as_str(), buy(&up, "user2").as_str()), (PERMITTED, "sold out.\n"));
    assert_eq!(sale.ask("GET", DATA, b"").text(), "id/user1: \"true\"\npermits: \"1\"\n");
    assert_eq!(sale.ask("DELETE", DATA, b"").status, 200);

    // 4. Never more than there is, however many come at once.
    sale.set(PAST, "0", "3");
    for round in 0..5 {
        assert_eq!(permitted(&up, 100, "user"), 3, "round {round}");
        assert_eq!(permitted(&up, 100, "other"), 0, "round {round}");
        assert_eq!(sale.ask("DELETE", DATA, b"").status, 200);
    }

    // 5. More to sell, without a restart: those who were lucky stay so.
    assert_eq!(permitted(&up, 50, "user"), 3);
    sale.set(PAST, "0", "5");
    assert_eq!(permitted(&up, 50, "user"), 5);

    // 6. The operator lists, applies and clears.
    let listed = sale.ask("GET", &format!("/apis/v2{DATA}"), b"");
    assert_eq!(listed.text().matches("id/user").count(), 5, "{}", listed.text());
    assert_eq!(sale.ask("DELETE", DATA, b"").status, 200);
    assert_eq!(sale.ask("GET", DATA, b"").text(), "{}\n");
    sale.set(PAST, "1", "3");
    assert_eq!(buy(&up, "user4"), "sold out.\n");
    assert_eq!(sale.ask("PUT", DATA, b"\nid/user4: \"true\"\nid/user5: \"true\"").status, 200);
    assert_eq!(sale.ask("GET", DATA, b"").text(), "id/user4: \"true\"\nid/user5: \"true\"\n");
    assert_eq!(buy(&up, "user4"), PERMITTED);

    // A restart forgets nobody.
    drop(up);
    let up = sale.app.up();
    assert_eq!(buy(&up, "user5"), PERMITTED);
}

#[test]
fn the_operators_calls_say_what_is_wrong() {
    let Some(example) = npm_example("flash-sale") else { return };
    let sale = Sale::new(&example);
    let _up = sale.app.up();
    for (method, path, body, status, text) in [
        ("GET", "/wasm/data/flash-sale/none", "", 404, "has no filter `none`"),
        ("GET", "/wasm/data/none/wasm", "", 404, "the app `none` has no filter"),
        ("PUT", DATA, "a: [b]", 400, "line 1"),
        ("PUT", DATA, "\u{0}", 400, "line 1"),
        ("PATCH", DATA, "", 404, "there are GET, PUT and DELETE"),
        ("GET", "/wasm/code", "", 404, "there are"),
        ("GET", "/wasm/", "", 404, "there are"),
    ] {
        let answer = sale.ask(method, path, body.as_bytes());
        assert_eq!(answer.status, status, "{method} {path}");
        assert!(answer.text().contains(text), "{method} {path}: {}", answer.text());
    }
    let json = [("Host", sale.admin.as_str()), ("Accept", "application/json")];
    let answer = http_send(&*sale.admin, "PUT", DATA, &json, b"{\"a\": \"b\"}").unwrap();
    assert_eq!(answer.status, 200);
    let answer = http_send(&*sale.admin, "GET", DATA, &json, b"").unwrap();
    assert_eq!(answer.text(), "{\n  \"a\": \"b\"\n}\n");
    // A page in a browser may send anything anywhere.
    let page = [("Host", sale.admin.as_str()), ("Origin", "http://evil.example")];
    for (method, path) in [("DELETE", DATA), ("PUT", DATA), ("POST", "/wasm/code")] {
        assert_eq!(http_send(&*sale.admin, method, path, &page, b"").unwrap().status, 403, "{method}");
    }
    // What does not load leaves the running version.
    sale.app.write("sampan.toml", sale.manifest.replace("static:", "nowhere:"));
    let answer = sale.ask("POST", "/wasm/code", b"");
    assert_eq!(answer.status, 409, "{}", answer.text());
}
