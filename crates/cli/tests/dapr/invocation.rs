//! `/v1.0/invoke` and the header `dapr-app-id`: an ordinary program, a component, an HTTPEndpoint.

use crate::publishing::Beside;
use crate::site::Up;
use crate::{Site, check};
use sampan_testing::{HttpServer, Request, Response, guest_for};

fn shown(request: &Request) -> Response {
    let header = |name: &str| request.header(name).unwrap_or("-").to_owned();
    let body = format!(
        "{} {} caller={} callee={} one={} id={} token={} {}",
        request.method,
        request.target,
        header("dapr-caller-app-id"),
        header("dapr-callee-app-id"),
        header("x-one"),
        header("dapr-app-id"),
        header("dapr-api-token"),
        String::from_utf8_lossy(&request.body),
    );
    let traced = request.header("traceparent").is_some_and(|trace| trace.len() == 55);
    let status = if request.target.starts_with("/teapot") { 418 } else { 200 };
    Response::new(status, body).with("X-Answer", "kept").with("X-Traced", if traced { "yes" } else { "no" })
}

fn beside() -> (Beside, Up) {
    let app = Beside::start("[]", shown);
    let up = Site::new(&[]).dapr(&app.port()).up();
    (app, up)
}

#[test]
fn an_ordinary_program() {
    let (_app, up) = beside();
    let plain = "caller=shop callee=shop one=- id=- token=-";
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let answer = up.send(method, "/v1.0/invoke/shop/method/a/b%20c?q=1&q=%2F", &[], b"body");
        assert_eq!(answer.text(), format!("{method} /a/b%20c?q=1&q=%2F {plain} body"));
        assert_eq!((answer.status, answer.header("x-answer")), (200, Some("kept")));
        assert_eq!(answer.header("x-traced"), Some("yes"));
    }
    assert_eq!(up.get("/v1.0/invoke/shop/method/teapot").status, 418);
    // A namespace after the id, and no method at all.
    assert!(up.get("/v1.0/invoke/shop.default/method/x").text().starts_with("GET /x "));
    assert!(up.get("/v1.0/invoke/shop/method/").text().starts_with("GET / "));
    let header = up.send("GET", "/any/path?x=y", &[("dapr-app-id", "shop"), ("X-One", "1")], b"");
    assert_eq!(header.text(), "GET /any/path?x=y caller=shop callee=shop one=1 id=- token=- ");
    // `dapr-app-id:shop` in Basic authentication.
    let basic = up.send("GET", "/p", &[("Authorization", "Basic ZGFwci1hcHAtaWQ6c2hvcA==")], b"");
    assert!(basic.text().starts_with("GET /p "), "{}", basic.text());
    let forged = [("dapr-app-id", "shop"), ("dapr-caller-app-id", "root")];
    assert!(up.send("GET", "/p", &forged, b"").text().contains("caller=shop"));
}

#[test]
fn errors() {
    let (_app, up) = beside();
    let failed = "ERR_DIRECT_INVOKE";
    check(
        &up,
        &[
            ("GET /v1.0/invoke/other/method/x", "", 500, failed),
            ("GET /v1.0/invoke//method/x", "", 404, failed),
            ("GET /v1.0/invoke/shop", "", 404, failed),
            ("GET /v1.0/nothing", "", 404, failed),
            ("GET /", "", 404, failed),
            ("PATCH /v1.0/state/statestore", "", 404, failed),
        ],
    );
    // The program is not there.
    let port = format!("app_port = {}", sampan_testing::free_port());
    let alone = Site::new(&[]).dapr(&port).up();
    let answer = alone.get("/v1.0/invoke/shop/method/x");
    assert!(answer.status >= 500, "{} {}", answer.status, answer.text());
}

#[test]
fn a_component_and_a_host_elsewhere() {
    let target = HttpServer::start(shown);
    let endpoint = format!(
        "apiVersion: dapr.io/v1alpha1\nkind: HTTPEndpoint\nmetadata:\n  name: partner\nspec:\n  baseUrl: \
         http://{}/base\n",
        target.address
    );
    let manifest = format!(
        "[component.hello]\nsource = \"{}\"\n[[route]]\npath = \"/...\"\nto = \"hello\"\n",
        guest_for("wasm32-wasip2", "serve-hello").display()
    );
    let up = Site::new(&[endpoint]).manifest(&manifest).up();
    for app in ["shop", "hello"] {
        let answer = up.get(&format!("/v1.0/invoke/{app}/method/x"));
        assert_eq!((answer.status, answer.text()), (200, "Hello, world!\n".to_owned()), "{app}");
    }
    let partner = up.get("/v1.0/invoke/partner/method/x?y").text();
    assert!(partner.starts_with("GET /base/x?y caller=shop callee=partner"), "{partner}");
    let url = up.get(&format!("/v1.0/invoke/http://{}/method/x", target.address)).text();
    assert!(url.starts_with("GET /x "), "{url}");
    let encoded = up.get(&format!("/v1.0/invoke/http%3A%2F%2F{}/method/x", target.address)).text();
    assert!(encoded.starts_with("GET /x "), "{encoded}");
}

#[test]
fn a_policy_of_access() {
    let policy = |default: &str| {
        format!(
            "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata:\n  name: c\nspec:\n  accessControl:\n    \
             defaultAction: {default}\n    policies:\n    - appId: shop\n      defaultAction: {default}\n      \
             operations:\n      - name: /open\n        httpVerb: [\"GET\"]\n        action: allow\n"
        )
    };
    let app = Beside::start("[]", shown);
    let up = Site::new(&[policy("deny")]).dapr(&app.port()).up();
    assert_eq!(up.get("/v1.0/invoke/shop/method/open").status, 200);
    let denied = up.get("/v1.0/invoke/shop/method/closed");
    crate::table::compare(&denied, 403, "ERR_DIRECT_INVOKE", "a path that no policy allows");
    assert_eq!(up.post("/v1.0/invoke/shop/method/open", "").status, 403);
}
