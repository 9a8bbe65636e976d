//! Ten thousand components in one process: what an idle one takes, and that each still answers.

use crate::harness::{get, run};
use sampan_app::{App, Component};
use sampan_capabilities::Backends;
use sampan_runtime::serve::{Machine, Progress, Setup, load};
use sampan_service::Handler;
use sampan_testing::temp_dir;
use std::sync::{Arc, Mutex};

const COMPONENTS: usize = 10_000;
/// What an idle component may take of memory, loaded or not.
const KIB_EACH: usize = 100;

/// A handler that does not answer, with a number in its memory that makes its code its own.
const TEMPLATE: &str = r#"
(component
  (import "wasi:http/types@0.2.0" (instance $types
    (export "incoming-request" (type (sub resource)))
    (export "response-outparam" (type (sub resource)))))
  (alias export $types "incoming-request" (type $request))
  (alias export $types "response-outparam" (type $out))
  (core module $code
    (memory (export "memory") 1)
    (data (i32.const 0) "number 00000000")
    (func (export "handle") (param i32 i32)))
  (core instance $instance (instantiate $code))
  (func $handle (param "request" (own $request)) (param "response-out" (own $out))
    (canon lift (core func $instance "handle")))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))
"#;

#[test]
fn ten_thousand_idle_components_fit() {
    run(async {
        let folder = temp_dir();
        let binary = wat::parse_str(TEMPLATE).unwrap();
        let at = binary.windows(8).position(|bytes| bytes == b"00000000").unwrap();
        let components = (0..COMPONENTS).map(|number| {
            let source = folder.path().join(format!("{number}.wasm"));
            let mut bytes = binary.clone();
            bytes[at..at + 8].copy_from_slice(format!("{number:08}").as_bytes());
            std::fs::write(&source, bytes).unwrap();
            Component { name: format!("c{number}"), source, lazy: true, ..Component::default() }
        });
        let app = App { name: "density".into(), components: components.collect(), ..App::default() };
        let log = Arc::default();
        let machine = machine_without_cache(&log);
        let before = resident_kib();
        let handlers = load(&machine, &app, &Backends::default(), &Progress::none()).await.unwrap();
        let known = resident_kib();
        // Each is asked once, which loads it; those that were not asked for longest make room.
        for number in 0..COMPONENTS {
            let response = handlers[&format!("c{number}")].handle(get("/")).await;
            // It does not answer: that is how it is seen to have run.
            assert_eq!(response.status(), 500, "component {number}: {:?}", log.lock().unwrap().last());
        }
        let after = resident_kib();
        let (declared, each) = ((known - before) / COMPONENTS, (after - before) / COMPONENTS);
        let loaded = machine.loaded();
        eprintln!("{declared} KiB each when known, {each} KiB each with {loaded} loaded");
        assert!(each <= KIB_EACH, "{each} KiB each, {loaded} loaded");
        assert!(loaded <= machine.plan.loaded);
    });
}

/// The cache would be filled with ten thousand artifacts that nobody needs again.
fn machine_without_cache(log: &Arc<Mutex<Vec<String>>>) -> Arc<Machine> {
    let log = Arc::clone(log);
    let log = Arc::new(move |name: &str, line: &str| {
        let mut log = log.lock().unwrap();
        log.clear();
        log.push(format!("[{name}] {line}"));
    });
    let setup = Setup { log, ..Default::default() };
    Machine::new(setup).unwrap_or_else(|failure| panic!("{failure:?}"))
}

/// The memory of this process.
fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
