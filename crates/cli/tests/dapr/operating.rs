//! What an operator sees: metrics, and what loading the manifest anew keeps.

use crate::publishing::Beside;
use crate::{Site, Up, check, component};
use sampan_testing::{Response, free_port, http_send};

const ADA: &str = r#"{"resourceId":"r","lockOwner":"ada","expiryInSeconds":60}"#;
const BOB: &str = r#"{"resourceId":"r","lockOwner":"bob","expiryInSeconds":60}"#;

fn reload(up: &mut Up) {
    hang_up(up);
    up.process.wait_for_error("loaded anew");
}

fn hang_up(up: &Up) {
    let pid = up.process.child.id().to_string();
    let sent = std::process::Command::new("kill").args(["-s", "HUP", &pid]).status();
    assert!(sent.is_ok_and(|status| status.success()), "kill -s HUP {pid}");
}

#[test]
fn what_is_in_memory_stays_over_a_reload() {
    let parts = [
        component("locks", "lock.in-memory", &[]),
        component("statestore", "state.in-memory", &[]),
        component("pubsub", "pubsub.in-memory", &[]),
    ];
    let mut up = Site::new(&parts).up();
    let save = ("POST /v1.0/state/statestore", r#"[{"key":"k","value":1}]"#, 204, "");
    check(&up, &[("POST /v1.0-alpha1/lock/locks", ADA, 200, r#"{"success":true}"#), save]);
    up.write("components/3.yaml", component("more", "state.in-memory", &[]));
    reload(&mut up);
    check(
        &up,
        &[
            ("POST /v1.0-alpha1/lock/locks", BOB, 200, r#"{"success":false}"#),
            ("GET /v1.0/state/statestore/k", "", 200, "1"),
            ("GET /v1.0/state/more/k", "", 204, ""),
        ],
    );
    // Another description is another store.
    up.write("components/0.yaml", component("others", "lock.in-memory", &[]));
    reload(&mut up);
    check(&up, &[("POST /v1.0-alpha1/lock/others", BOB, 200, r#"{"success":true}"#)]);
}

#[test]
fn an_app_is_told_of_changes_after_a_reload_too() {
    let app = Beside::start("[]", |_| Response::new(200, ""));
    let settings = sampan_testing::temp_dir();
    let file = settings.path().join("settings.json");
    // Whoever reads sees the old file or the new one.
    let set = |file: &std::path::Path, color: &str| {
        let next = file.with_extension("next");
        std::fs::write(&next, format!("{{\"color\":\"{color}\"}}")).expect("a file");
        std::fs::rename(next, file).expect("the file");
    };
    set(&file, "red");
    let path = format!("path={}", file.display());
    let mut up = Site::new(&[component("settings", "configuration.file", &[&path])]).dapr(&app.port()).up();
    let watching = up.get("/v1.0-alpha1/configuration/settings/subscribe?key=color");
    assert_eq!(watching.status, 200, "{}", watching.text());
    let told = |color: &str| {
        let event = app.next();
        assert_eq!(event.target, "/configuration/settings/color");
        let text = String::from_utf8_lossy(&event.body).into_owned();
        assert!(text.contains(&format!("\"value\":\"{color}\"")), "{text}");
    };
    set(&file, "green");
    told("green");
    reload(&mut up);
    set(&file, "blue");
    told("blue");
    // Another file is another store: the subscription ends, and whoever runs this hears of it.
    let other = settings.path().join("other.json");
    set(&other, "black");
    up.write(
        "components/0.yaml",
        component("settings", "configuration.file", &[&format!("path={}", other.display())]),
    );
    hang_up(&up);
    up.process.wait_for_error("a subscription to the configuration store settings ended");
}

#[test]
fn calls_and_events_are_counted() {
    let app = Beside::start(r#"[{"pubsubname":"pubsub","topic":"orders","route":"/orders"}]"#, |request| {
        let status = if request.target == "/missing" { 404 } else { 200 };
        Response::new(status, "")
    });
    let admin = format!("127.0.0.1:{}", free_port());
    let parts =
        [component("statestore", "state.in-memory", &[]), component("pubsub", "pubsub.in-memory", &[])];
    let up =
        Site::new(&parts).dapr(&app.port()).manifest(&format!("[telemetry]\nadmin = \"{admin}\"\n")).up();
    up.subscribed(&["orders"]);
    let stale = r#"[{"key":"k","value":2,"etag":"77"}]"#;
    check(
        &up,
        &[
            ("POST /v1.0/state/statestore", r#"[{"key":"k","value":1}]"#, 204, ""),
            ("GET /v1.0/state/statestore/k", "", 200, "1"),
            ("POST /v1.0/publish/pubsub/orders", "{}", 204, ""),
            ("GET /v1.0/invoke/shop/method/missing", "", 404, ""),
        ],
    );
    assert_eq!(up.post("/v1.0/state/statestore", stale).status, 409);
    let events = [app.next(), app.next()];
    assert!(events.iter().any(|event| event.target == "/orders"));
    let text = || http_send(&*admin, "GET", "/metrics", &[("Host", &admin)], b"").expect("metrics").text();
    let labels = |block: &str, name: &str| format!("app=\"shop\",block=\"{block}\",component=\"{name}\"");
    let (state, pubsub) = (labels("state", "statestore"), labels("pubsub", "pubsub"));
    let invoked = labels("invoke", "shop");
    let lines = [
        format!("sampan_dapr_calls_total{{{state},outcome=\"ok\"}} 2"),
        format!("sampan_dapr_calls_total{{{state},outcome=\"refused\"}} 1"),
        format!("sampan_dapr_call_duration_seconds_count{{{state}}} 3"),
        format!("sampan_dapr_calls_total{{{pubsub},outcome=\"ok\"}} 1"),
        format!("sampan_dapr_calls_total{{{invoked},outcome=\"refused\"}} 1"),
        format!("sampan_dapr_events_total{{{pubsub},outcome=\"ok\"}} 1"),
    ];
    // An event is counted when the app's answer has been read.
    let begun = std::time::Instant::now();
    let missing = loop {
        let text = text();
        let missing = lines.iter().find(|line| !text.contains(&format!("{line}\n")));
        let Some(missing) = missing else { return };
        if begun.elapsed() > sampan_testing::PATIENCE {
            break format!("{missing}\n{text}");
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    };
    panic!("{missing}");
}
