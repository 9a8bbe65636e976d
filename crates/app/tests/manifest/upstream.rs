//! `[upstream.NAME]`: what it means, and what is said of those that are wrong.

use crate::{bad, good};
use sampan_app::{
    Balance, Forwarded, HashKey, HealthCheck, HostHeader, KeepAlive, Outlier, Retry, RetryOn, Target, Tls,
    Upstream, UpstreamLimits, UpstreamProtocol, UpstreamServer, UpstreamTimeouts, UpstreamTls,
};
use std::time::Duration;

fn server(host: &str, port: u16, tls: bool, weight: u32) -> UpstreamServer {
    UpstreamServer { host: host.into(), port, tls, weight }
}

#[test]
fn one_line_is_enough() {
    let text =
        "[upstream.u]\nservers = [\"127.0.0.1:9001\"]\n[[route]]\npath = \"/...\"\nto = \"upstream:u\"\n";
    let (app, warnings) = good("sampan.toml", text);
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(app.routes[0].to, Target::Upstream("u".into()));
    let expected = Upstream {
        name: "u".into(),
        servers: vec![server("127.0.0.1", 9001, false, 1)],
        ..Upstream::default()
    };
    assert_eq!(app.upstreams["u"], expected);
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn every_key_means_something() {
    let text = r#"
        [variables]
        host = "api.internal"
        [upstream.u]
        servers = ["{{ host }}:81", "https://A.example", "http://[::1]", { address = "10.0.0.1:1", weight = 3 }]
        balance = "ring-hash"
        hash = "header:X-User"
        protocol = "auto"
        tls = { ca = "ca.pem", cert = "c.pem", key = "k.pem", server_name = "x.internal" }
        health = { path = "/h?a=b", interval = "1s", timeout = "100ms", healthy = 1, unhealthy = 4, status = [200, "300-302"], host = "h:1" }
        outlier = { failures = 2, errors = 4, unreachable = 3, eject = "1m", eject_max = "2m", most = "10%" }
        retry = { attempts = 4, on = ["connect", "timeout", 503, "504"], budget = "5%", timeout = "1s" }
        timeouts = { connect = "1s", first_byte = "2s", idle = "3s", total = "4s", tunnel = "5s" }
        limits = { connections = 2000, queue = 0, queue_time = "1s" }
        keep_alive = { connections = 0, idle = "1s", requests = 100 }
        dns = "1m"
        host = "fixed.example:8080"
        forwarded = "both"
        trust_forwarded = ["10.0.0.0/8", "::1"]
        via = true
        [[route]]
        path = "/..."
        to = "upstream:u"
    "#;
    let (app, _) = good("sampan.toml", text);
    let at = |name: &str| app.root.join(name);
    let second = Duration::from_secs;
    let expected = Upstream {
        name: "u".into(),
        servers: vec![
            server("api.internal", 81, true, 1),
            server("a.example", 443, true, 1),
            server("::1", 80, false, 1),
            server("10.0.0.1", 1, true, 3),
        ],
        balance: Balance::RingHash(HashKey::Header("x-user".into())),
        protocol: UpstreamProtocol::Auto,
        tls: UpstreamTls {
            ca: Some(at("ca.pem")),
            client: Some(Tls { cert: at("c.pem"), key: at("k.pem") }),
            server_name: Some("x.internal".into()),
            insecure: false,
        },
        health: Some(HealthCheck {
            path: "/h?a=b".into(),
            interval: second(1),
            timeout: Duration::from_millis(100),
            healthy: 1,
            unhealthy: 4,
            status: vec![(200, 200), (300, 302)],
            host: Some("h:1".into()),
        }),
        outlier: Some(Outlier {
            failures: Some(2),
            errors: Some(4),
            unreachable: Some(3),
            eject: second(60),
            eject_max: second(120),
            most_percent: 10,
        }),
        retry: Retry {
            attempts: 4,
            on: vec![RetryOn::Connect, RetryOn::Timeout, RetryOn::Status(503), RetryOn::Status(504)],
            budget_percent: 5,
            timeout: Some(second(1)),
        },
        timeouts: UpstreamTimeouts {
            connect: second(1),
            first_byte: second(2),
            idle: second(3),
            total: Some(second(4)),
            tunnel: second(5),
        },
        limits: UpstreamLimits { connections: 2000, requests: 2000, queue: 0, queue_time: second(1) },
        keep_alive: KeepAlive { connections: 0, idle: second(1), requests: Some(100) },
        dns: second(60),
        host: HostHeader::Fixed("fixed.example:8080".into()),
        forwarded: Forwarded::Both,
        trust_forwarded: vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
        via: true,
    };
    assert_eq!(app.upstreams["u"], expected);
}

#[test]
fn short_forms() {
    let text = "[upstream.u]\nservers = [\"a:1\"]\nhealth = \"/up\"\noutlier = false\nhost = \"server\"\n\
        balance = \"least-request\"\n[[route]]\npath = \"/...\"\nto = \"upstream:u\"\n";
    let (app, _) = good("sampan.toml", text);
    let upstream = &app.upstreams["u"];
    assert_eq!((&upstream.health, &upstream.outlier), (&Some(HealthCheck::new("/up")), &None));
    assert_eq!((&upstream.host, &upstream.balance), (&HostHeader::Server, &Balance::LeastRequest));
    let text = text.replace("outlier = false", "outlier = { failures = false, errors = 3, eject = \"10m\" }");
    let (app, _) = good("sampan.toml", &text);
    let expected = Outlier {
        failures: None,
        errors: Some(3),
        eject: Duration::from_secs(600),
        // The limit is no shorter than what is asked for.
        eject_max: Duration::from_secs(600),
        ..Outlier::default()
    };
    assert_eq!(app.upstreams["u"].outlier, Some(expected));
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (keys, marked, message, help) in [
        ("", "[upstream.u]", "`upstream.u` has no `servers`", "127.0.0.1:9001"),
        ("servers = []", "[]", "an upstream without servers", "127.0.0.1:9001"),
        ("servers = \"a:1\"", "\"a:1\"", "expected a list of servers, found a string", ""),
        ("servers = [1]", "1", "expected a server", ""),
        ("servers = [\"a\"]", "\"a\"", "`a` is not a server", "HOST:PORT"),
        ("servers = [\"a:0\"]", "\"a:0\"", "`a:0` is not a server", "1 to 65535"),
        ("servers = [\"::1:80\"]", "\"::1:80\"", "is not a server", "in brackets"),
        ("servers = [\"ftp://a\"]", "\"ftp://a\"", "is not a server", "http or https"),
        ("servers = [\"http://a/b\"]", "\"http://a/b\"", "is not a server", "no path"),
        ("servers = [\"a b:1\"]", "\"a b:1\"", "is not a server", "a name or an address"),
        ("servers = [{ address = \"a:1\", weight = 0 }]", "0", "from 1 to 1000", ""),
        ("servers = [{ address = \"a:1\", wieght = 1 }]", "wieght", "unknown key `wieght`", "`weight`"),
        ("balance = \"ringhash\"", "\"ringhash\"", "no `balance` `ringhash`", "did you mean \"ring-hash\"?"),
        ("balance = \"ring-hash\"", "[upstream.u]", "ring-hash has no `hash`", "source-ip"),
        ("hash = \"path\"", "hash", "`hash` belongs to ring-hash", "balance"),
        ("balance = \"ring-hash\"\nhash = \"user\"", "\"user\"", "is no key of a ring", "cookie:NAME"),
        ("balance = \"ring-hash\"\nhash = \"header:\"", "\"header:\"", "is no key of a ring", ""),
        ("protocol = \"http2\"", "\"http2\"", "no `protocol` `http2`", "http1"),
        ("tls = { cert = \"c\" }", "\"c\"", "`cert` and `key` belong together", "name both"),
        ("tls = { ca = \"c\", insecure = true }", "insecure", "`ca` is not looked at", "remove"),
        ("health = { interval = \"1s\" }", "{ interval = \"1s\" }", "has no `path`", "/healthz"),
        ("health = \"up\"", "\"up\"", "`up` is not a path", "/healthz"),
        ("health = { path = \"/\", status = [100] }", "100", "no status of a server that is well", "200-299"),
        ("health = { path = \"/\", status = \"299-200\" }", "\"299-200\"", "no status", ""),
        ("outlier = { failures = 0 }", "0", "from 1 to 10000", ""),
        ("outlier = { errors = true }", "true", "from 1 to 10000, or false", ""),
        ("outlier = { most = 50 }", "50", "expected a share", ""),
        ("outlier = { most = \"101%\" }", "\"101%\"", "is not a share", "50%"),
        ("outlier = 5", "5", "expected true or false", ""),
        ("retry = { attempts = 11 }", "11", "from 1 to 10", ""),
        ("retry = { on = [\"always\"] }", "\"always\"", "no reason to ask again", "\"reset\""),
        ("retry = { on = [200] }", "200", "no reason to ask again", ""),
        ("retry = { budget = \"120%\" }", "\"120%\"", "`120%` is not a share", "20%"),
        ("timeouts = { conect = \"1s\" }", "conect", "unknown key `conect`", "`connect`"),
        ("limits = { connections = 0 }", "0", "from 1 to 1000000", ""),
        ("keep_alive = { idle = 5 }", "5", "expected a duration", ""),
        ("host = \"a/b\"", "\"a/b\"", "no value of the header `Host`", "\"server\""),
        ("trust_forwarded = \"proxy\"", "\"proxy\"", "`proxy` is not a network", "10.0.0.0/8"),
        ("forwarded = \"x\"", "\"x\"", "no `forwarded` `x`", "x-forwarded"),
        ("servrs = 1", "servrs", "unknown key `servrs` in `upstream.u`", "`servers`"),
    ] {
        let servers = if keys.contains("servers") || keys.is_empty() { "" } else { "servers = [\"a:1\"]\n" };
        let text = format!("[upstream.u]\n{servers}{keys}\n[[route]]\npath = \"/\"\nto = \"upstream:u\"\n");
        let findings = bad("sampan.toml", &text);
        let [(at, said, helped)] = findings.as_slice() else { panic!("{keys}: {findings:#?}") };
        assert_eq!(at, marked, "{keys}");
        assert!(said.contains(message), "{keys}: {said}");
        assert!(helped.contains(help), "{keys}: {helped}");
    }
    let only_clear = "[upstream.u]\nservers = [\"http://a\"]\ntls = { insecure = true }\n[[route]]\npath = \"/\"\nto = \"upstream:u\"\n";
    assert!(bad("sampan.toml", only_clear)[0].1.contains("no server speaks it"));
    let name = "[upstream.\"a/b\"]\nservers = [\"a:1\"]\n";
    assert!(
        bad("sampan.toml", name)
            .iter()
            .any(|(_, said, _)| said.contains("`a/b` is not a name for an upstream"))
    );
}
