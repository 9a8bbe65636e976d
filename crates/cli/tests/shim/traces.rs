//! Traces of the shim: what a collector of OpenTelemetry gets, and that nothing depends on one.

use crate::docker::{good, load};
use crate::{image, import_guest, run, status, wait_until};
use sampan_testing::servers::{Containerd, Dockerd, Engine, Setup};
use sampan_testing::{CollectedSpan, Collector, TcpServer, free_port};
use std::time::{Duration, Instant};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const ABOVE: &str = "b7ad6b7169203331";

/// What sends spans to the collector soon, and names a parent as who starts containerd would.
fn variables(endpoint: String) -> Vec<(&'static str, String)> {
    vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
        ("OTEL_BSP_SCHEDULE_DELAY", "50".to_owned()),
        ("TRACEPARENT", format!("00-{TRACE}-{ABOVE}-01")),
    ]
}

fn named<'a>(spans: &'a [CollectedSpan], name: &str, container: &str) -> Option<&'a CollectedSpan> {
    let is = |span: &&CollectedSpan| {
        span.name == name && span.attributes.get("container.id").is_some_and(|id| id == container)
    };
    spans.iter().find(is)
}

/// Of the process that joins the container, not of its first.
fn of_second(span: &CollectedSpan) -> bool {
    span.attributes.contains_key("containerd.exec.id")
}

#[test]
fn a_container_s_life_is_traced() {
    let collector = Collector::start();
    let Some(server) = Containerd::start_with(false, &variables(collector.endpoint())) else { return };
    import_guest(&server, "endless");
    let ctr = |args: &[&str]| assert_eq!(server.ctr(args).code, 0, "{args:?}");
    ctr(&run(&["--detach"], &image("endless"), &["traced"]));
    ctr(&["task", "metrics", "traced"]);
    let joined = server.ctr_start(&["task", "exec", "--exec-id", "second", "traced", "/endless.wasm"]);
    wait_until("two processes", || server.ctr(&["task", "ps", "traced"]).stdout.contains("second"));
    ctr(&["task", "kill", "--signal", "SIGTERM", "--exec-id", "second", "traced"]);
    assert_eq!(joined.finish().code, 143);
    ctr(&["task", "pause", "traced"]);
    assert_ne!(server.ctr(&["task", "pause", "traced"]).code, 0, "it is paused already");
    ctr(&["task", "kill", "--signal", "SIGKILL", "traced"]);
    wait_until("the end", || status(&server, "traced").unwrap().1 == "STOPPED");
    server.ctr(&["task", "delete", "traced"]);

    let mut spans = Vec::new();
    wait_until("all spans", || {
        spans = collector.spans();
        spans.iter().any(|span| span.name == "task/Delete" && !of_second(span))
    });
    for name in ["Create", "Start", "Exec", "Kill", "Stats", "Pause", "Wait", "Delete"] {
        let span = named(&spans, &format!("task/{name}"), "traced");
        let span = span.unwrap_or_else(|| panic!("no {name}: {spans:?}"));
        assert_eq!((span.trace.as_str(), span.parent.as_str()), (TRACE, ABOVE), "{span:?}");
        assert_eq!(span.service, "containerd-shim-sampan-v1");
        assert_eq!(span.attributes["containerd.namespace"], "sampan-test");
        assert_eq!(span.attributes["rpc.method"], name);
        assert!(span.began_ns <= span.ended_ns);
    }
    // What took the time.
    let create = named(&spans, "task/Create", "traced").unwrap();
    for name in ["load the guest", "make the process"] {
        let step = spans.iter().find(|span| span.name == name && span.parent == create.id);
        let step = step.unwrap_or_else(|| panic!("no `{name}` in {create:?}: {spans:?}"));
        assert_eq!(step.trace, TRACE);
        assert!(create.began_ns <= step.began_ns && step.ended_ns <= create.ended_ns, "{step:?} {create:?}");
    }
    assert!(spans.iter().filter(|span| of_second(span)).any(|span| span.name == "task/Start"), "{spans:?}");
    // What came of it.
    let ended = spans.iter().find(|span| span.name == "task/Delete" && !of_second(span)).unwrap();
    assert_eq!((ended.attributes["process.exit.code"].as_str(), &ended.error), ("137", &None));
    let failed = spans.iter().filter_map(|span| span.error.as_deref());
    assert!(failed.into_iter().any(|error| error.contains("does not run")), "{spans:?}");
}

/// Docker and containerd trace too, and hand over whose part a call is.
#[test]
fn a_trace_leads_from_docker_to_the_shim() {
    let collector = Collector::start();
    let env = variables(collector.endpoint())[..2].to_vec();
    let setup = Setup { env, shares_network: true, ..Setup::of(Engine::Debian("sid")) };
    let Some(docker) = Dockerd::start(&setup) else { return };
    load(&docker, "linux/amd64");
    good(&docker, &["run", "--name", "traced", "--runtime", "io.containerd.sampan.v1", "guests"]);
    let id = good(&docker, &["inspect", "-f", "{{.Id}}", "traced"]);
    good(&docker, &["rm", "traced"]);
    let mut spans = Vec::new();
    wait_until("a span of the shim's that began in Docker", || {
        spans = collector.spans();
        let Some(create) = named(&spans, "task/Create", &id) else { return false };
        let above = spans.iter().find(|span| span.id == create.parent && span.trace == create.trace);
        above.is_some_and(|above| above.service == "containerd")
    });
    let create = named(&spans, "task/Create", &id).unwrap();
    // Also where containerd's own name is in the environment, as containerd 2 has it for itself.
    assert_eq!(create.service, "containerd-shim-sampan-v1");
    assert!(spans.iter().any(|span| span.trace == create.trace && span.service == "dockerd"));
}

#[test]
fn a_collector_that_is_down_is_a_line_in_the_log() {
    let endpoint = format!("http://127.0.0.1:{}", free_port());
    let Some(mut server) = Containerd::start_with(false, &variables(endpoint)) else { return };
    import_guest(&server, "endless");
    assert_eq!(server.ctr(&run(&["--detach"], &image("endless"), &["untraced"])).code, 0);
    server.wait_for_log("traces are lost until");
    assert_eq!(server.ctr(&["task", "kill", "--signal", "SIGKILL", "untraced"]).code, 0);
    wait_until("the end", || status(&server, "untraced").unwrap().1 == "STOPPED");
    assert!(server.ctr(&["task", "delete", "untraced"]).stderr.contains("137"));
}

#[test]
fn nobody_waits_for_a_collector_that_stalls() {
    let collector = TcpServer::start(|stream| {
        // It reads, and never answers.
        std::io::copy(&mut &stream, &mut std::io::sink()).map(drop)
    });
    let mut env = variables(format!("http://{}", collector.address));
    env.push(("OTEL_EXPORTER_OTLP_TIMEOUT", "600000".to_owned()));
    let Some(server) = Containerd::start_with(false, &env) else { return };
    import_guest(&server, "hello");
    let begun = Instant::now();
    let finished = server.ctr(&run(&["--rm"], &image("hello"), &["stalled"]));
    assert_eq!((finished.code, finished.stdout.as_str()), (0, "Hello from a guest!\n"), "{finished:?}");
    let address = server.address().display().to_string();
    let shims = || crate::rounds::processes(&format!("-address\0{address}\0-socket"));
    wait_until("the shim ends", || shims() == 0);
    assert!(begun.elapsed() < Duration::from_secs(30), "it does not wait for the time limit");
}
