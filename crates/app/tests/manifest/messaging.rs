//! Brokers of messages.

use crate::good;
use sampan_app::{MessagingBackend, MessagingStore, NatsStart, Secret};
use std::path::Path;
use std::time::Duration;

#[test]
fn brokers_are_what_their_keys_or_urls_say() {
    let text = r#"
        [component.api]
        source = "a.wasm"
        [[route]]
        path = "/..."
        to = "api"
        [messaging.default]
        [messaging.own]
        path = "own.db"
        retention = "1h"
        messages = 10
        [messaging.scratch]
        type = "memory"
        lazy = true
        [messaging.events]
        url = "redis://:t0p@127.0.0.1"
        processing_timeout = "5s"
        messages = 1000
        [messaging.jobs]
        url = "nats://127.0.0.1:4222"
        token = "t0p"
        stream = "jobs"
    "#;
    let (app, warnings) = good("sampan.toml", text);
    assert_eq!(warnings, Vec::<String>::new());
    let root = Path::new("/no/such/folder");
    let backend = |name: &str| app.messaging[name].backend.clone();
    assert_eq!(backend("default"), MessagingBackend::embedded("default", &root.join(".sampan")));
    let own = MessagingBackend::Sqlite {
        path: root.join("own.db"),
        retention: Duration::from_secs(3600),
        messages_max: 10,
    };
    assert_eq!(backend("own"), own);
    assert_eq!(app.messaging["scratch"], MessagingStore { backend: MessagingBackend::Memory, lazy: true });
    let redis = MessagingBackend::Redis {
        url: Secret::new("redis://:t0p@127.0.0.1"),
        processing_timeout: Duration::from_secs(5),
        redeliver_interval: Duration::from_secs(15),
        messages_max: Some(1000),
        retention: None,
    };
    assert_eq!(backend("events"), redis);
    let nats = MessagingBackend::Nats {
        url: Secret::new("nats://127.0.0.1:4222"),
        token: Some(Secret::new("t0p")),
        stream: Some("jobs".to_owned()),
        durable: None,
        ack_wait: Duration::from_secs(30),
        deliveries_max: None,
        back_off: vec![],
        start: NatsStart::All,
        domain: None,
    };
    assert_eq!(backend("jobs"), nats);
    assert!(!format!("{app:?}").contains("t0p"), "a secret is printed");
}
