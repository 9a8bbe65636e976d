//! What holds for all routes: the token, the limit of a body, health, metadata, what is not offered.

use crate::table::compare;
use crate::{Site, check, component};

#[test]
fn callers_show_the_token() {
    let store = component("statestore", "state.in-memory", &[]);
    let token = Site::new(std::slice::from_ref(&store)).dapr("api_token = \"s3cret\"");
    let variable = Site::new(&[store]).env("DAPR_API_TOKEN", "s3cret");
    for site in [token, variable] {
        let up = site.up();
        let get = |path: &str, headers: &[(&str, &str)]| up.send("GET", path, headers, b"");
        let refused = get("/v1.0/state/statestore/a", &[]);
        assert_eq!((refused.status, refused.text()), (401, "invalid api token".to_owned()));
        assert_eq!(get("/v1.0/state/statestore/a", &[("dapr-api-token", "s3cre")]).status, 401);
        assert_eq!(get("/v1.0/state/statestore/a", &[("dapr-api-token", "s3cret")]).status, 204);
        assert_eq!(get("/any", &[("dapr-app-id", "shop")]).status, 401);
        // Whoever watches the process has no token.
        assert_eq!(get("/v1.0/healthz", &[]).status, 204);
        assert_eq!(get("/v1.0/healthz/outbound", &[]).status, 204);
    }
}

#[test]
fn bodies_have_a_limit() {
    let up = Site::new(&[component("statestore", "state.in-memory", &[])]).up();
    let item = |bytes: usize| {
        let start = "[{\"key\":\"k\",\"value\":\"";
        let end = "\"}]";
        format!("{start}{}{end}", "x".repeat(bytes - start.len() - end.len()))
    };
    let limit = 4 << 20;
    assert_eq!(up.post("/v1.0/state/statestore", &item(limit)).status, 204);
    compare(&up.post("/v1.0/state/statestore", &item(limit + 1)), 413, "ERR_BODY_READ", "4 MiB and a byte");
}

#[test]
fn health_and_metadata() {
    let up = Site::new(&[
        component("statestore", "state.in-memory", &[]),
        component("pubsub", "pubsub.in-memory", &[]),
    ])
    .up();
    check(
        &up,
        &[
            ("GET /v1.0/healthz", "", 204, ""),
            ("GET /v1.0/healthz?appid=shop", "", 204, ""),
            ("GET /v1.0/healthz?appid=other", "", 500, "ERR_HEALTH_APPID_NOT_MATCH"),
            ("GET /v1.0/healthz/outbound", "", 204, ""),
            ("PUT /v1.0/metadata/color", "blue", 204, ""),
        ],
    );
    let metadata = up.get("/v1.0/metadata");
    assert_eq!(metadata.header("content-type"), Some("application/json"));
    for part in [
        r#""id":"shop""#,
        r#""runtimeVersion":""#,
        r#""name":"statestore""#,
        r#""type":"state.in-memory""#,
        r#""version":"v1""#,
        r#""ETAG""#,
        r#""TRANSACTIONAL""#,
        r#""name":"pubsub""#,
        r#""color":"blue""#,
        r#""subscriptions":[]"#,
    ] {
        assert!(metadata.text().contains(part), "{part}: {}", metadata.text());
    }
}

#[test]
fn what_is_not_offered_says_so() {
    let up = Site::new(&[component("statestore", "state.in-memory", &[])]).up();
    let not_offered = "ERR_NOT_IMPLEMENTED";
    check(
        &up,
        &[
            ("POST /v1.0/actors/t/1/method/m", "", 501, not_offered),
            ("POST /v1.0-alpha1/jobs/j", "{}", 501, not_offered),
            ("POST /v1.0/workflows/dapr/w/start", "", 501, not_offered),
            ("POST /v1.0-beta1/workflows/dapr/w/start", "", 501, not_offered),
            ("POST /v1.0-alpha1/crypto/c/encrypt", "", 501, not_offered),
            ("POST /v1.0-alpha2/conversation/c/converse", "", 501, not_offered),
            ("GET /v2.0/state/statestore/a", "", 404, "ERR_DIRECT_INVOKE"),
        ],
    );
}

#[test]
fn a_client_may_end_the_process() {
    let up = Site::new(&[component("statestore", "state.in-memory", &[])]).up();
    assert_eq!(up.send("POST", "/v1.0/shutdown", &[], b"").status, 204);
    assert_eq!(up.process.finish().code, 0);
}
