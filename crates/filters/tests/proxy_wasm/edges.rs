//! Host functions at their edges, from a guest in the text format that checks every status.

use crate::greeter::Greeter;
use crate::harness::*;
use sampan_app::Filter as Spec;
use sampan_service::Handler;
use std::sync::Arc;

/// Its memory: a name at 100 (`greeter`), pairs for a call of HTTP at 200, results from 1000 on.
const HEAD: &str = r#"(module
  (import "env" "proxy_grpc_call" (func $call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_grpc_stream" (func $stream (param i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_grpc_send" (func $send (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_grpc_close" (func $close (param i32) (result i32)))
  (import "env" "proxy_grpc_cancel" (func $cancel (param i32) (result i32)))
  (import "env" "proxy_http_call" (func $http (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_call_foreign_function" (func $foreign (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_continue_stream" (func $continue (param i32) (result i32)))
  (import "env" "proxy_close_stream" (func $close_stream (param i32) (result i32)))
  (import "env" "proxy_get_buffer_bytes" (func $buffer (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_header_map_size" (func $map (param i32 i32) (result i32)))
  (import "env" "proxy_get_status" (func $status (param i32 i32 i32) (result i32)))
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (memory (export "memory") 128)
  (global $heap (mut i32) (i32.const 65536))
  (data (i32.const 100) "greeter")
  (data (i32.const 110) "Say")
  (data (i32.const 120) "compress")
  (data (i32.const 130) "declare_property")
  (data (i32.const 150) "\0a\03abc")
  (data (i32.const 160) "set_envoy_filter_state")
  (data (i32.const 190) "sign")
  (data (i32.const 200) "\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\01\00\00\00\0a\00\00\00\01\00\00\00:method\00GET\00:path\00/\00:authority\00a\00")
  (data (i32.const 300) "not as it should be: ?")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32)
    (global.set $heap (i32.add (global.get $heap) (local.get 0)))
    (i32.sub (global.get $heap) (local.get 0)))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func $is (param i32 i32 i32)
    (if (i32.ne (local.get 1) (local.get 2))
      (then
        (i32.store8 (i32.const 321) (i32.add (i32.const 48) (local.get 0)))
        (drop (call $log (i32.const 4) (i32.const 300) (i32.const 22)))
        (unreachable))))
  (func (export "proxy_on_configure") (param i32 i32) (result i32)
"#;

async fn check(rows: &[(&str, u32)]) {
    let mut wat = HEAD.to_owned();
    for (index, (call, status)) in rows.iter().enumerate() {
        let mut words = call.split(' ');
        wat.push_str(&format!("(call $is (i32.const {index}) (call ${}", words.next().unwrap()));
        for word in words {
            // What the call before has returned.
            let word = if word == "ID" { "i32.load (i32.const 1000)" } else { &format!("i32.const {word}") };
            wat.push_str(&format!(" ({word})"));
        }
        wat.push_str(&format!(") (i32.const {status}))\n"));
    }
    wat.push_str("(i32.const 1)))");
    let (surroundings, log) = surroundings();
    let greeter: Arc<dyn Handler> = Arc::new(Greeter);
    surroundings.destinations.set("greeter", &greeter);
    let spec = Spec { name: "edges".into(), ..Spec::default() };
    if let Err(error) = prove_wat(&surroundings, &spec, &wat).await {
        let log = log.lock().unwrap();
        let row = log.iter().find_map(|line| line.split("not as it should be: ").nth(1)?.bytes().next());
        panic!("{:?}: {error} {log:?}", row.map(|row| rows.get(usize::from(row.wrapping_sub(b'0')))));
    }
}

const FAR: i64 = 0x7fff_0000;

#[test]
fn grpc_at_its_edges() {
    let call = "call 100 7 110 3 110 3 0 0 0 0 1000 1000";
    let stream = "stream 100 7 110 3 110 3 0 0 1000";
    let far_call = format!("call {FAR} 7 110 3 110 3 0 0 0 0 1000 1000");
    let far_out = format!("call 100 7 110 3 110 3 0 0 0 0 1000 {FAR}");
    let far_message = format!("call 100 7 110 3 110 3 0 0 {FAR} 1 1000 1000");
    let far_stream = format!("stream 100 7 110 3 110 3 {FAR} 4 1000");
    let far_send = format!("send ID {FAR} 1 0");
    run(check(&[
        // Nothing is there yet.
        ("send 7 0 0 0", 1),
        ("close 7", 1),
        ("cancel 7", 1),
        // Pointers.
        (&far_call, 6),
        (&far_out, 6),
        (&far_message, 6),
        (&far_stream, 6),
        // A missing upstream, a service that is no path, metadata that is none.
        ("call 110 3 110 3 110 3 0 0 0 0 1000 1000", 4),
        ("stream 110 3 110 3 110 3 0 0 1000", 4),
        ("call 100 7 150 2 110 3 0 0 0 0 1000 1000", 4),
        ("call 100 7 110 3 110 3 100 7 0 0 1000 1000", 4),
        // A call: no stream, and cancelled once.
        (call, 0),
        ("send ID 0 0 0", 2),
        ("cancel ID", 0),
        ("cancel ID", 1),
        (call, 0),
        ("close ID", 0),
        ("close ID", 1),
        // A stream: nothing after its end, and then it is still there to be cancelled.
        (stream, 0),
        (&far_send, 6),
        ("send ID 100 7 0", 0),
        ("send ID 100 7 1", 0),
        ("send ID 100 7 0", 2),
        ("close ID", 0),
        ("close ID", 0),
        ("cancel ID", 0),
        ("send ID 100 7 0", 1),
        // So much may wait to be sent.
        (stream, 0),
        ("send ID 0 4194304 0", 0),
        ("send ID 0 4 0", 2),
        ("cancel ID", 0),
        // A call of HTTP is none of gRPC.
        ("http 100 7 200 61 0 0 0 0 1000 1000", 0),
        ("send ID 0 0 0", 2),
        ("close ID", 2),
        ("cancel ID", 2),
        // Outside of the callbacks there is nothing to read.
        ("buffer 5 0 9 1100 1104", 1),
        ("map 4 1100", 0),
        ("status 1100 1104 1108", 0),
    ]));
}

#[test]
fn foreign_functions_at_their_edges() {
    let far_name = format!("foreign {FAR} 8 0 0 1100 1104");
    let far_arguments = format!("foreign 120 8 {FAR} 1 1100 1104");
    let far_out = format!("foreign 120 8 0 0 {FAR} 1104");
    run(check(&[
        ("foreign 100 7 0 0 1100 1104", 1),
        ("foreign 0 0 0 0 0 0", 1),
        (&far_name, 6),
        (&far_arguments, 6),
        (&far_out, 6),
        // A result that is not wanted, or half.
        ("foreign 120 8 100 7 0 0", 0),
        ("foreign 120 8 100 7 1100 0", 0),
        ("foreign 120 8 100 7 0 1104", 0),
        ("foreign 120 8 100 7 1100 1104", 0),
        // More than it may be.
        ("foreign 120 8 0 1048577 0 0", 10),
        // Declared once; what is no message; no stream to set anything of; no key.
        ("foreign 130 16 150 5 0 0", 0),
        ("foreign 130 16 150 5 0 0", 2),
        ("foreign 130 16 150 4 0 0", 2),
        ("foreign 160 22 150 5 0 0", 1),
        ("foreign 190 4 150 5 0 0", 2),
        // Only inside of a callback that does not come.
        ("buffer 8 0 9 1100 1104", 1),
    ]));
}

#[test]
fn streams_of_tcp_at_their_edges() {
    run(check(&[
        ("continue 2", 0),
        ("continue 3", 0),
        ("continue 4", 2),
        ("close_stream 2", 0),
        ("close_stream 4", 2),
        ("buffer 2 0 9 1100 1104", 1),
        ("buffer 3 0 9 1100 1104", 1),
    ]));
}

#[test]
fn so_many_calls_and_no_more() {
    let call = "call 100 7 110 3 110 3 0 0 0 0 1000 1000";
    let rows: Vec<(&str, u32)> = (0..1025).map(|index| (call, if index < 1024 { 0 } else { 10 })).collect();
    run(check(&rows));
}
