//! The access log: a line for each request, when its body has ended.

use crate::support::{Site, block_on};
use sampan_service::Options;
use sampan_telemetry::{AccessLog, LogFields, LogTarget};
use sampan_testing::temp_dir;
use serde_json::Value;

#[test]
fn each_request_is_a_line() {
    let folder = temp_dir();
    let path = folder.path().join("access.log");
    let log = AccessLog::open(&LogTarget::File(path.clone()), LogFields::default()).unwrap();
    let site = Site::with(Options { log: Some(log.clone()), ..Options::default() }, None);
    let mut raw = site.raw();
    let peer = raw.0.local_addr().unwrap().to_string();
    raw.send("GET /served?secret=1 HTTP/1.1\r\nhost: shop\r\nx-request-id: one\r\n\r\n").response();
    raw.send("POST / HTTP/1.1\r\nx-request-id: two\r\n\r\n").rest();
    let mut gone = site.raw();
    gone.send("GET /wait HTTP/1.1\r\nhost: shop\r\nx-request-id: three\r\n\r\n");
    site.expect("waiting");
    drop(gone);
    site.expect("cancelled");
    site.raw().send("GET /break HTTP/1.1\r\nhost: shop\r\nx-request-id: four\r\n\r\n").rest();
    site.raw().send("GET /reset HTTP/1.1\r\nhost: shop\r\nx-request-id: five\r\n\r\n").rest();
    block_on(async {
        let (mut client, connection) = crate::h2::connect(site.address).await;
        tokio::spawn(connection);
        client.send_request(crate::h2::get("/hello")).await.unwrap();
    });
    // All connections are over, so all lines are queued.
    drop(raw);
    drop(site);
    log.flush();
    let lines = std::fs::read_to_string(path).unwrap();
    assert!(!lines.contains("secret"), "{lines}");
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of =
        |id: &str| lines.iter().find(|line| line["id"] == id).unwrap_or_else(|| panic!("{id}: {lines:?}"));
    let one = of("one");
    for (field, expected) in [
        ("peer", peer.as_str()),
        ("method", "GET"),
        ("host", "shop"),
        ("path", "/served"),
        ("http", "1.1"),
        ("route", "/s/..."),
        ("to", "api"),
    ] {
        assert_eq!(one[field], expected, "{one}");
    }
    assert_eq!((&one["status"], &one["bytes"]), (&200.into(), &7.into()));
    assert!(one["duration_ms"].as_f64().is_some() && one["time"].as_str().unwrap().ends_with('Z'), "{one}");
    assert_eq!((&of("two")["status"], &of("two")["host"]), (&400.into(), &"".into()));
    assert_eq!(of("three")["status"], 0, "the client left before there was an answer");
    assert_eq!((&of("four")["broken"], &of("four")["bytes"]), (&true.into(), &1024.into()));
    let http2 = lines.iter().find(|line| line["http"] == "2").unwrap();
    assert_eq!(
        (&http2["host"], &http2["path"], &http2["bytes"]),
        (&"test".into(), &"/hello".into(), &5.into())
    );
    assert_eq!((&of("five")["status"], &of("five")["broken"]), (&0.into(), &true.into()));
    assert_eq!(lines.len(), 6);
}
