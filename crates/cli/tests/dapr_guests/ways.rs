//! Each way in which guests send requests leads to Dapr's API without a socket.

use crate::{App, run};
use sampan_testing::{guest_for, http_send, temp_dir};

const ABSENT: &str = "http://localhost:3500/v1.0/state/absent/key";
const SAID: &str = "state store absent is not found";

#[test]
fn wasi_http_of_both_versions_and_the_experimental_one() {
    let home = temp_dir();
    for (target, guest) in
        [("wasm32-wasip2", "http-p2"), ("wasm32-wasip2", "http-p3"), ("wasm32-wasip1", "http-experimental")]
    {
        let wasm = guest_for(target, guest).display().to_string();
        let asked = run(&["--dapr", &wasm, "GET", ABSENT], home.path());
        assert!(asked.stdout.contains("status 400") && asked.stdout.contains(SAID), "{guest}: {asked:?}");
    }
}

#[test]
fn spins_own_http() {
    let guest = guest_for("wasm32-wasip2", "spin-inbound");
    let manifest = |grant: &str| {
        format!(
            "[component.app]\nsource = \"GUEST\"\n[component.old]\nsource = {guest:?}\ngrant = {{ dapr = [\"{grant}\"] }}\n\
             [[route]]\npath = \"/fetch\"\nto = \"old\"\n"
        )
    };
    let fetched = |app: &App| {
        let origin = ("x-origin", "http://127.0.0.1:3500/v1.0/invoke/shop/method");
        http_send(&*app.address, "GET", "/fetch", &[origin], b"").expect("an answer").text()
    };
    let app = App::up(&manifest("app:shop"));
    let said = fetched(&app);
    assert!(said.starts_with("200 POST /outbound shop from the guest, "), "{said}");
    let other = App::up(&manifest("app:other"));
    let said = fetched(&other);
    assert!(said.starts_with("403 ") && said.contains("ERR_PERMISSION_DENIED"), "{said}");
}

#[test]
fn grpc_over_wasi_http() {
    let home = temp_dir();
    let wasm = guest_for("wasm32-wasip2", "dapr-grpc").display().to_string();
    let asked = run(&["--dapr", &wasm, "statestore"], home.path());
    let said = format!("saved: ok\nfound: Death Star true\nget: ok\nabsent: InvalidArgument: {SAID}\n");
    assert_eq!((asked.code, &*asked.stdout, &*asked.stderr), (0, &*said, ""));
    let refused = run(&["--explain", &wasm, "statestore"], home.path());
    assert!(refused.stdout.contains("HttpRequestDenied"), "{refused:?}");
    assert!(refused.stderr.contains("grant it with --dapr"), "{refused:?}");
}
