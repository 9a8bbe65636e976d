//! Filters that break the rules, and what it costs everybody else: nothing.

use crate::harness::*;
use sampan_app::{Filter as Spec, OnFailure};

#[test]
fn a_trap_is_a_503_and_the_next_request_gets_a_new_vm() {
    run(async {
        let filtered = filtered(spec("proxy-headers", "c")).await;
        assert_eq!(filtered.get("/fine").await.status, 200);
        for path in ["/panic", "/late-panic", "/invalid"] {
            assert_eq!(filtered.get(path).await.status, 503, "{path}");
            assert_eq!(filtered.get("/fine").await.status, 200, "after {path}");
        }
        assert_eq!(filtered.failures("trap"), 3);
        assert!(filtered.logged("as it was asked") > 0);
    });
}

#[test]
fn with_open_a_trap_is_as_if_the_filter_were_not_there() {
    run(async {
        let spec = Spec { on_failure: OnFailure::Open, ..spec("proxy-headers", "c") };
        let filtered = filtered(spec).await;
        let read = filtered.get("/panic").await;
        assert_eq!((read.status, read.header("got-x-count"), read.header("x-filter")), (200, "-", "-"));
        let read = filtered.get("/late-panic").await;
        assert_eq!((read.status, read.header("x-filter"), read.body.as_str()), (200, "-", "echo"));
    });
}

#[test]
fn a_loop_ends_by_its_time_and_holds_nobody_up() {
    run(async {
        let filtered = filtered(spec("proxy-headers", "c")).await;
        assert_eq!(filtered.get("/fine").await.status, 200);
        for (number, path) in [(1, "/loop"), (2, "/late-loop")] {
            let mut looping = filtered.handler.handle(get(path));
            assert!(is_waiting(&mut looping).await);
            // The guest goes on elsewhere; others get another VM.
            assert_eq!(filtered.get("/meanwhile").await.status, 200);
            assert!(is_waiting(&mut looping).await);
            assert_eq!(looping.await.status(), 503);
            assert_eq!(filtered.failures("cpu"), number, "{path}");
        }
    });
}

#[test]
fn after_a_failure_requests_are_kept_apart() {
    run(async {
        let filtered = filtered(spec("proxy-headers", "c")).await;
        // Healthy: two exchanges share a VM, and the one that waits goes down with the other.
        let mut paused = filtered.handler.handle(get("/pause"));
        assert!(is_held_up(&mut paused).await);
        assert_eq!(filtered.get("/panic").await.status, 503);
        assert_eq!(paused.await.status(), 503);
        // From now on each has its own.
        let mut paused = filtered.handler.handle(get("/pause"));
        assert!(is_held_up(&mut paused).await);
        assert_eq!(filtered.get("/panic").await.status, 503);
        assert!(is_held_up(&mut paused).await);
    });
}

#[test]
fn a_crash_loop_opens_the_breaker() {
    run(async {
        let filtered = filtered(spec("proxy-headers", "c")).await;
        for _ in 0..5 {
            assert_eq!(filtered.get("/panic").await.status, 503);
        }
        assert_eq!(filtered.metric("filter_breaker_open", ""), 1);
        assert_eq!(filtered.get("/fine").await.status, 503);
        while filtered.get("/fine").await.status == 503 {
            tokio::task::yield_now().await;
        }
        assert_eq!(filtered.metric("filter_breaker_open", ""), 0);
    });
}

#[test]
fn a_client_that_leaves_a_long_call_does_not_end_it() {
    run(async {
        let filtered = filtered(spec("proxy-headers", "c")).await;
        let mut looping = filtered.handler.handle(get("/loop"));
        assert!(is_held_up(&mut looping).await);
        drop(looping);
        filtered.until("the loop ends", |one| one.failures("cpu") == 1).await;
        assert_eq!(filtered.get("/fine").await.status, 200);
    });
}

#[test]
fn a_configuration_that_is_refused_never_serves() {
    run(async {
        let (surroundings, _) = surroundings();
        let error = version(&surroundings, &spec("proxy-headers", "refuse")).await.err().unwrap();
        assert!(error.contains("proxy_on_configure returned false"), "{error}");
    });
}

/// A module with a marker, a memory and an allocator, and this in it.
fn wat(more: &str) -> String {
    format!(
        r#"(module
            {more}
            (memory (export "memory") 1)
            (func (export "proxy_abi_version_0_2_1"))
            (global $top (mut i32) (i32.const 1024))
            (func $malloc (param i32) (result i32)
                (global.get $top) (global.set $top (i32.add (global.get $top) (local.get 0))))
            (export "malloc" (func $malloc)))"#
    )
}

#[test]
fn modules_that_are_no_filters_are_refused_with_a_reason() {
    run(async {
        for (module, reason) in [
            ("(module)".to_owned(), "it is no filter"),
            (
                r#"(module (func (export "proxy_on_request_headers")))"#.to_owned(),
                "does not say of which version",
            ),
            (wat(r#"(func (export "proxy_abi_version_0_1_0"))"#), "of two versions"),
            (r#"(module (func (export "proxy_abi_version_0_3_0")))"#.to_owned(), "is not known"),
            (r#"(module (func (export "proxy_abi_version_0_2_1")))"#.to_owned(), "no memory named"),
            (wat(r#"(import "env" "proxy_fly" (func))"#), "env `proxy_fly`"),
            (wat(r#"(import "env" "proxy_log" (func (param i64)))"#), "proxy_log"),
            (wat(r#"(func (export "proxy_on_request_headers") (param i64))"#), "proxy_on_request_headers"),
            (
                wat(r#"(func (export "proxy_on_vm_start") (param i32 i32) (result i32) i32.const 0)"#),
                "returned false",
            ),
            (wat(r#"(func (export "_start") unreachable)"#), "unreachable"),
            (
                wat(r#"(func (export "proxy_on_configure") (param i32 i32) (result i32) unreachable)"#),
                "unreachable",
            ),
            (
                wat(
                    r#"(func (export "proxy_on_configure") (param i32 i32) (result i32) (loop br 0) i32.const 1)"#,
                ),
                "processor time",
            ),
            (
                wat(r#"(func (export "proxy_on_configure") (param i32 i32) (result i32)
                    (loop (drop (memory.grow (i32.const 1))) br 0) i32.const 1)"#),
                "limits.memory",
            ),
        ] {
            let error = refused(&module).await;
            assert!(error.contains(reason), "{error:?} does not say {reason:?}");
        }
    });
}

#[test]
fn pointers_that_are_wrong_are_said_to_be() {
    run(async {
        // Each call must return 6, or the guest refuses its configuration.
        for (import, call) in [
            ("proxy_log (param i32 i32 i32)", "i32.const 2 i32.const -1 i32.const 8"),
            ("proxy_get_current_time_nanoseconds (param i32)", "i32.const 65530"),
            (
                "proxy_get_buffer_bytes (param i32 i32 i32 i32 i32)",
                "i32.const 7 i32.const 0 i32.const 9 i32.const -4 i32.const 0",
            ),
            (
                "proxy_get_property (param i32 i32 i32 i32)",
                "i32.const 65000 i32.const 65000 i32.const 0 i32.const 4",
            ),
            (
                "proxy_set_shared_data (param i32 i32 i32 i32 i32)",
                "i32.const 0 i32.const 1 i32.const -1 i32.const 1 i32.const 0",
            ),
            (
                "proxy_define_metric (param i32 i32 i32 i32)",
                "i32.const 0 i32.const 0 i32.const 1 i32.const -1",
            ),
        ] {
            let (name, params) = import.split_once(' ').unwrap();
            let module = wat(&format!(
                r#"(import "env" "{name}" (func $f {params} (result i32)))
                (func (export "proxy_on_configure") (param i32 i32) (result i32)
                    (i32.eq (call $f {call}) (i32.const 6)))"#
            ));
            let (surroundings, _) = surroundings();
            let spec = Spec { config: "config".into(), ..Spec::default() };
            let proven = prove_wat(&surroundings, &spec, &module).await;
            assert!(proven.is_ok(), "{name}: {:?}", proven.err());
        }
    });
}

#[test]
fn an_allocator_that_lies_ends_its_own_call() {
    run(async {
        for address in ["0", "-8"] {
            let module = format!(
                r#"(module
                    (import "env" "proxy_get_header_map_value"
                        (func $get (param i32 i32 i32 i32 i32) (result i32)))
                    (memory (export "memory") 1)
                    (data (i32.const 0) ":path")
                    (func (export "proxy_abi_version_0_2_1"))
                    (func (export "malloc") (param i32) (result i32) i32.const {address})
                    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                        (call $get (i32.const 0) (i32.const 0) (i32.const 5) (i32.const 100) (i32.const 104))))"#
            );
            let filtered = filtered_wat(Spec { name: "liar".into(), ..Spec::default() }, &module).await;
            assert_eq!(filtered.get("/").await.status, 503);
            assert!(filtered.logged("wrong address") > 0);
        }
    });
}

#[test]
fn a_filter_without_callbacks_changes_nothing() {
    run(async {
        let filtered = filtered_wat(Spec { name: "nothing".into(), ..Spec::default() }, &wat("")).await;
        let read = filtered.post("a body").await;
        assert_eq!((read.status, read.body.as_str()), (200, "a body"));
    });
}

#[test]
fn the_oldest_version_has_its_own_signatures() {
    run(async {
        let module = r#"(module
            (import "env" "proxy_continue_request" (func $continue))
            (import "env" "proxy_clear_route_cache" (func $clear (result i32)))
            (import "env" "proxy_get_configuration" (func $config (param i32 i32) (result i32)))
            (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (data (i32.const 0) "missing")
            (func (export "proxy_abi_version_0_1_0"))
            (func (export "malloc") (param i32) (result i32) i32.const 1024)
            (func (export "proxy_on_configure") (param i32 i32) (result i32)
                (drop (call $config (i32.const 100) (i32.const 104)))
                (i32.eq (i32.load8_u (i32.load (i32.const 100))) (i32.const 99)))
            (func (export "proxy_on_request_headers") (param i32 i32) (result i32)
                (drop (call $clear))
                (call $continue)
                ;; A missing header is an empty one: 0, and then it stops.
                (i32.eqz (call $get (i32.const 0) (i32.const 0) (i32.const 7) (i32.const 100) (i32.const 104)))))"#;
        let spec = Spec { name: "oldest".into(), config: "c".into(), ..Spec::default() };
        assert_eq!(filtered_wat(spec, module).await.get("/").await.status, 200);
    });
}

#[test]
fn a_filter_that_takes_all_memory_gets_no_more_than_its_own() {
    run(async {
        let module = wat(r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                (loop (drop (memory.grow (i32.const 16))) br 0) i32.const 0)"#);
        let filtered = filtered_wat(Spec { name: "greedy".into(), ..Spec::default() }, &module).await;
        assert_eq!(filtered.get("/").await.status, 503);
        assert_eq!(filtered.failures("memory"), 1);
    });
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn statuses_are_those_that_sdks_know() {
    run(async {
        // What a function returns in `on_request_headers` becomes the request's path.
        for (import, call, expected) in [
            // There are no response headers yet: to read them is not found, to write them a mistake.
            (
                "proxy_get_header_map_value (param i32 i32 i32 i32 i32)",
                "i32.const 2 i32.const 0 i32.const 1 i32.const 16 i32.const 20",
                "1",
            ),
            ("proxy_get_header_map_pairs (param i32 i32 i32)", "i32.const 2 i32.const 16 i32.const 20", "0"),
            ("proxy_get_header_map_pairs (param i32 i32 i32)", "i32.const 99 i32.const 16 i32.const 20", "2"),
            (
                "proxy_replace_header_map_value (param i32 i32 i32 i32 i32)",
                "i32.const 2 i32.const 0 i32.const 1 i32.const 0 i32.const 1",
                "2",
            ),
            ("proxy_remove_header_map_value (param i32 i32 i32)", "i32.const 0 i32.const 0 i32.const 1", "0"),
            ("proxy_get_header_map_size (param i32 i32)", "i32.const 9 i32.const 16", "2"),
            ("proxy_set_header_map_pairs (param i32 i32 i32)", "i32.const 0 i32.const 0 i32.const 3", "2"),
            ("proxy_log (param i32 i32 i32)", "i32.const 6 i32.const 0 i32.const 1", "2"),
            ("proxy_get_log_level (param i32)", "i32.const 16", "0"),
            (
                "proxy_get_buffer_bytes (param i32 i32 i32 i32 i32)",
                "i32.const 0 i32.const 0 i32.const 9 i32.const 16 i32.const 20",
                "1",
            ),
            (
                "proxy_get_buffer_bytes (param i32 i32 i32 i32 i32)",
                "i32.const 9 i32.const 0 i32.const 9 i32.const 16 i32.const 20",
                "2",
            ),
            (
                "proxy_set_buffer_bytes (param i32 i32 i32 i32 i32)",
                "i32.const 0 i32.const 0 i32.const 9 i32.const 0 i32.const 1",
                "1",
            ),
            ("proxy_get_buffer_status (param i32 i32 i32)", "i32.const 7 i32.const 16 i32.const 20", "0"),
            ("proxy_continue_stream (param i32)", "i32.const 4", "2"),
            ("proxy_close_stream (param i32)", "i32.const 4", "2"),
            ("proxy_set_effective_context (param i32)", "i32.const 77", "2"),
            ("proxy_done", "", "1"),
            (
                "proxy_get_shared_data (param i32 i32 i32 i32 i32)",
                "i32.const 0 i32.const 1 i32.const 16 i32.const 20 i32.const 24",
                "1",
            ),
            ("proxy_dequeue_shared_queue (param i32 i32 i32)", "i32.const -1 i32.const 16 i32.const 20", "1"),
            ("proxy_enqueue_shared_queue (param i32 i32 i32)", "i32.const -1 i32.const 0 i32.const 1", "1"),
            (
                "proxy_resolve_shared_queue (param i32 i32 i32 i32 i32)",
                "i32.const 0 i32.const 0 i32.const 0 i32.const 1 i32.const 16",
                "1",
            ),
            (
                "proxy_define_metric (param i32 i32 i32 i32)",
                "i32.const 3 i32.const 0 i32.const 1 i32.const 16",
                "2",
            ),
            ("proxy_get_metric (param i32 i32)", "i32.const -1 i32.const 16", "1"),
            (
                "proxy_get_property (param i32 i32 i32 i32)",
                "i32.const 0 i32.const 1 i32.const 16 i32.const 20",
                "1",
            ),
            (
                "proxy_send_local_response (param i32 i32 i32 i32 i32 i32 i32 i32)",
                "i32.const 99 i32.const 0 i32.const 0 i32.const 0 i32.const 0 i32.const 0 i32.const 0 i32.const -1",
                "2",
            ),
            (
                "proxy_call_foreign_function (param i32 i32 i32 i32 i32 i32)",
                "i32.const 0 i32.const 1 i32.const 0 i32.const 0 i32.const 0 i32.const 0",
                "1",
            ),
        ] {
            let (name, params) = import.split_once(' ').unwrap_or((import, ""));
            let module = wat(&format!(
                r#"(import "env" "{name}" (func $f {params} (result i32)))
                (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
                (data (i32.const 0) "z\00\00\00status0123456789:;<")
                (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                    (call $add (i32.const 0) (i32.const 4) (i32.const 6)
                        (i32.add (i32.const 10) (call $f {call})) (i32.const 1)))"#
            ));
            let filtered = filtered_wat(Spec { name: "asks".into(), ..Spec::default() }, &module).await;
            assert_eq!(filtered.get("/").await.header("got-status"), expected, "{name} {call}");
        }
    });
}

#[test]
fn a_context_that_asks_for_time_ends_when_it_says_so() {
    run(async {
        let module = wat(r#"
            (import "env" "proxy_set_tick_period_milliseconds" (func $tick (param i32) (result i32)))
            (import "env" "proxy_set_effective_context" (func $effective (param i32) (result i32)))
            (import "env" "proxy_done" (func $done (result i32)))
            (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
            (data (i32.const 0) "logged")
            (global $leaving (mut i32) (i32.const 0))
            (func (export "proxy_on_configure") (param i32 i32) (result i32)
                (i32.eqz (call $tick (i32.const 1))))
            (func (export "proxy_on_done") (param i32) (result i32)
                (global.set $leaving (local.get 0)) i32.const 0)
            (func (export "proxy_on_log") (param i32)
                (drop (call $log (i32.const 2) (i32.const 0) (i32.const 6))))
            (func (export "proxy_on_tick") (param i32)
                (if (global.get $leaving) (then
                    (drop (call $effective (global.get $leaving)))
                    (drop (call $done))
                    (global.set $leaving (i32.const 0)))))"#);
        let filtered = filtered_wat(Spec { name: "slow".into(), ..Spec::default() }, &module).await;
        assert_eq!(filtered.get("/").await.status, 200);
        assert_eq!(filtered.logged("info: logged"), 0);
        filtered.until("the context ends", |one| one.logged("info: logged") == 1).await;
    });
}
