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

/// A line that is meant to differ: of which question, in Envoy, in Sampan. docs/from-envoy.md says why.
const DIFFERENT: &[(&str, &str, &str)] = &[
    // A property that is not there is not found, whatever the reason; SDKs panic at other statuses.
    ("/ask/properties?a=b", "response -> 3 ", "response -> 1 "),
    ("/ask/properties?a=b", "source -> 3 ", "source -> 1 "),
    ("/ask/properties?a=b", " -> 3 ", " -> 1 "),
    (
        "/ask/properties?a=b",
        "response.size -> 0 \\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00",
        "response.size -> 1 ",
    ),
    ("/ask/properties?a=b", "response.total_size -> 0 8 bytes", "response.total_size -> 1 0 bytes"),
    ("/ask/properties?a=b", "response.flags -> 0 8 bytes", "response.flags -> 1 0 bytes"),
    // What is known is told.
    (
        "/ask/properties?a=b",
        "listener_direction -> 1 ",
        "listener_direction -> 0 \\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00",
    ),
    ("/ask/properties?a=b", "route_name -> 1 ", "route_name -> 0 /..."),
    ("/ask/properties?a=b", "request.duration -> 1 0 bytes", "request.duration -> 0 8 bytes"),
    ("/ask/properties?a=b", "request.id -> 0 36 bytes", "request.id -> 0 32 bytes"),
    // A value that is not there is not found, for the same reason.
    ("/ask/headers", "value of map 1 -> 2 ", "value of map 1 -> 1 "),
    ("/ask/headers", "size of map 1 -> 2", "size of map 1 -> 0"),
    ("/ask/headers", "value of map 2 -> 2 ", "value of map 2 -> 1 "),
    ("/ask/headers", "size of map 2 -> 2", "size of map 2 -> 0"),
    ("/ask/headers", "value of map 6 -> 2 ", "value of map 6 -> 1 "),
    ("/ask/headers", "size of map 6 -> 2", "size of map 6 -> 0"),
    ("/ask/headers", "value of map 99 -> 2 ", "value of map 99 -> 1 "),
    ("/ask/events", "event -> header 2", "event -> header 1"),
    // What HTTP cannot say is refused, and so is what is no list of pairs.
    ("/ask/odd-headers", "no name -> 0", "no name -> 2"),
    ("/ask/odd-headers", "space -> 0", "space -> 2"),
    ("/ask/odd-headers", "line break -> 0", "line break -> 2"),
    ("/ask/odd-headers", "set bad pairs -> 0", "set bad pairs -> 2"),
    ("/ask/odd-headers", "set too many pairs -> 0", "set too many pairs -> 2"),
    ("/ask/misc", "context 0 -> 0", "context 0 -> 2"),
    ("/ask/misc", "continue 3 -> 12", "continue 3 -> 0"),
    // The configuration is there for as long as the filter.
    ("/ask/buffers", "configuration -> 1 ", "configuration -> 0 configuration"),
    ("/ask/buffers", "more than there is -> 1 ", "more than there is -> 0 configuration"),
    ("/ask/buffers", "from 2 -> 1 ", "from 2 -> 0 nfi"),
    ("/ask/buffers", "from its end -> 1 ", "from its end -> 0 "),
    ("/ask/buffers", "past its end -> 1 ", "past its end -> 0 "),
    ("/ask/buffers", "overflow -> 1 ", "overflow -> 0 "),
    // Without a body there is no buffer.
    ("/ask/buffers", "buffer 0 -> 0 0", "buffer 0 -> 1 0"),
    ("/ask/buffers", "status 0 -> 0 0", "status 0 -> 1 0"),
    ("/ask/buffers", "set 0 -> 2", "set 0 -> 1"),
    ("/ask/buffers", "buffer 1 -> 0 0", "buffer 1 -> 1 0"),
    ("/ask/buffers", "status 1 -> 0 0", "status 1 -> 1 0"),
    ("/ask/buffers", "set 1 -> 2", "set 1 -> 1"),
    // What the request was is known while its response passes.
    ("/ask/response-ask", "x-report: request's path -> 2", "x-report: request's path -> 0 /ask/response-ask"),
    ("/ask/response-ask", "x-report: add to request -> 2", "x-report: add to request -> 0"),
    ("/ask/response-ask", "x-report: request.path -> 1", "x-report: request.path -> 0 /ask/response-ask"),
    ("/ask/response-ask", "x-report: cluster_name -> 1", "x-report: cluster_name -> 0 upstream"),
    // A response that is not gRPC's has no status of gRPC.
    (
        "/ask/response-ask",
        "x-report: response.grpc_status -> 0 \\x02\\x00\\x00\\x00\\x00\\x00\\x00\\x00",
        "x-report: response.grpc_status -> 1",
    ),
    // A server that refuses the connection is a bad gateway.
    (
        "/ask/call-refused",
        "x-report: called -> 0; has headers: true; :status 503;",
        "x-report: called -> 0; has headers: true; :status 502;",
    ),
    ("/ask/call-refused", ":status 503", ":status 502"),
];

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
        let theirs =
            ask.try_send(envoy.addresses[0], 0).map_or_else(|error| error.to_string(), |one| shown(&one));
        let ours = ask.try_send(site.address, 0).map_or_else(|error| error.to_string(), |one| shown(&one));
        let meant: Vec<_> = DIFFERENT.iter().filter(|(path, ..)| *path == ask.path).collect();
        used += meant.len();
        for (path, line, _) in &meant {
            assert!(theirs.lines().any(|one| one == *line), "{path}: Envoy does not say `{line}`:\n{theirs}");
        }
        let changed = |line| {
            let found = meant.iter().find(|(_, theirs, _)| *theirs == line);
            found.map_or(line, |(.., ours)| *ours).to_owned() + "\n"
        };
        let expected: String = theirs.lines().map(changed).collect();
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
