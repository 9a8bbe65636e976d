//! What routes do beside handing over, in a running process.

use crate::{App, Up};
use sampan_testing::{HttpServer, servers::Redis};
use std::collections::HashMap;

/// Answers with what it got: the target, the hosts, and one header.
fn mirror() -> HttpServer {
    HttpServer::start(|request| {
        let header = |name| request.header(name).unwrap_or("-").to_owned();
        let hosts = [header("host"), header("x-forwarded-host")].join(" ");
        let text = format!("{} {hosts} {}", request.target, header("x-by"));
        sampan_testing::Response::new(200, text)
    })
}

#[test]
fn one_route_with_everything() {
    let server = mirror();
    let app = App::new(&format!(
        r#"
        [upstream.mirror]
        servers = ["{}"]
        [[route]]
        path = "/api/:version/..."
        query = {{ debug = "*" }}
        to = "upstream:mirror"
        rewrite = "/:version/x/..."
        rewrite_host = "inner.example"
        request_headers = {{ set = {{ x-by = "sampan" }} }}
        response_headers = {{ set = {{ x-frame-options = "DENY" }} }}
        body_limit = 10
        timeout = "30s"
        cors = {{ origins = ["https://shop.example.com"], methods = ["PUT"], max_age = "1m" }}
        rate_limit = {{ requests = 3, per = "1h", key = "header:x-key" }}
        [[route]]
        path = "/old/:id/..."
        to = "redirect:/new/:id/..."
        "#,
        server.address
    ));
    let mut up = app.up();
    let ask = |up: &Up, method: &str, headers: &[(&str, &str)], body: &str| {
        up.send(method, "/api/v1/a%20b?debug&q=1", headers, body.as_bytes())
    };
    let page = ("Origin", "https://shop.example.com");
    let got = ask(&up, "GET", &[page, ("X-Key", "a")], "");
    assert_eq!((got.status, got.text().as_str()), (200, "/v1/x/a%20b?debug&q=1 inner.example test sampan"));
    let header = |got: &sampan_testing::Response, name| got.header(name).unwrap_or("-").to_owned();
    assert_eq!(header(&got, "access-control-allow-origin"), "https://shop.example.com");
    assert_eq!((header(&got, "vary"), header(&got, "x-frame-options")), ("origin".into(), "DENY".into()));
    assert_eq!(
        (header(&got, "ratelimit-limit"), header(&got, "ratelimit-remaining")),
        ("3".into(), "2".into())
    );
    // A preflight counts for nobody, and its answer has the route's headers too.
    let got = ask(&up, "OPTIONS", &[page, ("Access-Control-Request-Method", "PUT")], "");
    assert_eq!((got.status, header(&got, "access-control-max-age")), (204, "60".into()));
    assert_eq!(
        (header(&got, "x-frame-options"), header(&got, "ratelimit-limit")),
        ("DENY".into(), "-".into())
    );
    assert_eq!(ask(&up, "PUT", &[("X-Key", "a")], "0123456789").status, 200);
    assert_eq!(ask(&up, "PUT", &[("X-Key", "a")], "0123456789+").status, 413);
    let got = ask(&up, "GET", &[page, ("X-Key", "a")], "");
    assert_eq!(
        (got.status, header(&got, "access-control-allow-origin")),
        (429, "https://shop.example.com".into())
    );
    assert!(header(&got, "retry-after").parse::<u32>().is_ok_and(|seconds| (1..=1200).contains(&seconds)));
    assert_eq!(ask(&up, "GET", &[("X-Key", "b")], "").status, 200);
    // A reload is no new start for who asked too often.
    up.signal("HUP");
    up.process.wait_for_error("loaded anew");
    assert_eq!(ask(&up, "GET", &[("X-Key", "a")], "").status, 429);

    assert_eq!(up.get("/api/v1/x").status, 404);
    let got = up.get("/old/7/x?y");
    assert_eq!((got.status, header(&got, "location")), (307, "/new/7/x?y".into()));
}

#[test]
fn targets_get_their_shares_and_clients_stay() {
    let app = App::new(
        "[[route]]\npath = \"/...\"\nsplit_by = \"cookie:seen\"\n\
         to = [{ to = \"static:one\", weight = 80 }, { to = \"static:two\", weight = 20 }]\n",
    );
    app.write("one/index.html", "one");
    app.write("two/index.html", "two");
    let up = app.up();
    let mut counts = HashMap::<String, u32>::new();
    for _ in 0..200 {
        let got = up.get("/");
        let cookie = got.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        *counts.entry(got.text()).or_default() += 1;
        let again = up.send("GET", "/", &[("Cookie", &cookie)], b"");
        assert_eq!((again.text(), again.header("set-cookie")), (got.text(), None));
    }
    // Five standard deviations around 40.
    assert!((12..=68).contains(&counts["two"]), "{counts:?}");
}

#[test]
fn two_processes_share_a_rate_in_redis() {
    let Some(mut redis) = Redis::start() else { return };
    let manifest = format!(
        "[keyvalue.counts]\nurl = \"{}\"\n\
         [[route]]\npath = \"/...\"\nto = \"static:public\"\n\
         rate_limit = {{ requests = 10, per = \"24h\", store = \"counts\" }}\n\
         [[route]]\npath = \"/strict\"\nto = \"redirect:/\"\n\
         rate_limit = {{ requests = 10, per = \"24h\", store = \"counts\", on_failure = \"closed\" }}\n",
        redis.url()
    );
    let app = App::new(&manifest);
    app.write("public/index.html", "hello");
    let ups = [app.up(), app.up(), app.up()];
    let statuses: Vec<u16> = (0..12).map(|at| ups[at % 2].get("/").status).collect();
    assert_eq!(statuses, [[200; 10].as_slice(), &[429; 2]].concat());
    let refused = ups[0].get("/");
    assert!(refused.header("retry-after").is_some() && refused.header("ratelimit-remaining") == Some("0"));
    // Another route counts for itself.
    assert_eq!(ups[0].get("/strict").status, 307);
    // While the store is down, each route does as it says.
    redis.kill();
    assert_eq!([ups[2].get("/strict").status, ups[2].get("/").status], [503, 200]);
    // Who was refused a moment ago stays so.
    assert_eq!(ups[0].get("/").status, 429);
}
