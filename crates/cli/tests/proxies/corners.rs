//! The odd questions of guests/proxy-corners: Envoy's answers are what ours have to be, but for the lines of
//! [`DIFFERENT`].

use crate::site::Site;
use crate::{Ask, get, post, shown, upstream};
use sampan_testing::servers::{Envoy, EnvoyFilter};
use sampan_testing::{free_port, guest};
use std::net::SocketAddr;

const ASKS: &[Ask] = &[
    get("/ask/properties?a=b"),
    get("/ask/headers"),
    get("/ask/odd-headers"),
    get("/ask/shared"),
    get("/ask/queue"),
    get("/ask/metrics"),
    get("/ask/misc"),
    get("/ask/buffers"),
    get("/ask/pointers"),
    get("/ask/calls"),
    get("/ask/events"),
    get("/ask/local-continue"),
    get("/ask/local-empty"),
    get("/ask/local-headers"),
    get("/ask/rewrite"),
    get("/ask/set-all"),
    get("/ask/tick"),
    get("/ask/call"),
    get("/ask/call-refused"),
    get("/ask/call-two"),
    post("/ask/request-local"),
    post("/ask/request-prepend"),
    post("/ask/request-append"),
    post("/ask/request-far"),
    post("/ask/request-replace"),
    post("/ask/request-replace-more"),
    post("/ask/request-first"),
    post("/ask/request-middle"),
    post("/ask/request-clear"),
    post("/ask/request-twice"),
    post("/ask/request-read"),
    get("/ask/response-local"),
    get("/ask/response-status"),
    get("/ask/response-remove-status"),
    get("/ask/response-ask"),
    get("/ask/response-call"),
    post("/ask/body-prepend"),
    post("/ask/body-append"),
    post("/ask/body-far"),
    post("/ask/body-replace"),
    post("/ask/body-replace-more"),
    post("/ask/body-first"),
    post("/ask/body-middle"),
    post("/ask/body-clear"),
    post("/ask/body-twice"),
];

/// A line that is meant to differ: of which question, in Envoy, in Sampan.
const DIFFERENT: &[(&str, &str, &str)] = &[];

fn filter() -> EnvoyFilter {
    EnvoyFilter {
        wasm: guest("proxy-corners"),
        root_id: "root".to_owned(),
        vm_id: "vm".to_owned(),
        vm_configuration: "vm configuration".to_owned(),
        configuration: "configuration".to_owned(),
    }
}

#[test]
fn odd_questions_have_the_same_answers_in_sampan_as_in_envoy() {
    let chains = [vec![filter()]];
    let upstream = upstream();
    // Nobody listens there.
    let refused = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let clusters = [("upstream", upstream.address), ("refused", refused)];
    let Some(envoy) = Envoy::start(&chains, &clusters) else { return };
    let site = Site::start(&chains, &clusters);
    let mut wrong = String::new();
    let mut used = 0;
    for ask in ASKS {
        let theirs = shown(&ask.send(envoy.addresses[0], 0));
        let ours = shown(&ask.send(site.address, 0));
        let meant: Vec<_> = DIFFERENT.iter().filter(|(path, ..)| *path == ask.path).collect();
        used += meant.len();
        let expected = meant.iter().fold(theirs, |text, (path, theirs, ours)| {
            assert!(text.contains(theirs), "{path}: Envoy does not say `{theirs}`:\n{text}");
            text.replace(theirs, ours)
        });
        for (ours, expected) in ours.lines().zip(expected.lines()).filter(|(ours, expected)| ours != expected)
        {
            wrong += &format!("{}:\n  expected {expected}\n  but got  {ours}\n", ask.path);
        }
        if ours.lines().count() != expected.lines().count() {
            wrong += &format!("{}: expected\n{expected}\nbut got\n{ours}\n", ask.path);
        }
    }
    assert_eq!(wrong, "");
    assert_eq!(used, DIFFERENT.len(), "a difference is of no question");
}
