//! Secrets, configuration, locks and bindings by plain HTTP.

use crate::publishing::Beside;
use crate::{Site, check, component};
use sampan_testing::servers::Redis;
use sampan_testing::{Response, finish, temp_dir};
use std::process::Command;

#[test]
fn secrets() {
    let folder = temp_dir();
    let file = folder.path().join("secrets.json");
    std::fs::write(&file, r#"{"password":"s3cret","database":{"user":"ada"},"hidden":"no"}"#).unwrap();
    let scope = "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata:\n  name: c\nspec:\n  secrets:\n    \
                 scopes:\n    - storeName: file\n      defaultAccess: allow\n      deniedSecrets: [\"hidden\"]\n";
    let path = format!("secretsFile={}", file.display());
    let up = Site::new(&[
        component("file", "secretstores.local.file", &[&path]),
        component("env", "secretstores.local.env", &["prefix=SHOP_"]),
        scope.to_owned(),
    ])
    .env("SHOP_TOKEN", "t")
    .up();
    let denied = "ERR_PERMISSION_DENIED";
    check(
        &up,
        &[
            ("GET /v1.0/secrets/file/password", "", 200, r#"{"password":"s3cret"}"#),
            ("GET /v1.0/secrets/file/database:user", "", 200, r#"{"database:user":"ada"}"#),
            ("GET /v1.0/secrets/file/database%3Auser", "", 200, r#"{"database:user":"ada"}"#),
            ("GET /v1.0/secrets/env/TOKEN", "", 200, r#"{"TOKEN":"t"}"#),
            ("GET /v1.0/secrets/file/hidden", "", 403, denied),
            (
                "GET /v1.0/secrets/file/bulk",
                "",
                200,
                r#"{"database:user":{"database:user":"ada"},"password":{"password":"s3cret"}}"#,
            ),
            ("GET /v1.0/secrets/other/password", "", 401, "ERR_SECRET_STORE_NOT_FOUND"),
            ("GET /v1.0/secrets/other/bulk", "", 401, "ERR_SECRET_STORE_NOT_FOUND"),
        ],
    );
}

#[test]
fn none_of_them_is_configured() {
    let up = Site::new(&[component("pubsub", "pubsub.in-memory", &[])]).up();
    let lock = r#"{"resourceId":"r","lockOwner":"o","expiryInSeconds":5}"#;
    check(
        &up,
        &[
            ("GET /v1.0/secrets/s/k", "", 500, "ERR_SECRET_STORES_NOT_CONFIGURED"),
            ("GET /v1.0/configuration/c?key=a", "", 500, "ERR_CONFIGURATION_STORE_NOT_CONFIGURED"),
            ("POST /v1.0-alpha1/lock/l", lock, 500, "ERR_LOCK_STORE_NOT_CONFIGURED"),
            ("POST /v1.0-alpha1/unlock/l", lock, 500, "ERR_LOCK_STORE_NOT_CONFIGURED"),
            ("POST /v1.0/bindings/b", r#"{"operation":"get"}"#, 500, "ERR_INVOKE_OUTPUT_BINDING"),
        ],
    );
}

#[test]
fn locks() {
    let mut stores = vec![component("locks", "lock.in-memory", &[])];
    let redis = Redis::start();
    if let Some(redis) = &redis {
        stores.push(component("locks", "lock.redis", &[&format!("redisHost=127.0.0.1:{}", redis.port)]));
    }
    let (ada, bob) = (
        r#"{"resourceId":"r","lockOwner":"ada","expiryInSeconds":60}"#,
        r#"{"resourceId":"r","lockOwner":"bob","expiryInSeconds":60}"#,
    );
    for store in stores {
        let up = Site::new(&[store]).up();
        let malformed = "ERR_MALFORMED_REQUEST";
        check(
            &up,
            &[
                ("POST /v1.0-alpha1/unlock/locks", ada, 200, r#"{"status":1}"#),
                ("POST /v1.0-alpha1/lock/locks", ada, 200, r#"{"success":true}"#),
                ("POST /v1.0-alpha1/lock/locks", bob, 200, r#"{"success":false}"#),
                ("POST /v1.0-alpha1/unlock/locks", bob, 200, r#"{"status":2}"#),
                ("POST /v1.0-alpha1/unlock/locks", ada, 200, r#"{"status":0}"#),
                ("POST /v1.0-alpha1/lock/locks", bob, 200, r#"{"success":true}"#),
                ("POST /v1.0-alpha1/lock/locks", "", 400, malformed),
                ("POST /v1.0-alpha1/lock/locks", r#"{"lockOwner":"a","expiryInSeconds":1}"#, 400, malformed),
                ("POST /v1.0-alpha1/lock/locks", r#"{"resourceId":"a","expiryInSeconds":1}"#, 400, malformed),
                ("POST /v1.0-alpha1/lock/locks", r#"{"resourceId":"a","lockOwner":"a"}"#, 400, malformed),
                ("POST /v1.0-alpha1/unlock/locks", r#"{"resourceId":"a"}"#, 400, malformed),
                ("POST /v1.0-alpha1/lock/other", ada, 400, "ERR_LOCK_STORE_NOT_FOUND"),
                ("POST /v1.0-alpha1/unlock/other", ada, 400, "ERR_LOCK_STORE_NOT_FOUND"),
                ("POST /v1.0/lock/locks", ada, 404, "ERR_DIRECT_INVOKE"),
            ],
        );
    }
}

#[test]
fn configuration() {
    let Some(redis) = Redis::start() else { return };
    let set = |key: &str, value: &str| {
        let mut command = Command::new("redis-cli");
        command.args(["-p", &redis.port.to_string(), "SET", key, value]);
        assert_eq!(finish(&mut command, "").stdout.trim(), "OK");
    };
    set("color", "blue||3");
    set("size", "large");
    let app = Beside::start("[]", |_| Response::new(200, ""));
    let host = format!("redisHost=127.0.0.1:{}", redis.port);
    let store = component("config", "configuration.redis", &[&host]);
    let up = Site::new(&[store]).dapr(&app.port()).up();
    let color = r#"{"color":{"metadata":{},"value":"blue","version":"3"}}"#;
    check(
        &up,
        &[
            ("GET /v1.0/configuration/config?key=color", "", 200, color),
            ("GET /v1.0-alpha1/configuration/config?key=color&key=absent", "", 200, color),
            ("GET /v1.0/configuration/config?key=absent", "", 204, ""),
            ("GET /v1.0/configuration/other?key=color", "", 400, "ERR_CONFIGURATION_STORE_NOT_FOUND"),
            ("GET /v1.0/configuration/other/subscribe", "", 400, "ERR_CONFIGURATION_STORE_NOT_FOUND"),
        ],
    );
    let all = up.get("/v1.0/configuration/config").text();
    assert!(all.contains("\"color\":{") && all.contains("\"size\":{"), "{all}");
    let subscribed = up.get("/v1.0/configuration/config/subscribe?key=color");
    assert_eq!(subscribed.status, 200, "{}", subscribed.text());
    let id = subscribed.text().trim_start_matches("{\"id\":\"").trim_end_matches("\"}").to_owned();
    set("color", "red||4");
    let event = app.next();
    let said = String::from_utf8_lossy(&event.body).into_owned();
    assert_eq!((&*event.method, &*event.target), ("POST", "/configuration/config/color"));
    assert!(
        said.contains(&id) && said.contains(r#""value":"red""#) && said.contains(r#""version":"4""#),
        "{said}"
    );
    let end = format!("/v1.0/configuration/config/{id}/unsubscribe");
    assert_eq!(up.get(&end).text(), r#"{"ok":true}"#);
    let again = up.get(&end);
    assert_eq!((again.status, again.text().contains("\"ok\":false")), (500, true), "{}", again.text());
}

/// Changes are told to the app: there must be one.
#[test]
fn configuration_without_an_app() {
    let folder = temp_dir();
    let file = folder.path().join("configuration.json");
    std::fs::write(&file, r#"{"color":"blue"}"#).unwrap();
    let path = format!("path={}", file.display());
    let up = Site::new(&[component("config", "configuration.file", &[&path])]).up();
    assert_eq!(up.get("/v1.0/configuration/config?key=color").status, 200);
    check(&up, &[("GET /v1.0/configuration/config/subscribe?key=color", "", 500, "ERR_APP_CHANNEL_NIL")]);
}

#[test]
fn bindings() {
    let target = sampan_testing::HttpServer::start(|request| match &*request.target {
        "/missing" => Response::new(404, "none"),
        _ => Response::new(200, format!("{} {} {}", request.method, request.target, request.body.len())),
    });
    let app = Beside::start("[]", |_| Response::new(200, ""));
    let folder = temp_dir();
    let url = format!("url=http://{}", target.address);
    let root = format!("rootPath={}", folder.path().display());
    let up = Site::new(&[
        component("http", "bindings.http", &[&url]),
        component("files", "bindings.localstorage", &[&root]),
        component("tick", "bindings.cron", &["schedule=@every 1s"]),
    ])
    .dapr(&app.port())
    .up();
    let failed = "ERR_INVOKE_OUTPUT_BINDING";
    check(
        &up,
        &[
            ("POST /v1.0/bindings/http", r#"{"operation":"get","metadata":{"path":"/a"}}"#, 200, "GET /a 0"),
            ("PUT /v1.0/bindings/http", r#"{"operation":"post","data":{"n": 1}}"#, 200, "POST / 8"),
            (
                "POST /v1.0/bindings/http",
                r#"{"operation":"get","metadata":{"path":"/missing"}}"#,
                500,
                failed,
            ),
            ("POST /v1.0/bindings/http", r#"{"operation":"dance"}"#, 500, failed),
            ("POST /v1.0/bindings/http", "", 400, "ERR_MALFORMED_REQUEST"),
            ("POST /v1.0/bindings/other", r#"{"operation":"get"}"#, 500, failed),
            // An input binding is no output binding.
            ("POST /v1.0/bindings/tick", r#"{"operation":"get"}"#, 500, failed),
        ],
    );
    let created = r#"{"operation":"create","data":"a text","metadata":{"fileName":"f"}}"#;
    assert_eq!(up.post("/v1.0/bindings/files", created).status, 200);
    let got = up.post("/v1.0/bindings/files", r#"{"operation":"get","metadata":{"fileName":"f"}}"#);
    assert_eq!(got.text(), "a text");
    let status = up.post("/v1.0/bindings/http", r#"{"operation":"get"}"#);
    assert_eq!(status.header("metadata.statuscode"), Some("200"), "{:?}", status.headers);
    // The app is asked first, and gets the ticks then.
    assert_eq!(app.next().method, "OPTIONS");
    let tick = app.next();
    assert_eq!((&*tick.method, &*tick.target), ("POST", "/tick"));
}
