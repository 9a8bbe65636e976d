//! `sampan.toml`.

use crate::{component, good};
use sampan_app::*;
use std::path::Path;
use std::time::Duration;

const WHOLE: &str = r#"
[app]
name = "shop"
version = "1.2.0"
memory = "1GiB"

[[listen]]
address = "127.0.0.1:8080"
[[listen]]
address = "[::]:8443"
tls = { cert = "cert.pem", key = "/etc/key.pem" }

[component.api]
source = "target/wasm32-wasip2/release/api.wasm"
build = { command = "cargo build --release --target wasm32-wasip2", watch = ["src/**/*.rs"] }
env = { LOG = "info" }
grant = { http = ["https://api.example.com"], keyvalue = ["default", "cache=sessions"], sql = ["orders"], files = ["assets:/assets:ro"], tcp = ["10.0.0.0/8:*"], udp = ["ntp.example.com:123"], services = ["postgres://db.internal"], variables = ["greeting"] }
limits = { memory = "64MiB", cpu = "50ms", time = "2s", instances = 200, reuse = 1, queue = 7, queue_time = "1s", concurrency = 3, idle = "1m", body = "1MiB", fuel = 1000, stack = "1MiB" }
variables = { hello = "Hello, {{ greeting }}!" }
lazy = true

[component.blog]
source = "php-cgi.wasm"
kind = "cgi"
grant = { files = ["wordpress:/docroot"] }

[component.old]
source = "old.wasm"
kind = "wcgi"
argv = ["-x"]
document_root = "/app"
build = ["make", "make install"]

[component.server]
source = "server.wasm"
kind = "server"
port = 8080
grant = { ports = ["127.0.0.1:0:8080"] }

[[route]]
path = "/api/..."
to = "api"
host = "Shop.example.com"
methods = ["get", "POST"]
headers = { X-Version = "2" }
[[route]]
path = "/blog/..."
to = "blog"
[[route]]
path = "/old/:id"
to = "old"
[[route]]
path = "/live"
to = "server"
[[route]]
path = "/..."
to = "static:public/"
index = "start.html"
fallback = "app.html"
hide = [".*"]
cache_control = "max-age=60"
[[route]]
path = "/gone"
to = "redirect:https://example.com/there"
status = 301

[variables]
greeting = "world"
token = { required = false, secret = true, default = "t0p" }

[keyvalue.sessions]
type = "redis"
url = "redis://:{{ token }}@127.0.0.1"
prefix = "shop:"
lazy = true
[sql.orders]
url = "mysql://root:{{ token }}@127.0.0.1/orders"
connections = 4
statement_timeout = "5s"
init = "SET NAMES utf8mb4"
ca = "ca.pem"

[telemetry]
admin = "127.0.0.1:9090"
"#;

#[test]
fn every_key_has_its_meaning() {
    let text = WHOLE.replace(
        "build = [\"make\", \"make install\"]",
        "build = { command = [\"make\", \"make install\"], workdir = \"old\" }",
    );
    let (app, warnings) = good("sampan.toml", &text);
    assert_eq!(warnings, Vec::<String>::new());
    let root = Path::new("/no/such/folder");
    assert_eq!((app.name.as_str(), app.version.as_str(), app.memory_bytes), ("shop", "1.2.0", Some(1 << 30)));
    assert_eq!((app.root.as_path(), app.state.as_path()), (root, root.join(".sampan").as_path()));
    assert_eq!(app.listen[0], Listen { address: "127.0.0.1:8080".parse().unwrap(), tls: None });
    let tls = Tls { cert: root.join("cert.pem"), key: "/etc/key.pem".into() };
    assert_eq!(app.listen[1].tls, Some(tls));
    assert_eq!(app.admin, Some("127.0.0.1:9090".parse().unwrap()));

    let api = component(&app, "api");
    assert_eq!(api.source, root.join("target/wasm32-wasip2/release/api.wasm"));
    assert_eq!((api.kind.as_ref(), api.lazy), (None, true));
    let build = api.build.as_ref().unwrap();
    assert_eq!(build.commands, ["cargo build --release --target wasm32-wasip2"]);
    assert_eq!((build.workdir.as_path(), build.watch.as_slice()), (root, &["src/**/*.rs".to_owned()][..]));
    let grants = &api.grants;
    assert_eq!(grants.env, [("LOG".to_owned(), "info".to_owned())]);
    assert!(grants.http[0].allows("https", "api.example.com", 443));
    assert!(grants.services[0].allows("postgres", "db.internal", 5432));
    assert_eq!(grants.tcp[0].port, PortPattern::Any);
    assert_eq!(grants.udp[0].port, PortPattern::One(123));
    let stores: Vec<_> = grants.keyvalue.iter().map(|one| (one.name.as_str(), one.store.as_str())).collect();
    assert_eq!(stores, [("default", "default"), ("cache", "sessions")]);
    assert_eq!(grants.sql, [StoreGrant { name: "orders".into(), store: "orders".into() }]);
    assert_eq!(
        grants.mounts[0],
        Mount { host: root.join("assets"), guest: "/assets".into(), read_only: true }
    );
    let config: Vec<_> = grants.config.iter().map(|one| (one.name.as_str(), one.value.reveal())).collect();
    assert_eq!(config, [("greeting", "world"), ("hello", "Hello, world!")]);
    let limits = Limits {
        memory_bytes: Some(64 << 20),
        timeout: Some(Duration::from_secs(2)),
        cpu_time: Some(Duration::from_millis(50)),
        fuel: Some(1000),
        stack_bytes: Some(1 << 20),
    };
    assert_eq!(api.limits, limits);
    let serving = Serving {
        instances: 200,
        queue: 7,
        queue_timeout: Duration::from_secs(1),
        reuse: Some(1),
        concurrency: 3,
        idle: Duration::from_secs(60),
        body_bytes: 1 << 20,
        spin_headers: false,
    };
    assert_eq!(api.serving, serving);

    let cgi = |name| match &component(&app, name).kind {
        Some(ComponentKind::Cgi(cgi)) => cgi.clone(),
        other => panic!("{other:?}"),
    };
    let docroot = Some("/docroot".to_owned());
    assert_eq!(cgi("blog"), Cgi { dialect: CgiDialect::Script, argv: vec![], document_root: docroot });
    let old = Cgi { dialect: CgiDialect::Wcgi, argv: vec!["-x".into()], document_root: Some("/app".into()) };
    assert_eq!(cgi("old"), old);
    let build = component(&app, "old").build.as_ref().unwrap();
    assert_eq!((build.commands.len(), build.workdir.clone()), (2, root.join("old")));
    assert_eq!(component(&app, "server").kind, Some(ComponentKind::Server { port: 8080 }));
}

#[test]
fn routes_and_stores() {
    let text = WHOLE.replace("build = [\"make\", \"make install\"]", "");
    let (app, _) = good("sampan.toml", &text);
    let root = Path::new("/no/such/folder");
    let first = Route {
        host: Some("shop.example.com".into()),
        methods: vec!["GET".into(), "POST".into()],
        headers: vec![("x-version".into(), "2".into())],
        ..Route::new("/api/...", Target::Component("api".into()))
    };
    assert_eq!(app.routes[0], first);
    let folder = StaticFolder {
        folder: root.join("public/"),
        index: "start.html".into(),
        fallback: Some("app.html".into()),
        or: None,
        hide: vec![".*".into()],
        cache_control: Some("max-age=60".into()),
    };
    assert_eq!(app.routes[4].to, Target::Static(folder));
    let there = Target::Redirect { status: 301, location: "https://example.com/there".into() };
    assert_eq!(app.routes[5].to, there);

    let default = KeyValueBackend::sqlite(root.join(".sampan/keyvalue/default.db"));
    assert_eq!(app.keyvalue["default"], KeyValueStore::new(default));
    let url = Secret::new("redis://:t0p@127.0.0.1");
    let redis = KeyValueBackend::redis(url, "shop:");
    assert_eq!(app.keyvalue["sessions"], KeyValueStore { lazy: true, ..KeyValueStore::new(redis) });
    let orders = &app.sql["orders"];
    assert_eq!(orders.backend, SqlBackend::MySql { url: Secret::new("mysql://root:t0p@127.0.0.1/orders") });
    assert_eq!((orders.connections, orders.statement_timeout), (4, Duration::from_secs(5)));
    assert_eq!(orders.init.as_deref(), Some("SET NAMES utf8mb4"));
    assert_eq!(orders.ca, Some(root.join("ca.pem")));
    assert!(!format!("{app:?}").contains("t0p"), "a secret is printed: {app:#?}");
}

#[test]
fn stores_in_every_layout() {
    let text = r#"
[[route]]
path = "/..."
to = "static:public"
[keyvalue.hashes]
url = "redis://127.0.0.1"
layout = "dapr"
ttl = "1h"
[keyvalue.rows]
type = "postgresql"
url = "postgres://u@h/d"
layout = "v1"
table = "own.state"
metadata_table = "own.notes"
ca = "ca.pem"
connections = 3
[keyvalue.bytes]
url = "postgres://u@h/d"
[keyvalue.maria]
url = "mariadb://u@h"
schema = "mine"
[keyvalue.file]
path = "a.db"
table = "things"
"#;
    let (app, _) = good("sampan.toml", text);
    let backend = |name: &str| app.keyvalue[name].backend.clone();
    let ttl = Some(Duration::from_secs(3600));
    let (url, layout) = (Secret::new("redis://127.0.0.1"), RedisLayout::Dapr);
    assert_eq!(backend("hashes"), KeyValueBackend::Redis { url, prefix: String::new(), layout, ttl });
    let url = || Secret::new("postgres://u@h/d");
    let database = KeyValueDatabase {
        ca: Some(app.root.join("ca.pem")),
        connections: 3,
        table: "own.state".into(),
        metadata_table: "own.notes".into(),
        ..KeyValueDatabase::new(url())
    };
    assert_eq!(backend("rows"), KeyValueBackend::Postgres { layout: PostgresLayout::V1, database });
    let database = KeyValueDatabase::new(url());
    assert_eq!(backend("bytes"), KeyValueBackend::Postgres { layout: PostgresLayout::V2, database });
    let database = KeyValueDatabase::new(Secret::new("mariadb://u@h"));
    assert_eq!(backend("maria"), KeyValueBackend::MySql { schema: "mine".into(), database });
    let KeyValueBackend::Sqlite { path, table, .. } = backend("file") else { panic!("a file") };
    assert_eq!((path, table.as_str()), (app.root.join("a.db"), "things"));
}

#[test]
fn little_is_enough() {
    let (app, warnings) = good("sampan.toml", "[[route]]\npath = \"/...\"\nto = \"static:public\"\n");
    assert_eq!((app.name.as_str(), app.listen.len(), warnings.len()), ("folder", 0, 0));

    let text = "component.a.source = \"a.wasm\"\ncomponent.a.grant.sql = [\"default\"]\nroute = [{ path = \"/\", to = \"a\" }]\n";
    let (app, _) = good("sampan.toml", text);
    let path = Path::new("/no/such/folder/.sampan/sql/default.db").to_owned();
    assert_eq!(app.sql["default"].backend, SqlBackend::Sqlite { path });
    assert_eq!(app.components[0].serving, Serving::default());
    assert_eq!(app.components[0].limits, Limits::served());
}
