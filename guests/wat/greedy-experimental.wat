;; Tries each call of `wasi_experimental_http`; every export returns the call's own result code.
(module
  (import "wasi_experimental_http" "req"
    (func $req (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_experimental_http" "close" (func $close (param i32) (result i32)))
  (import "wasi_experimental_http" "header_get"
    (func $header_get (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_experimental_http" "headers_get_all"
    (func $headers_get_all (param i32 i32 i32 i32) (result i32)))
  (import "wasi_experimental_http" "body_read" (func $body_read (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "http://127.0.0.1:")
  (data (i32.const 100) "GET")
  (data (i32.const 110) "server")
  ;; Writes the port, which has five digits, behind the address, and sends a request there.
  (func (export "req") (param $port i32) (result i32)
    (local $digit i32)
    (local.set $digit (i32.const 21))
    (loop $next
      (i32.store8 (local.get $digit) (i32.add (i32.const 48) (i32.rem_u (local.get $port) (i32.const 10))))
      (local.set $port (i32.div_u (local.get $port) (i32.const 10)))
      (local.set $digit (i32.sub (local.get $digit) (i32.const 1)))
      (br_if $next (i32.gt_s (local.get $digit) (i32.const 16))))
    (call $req (i32.const 0) (i32.const 22) (i32.const 100) (i32.const 3) (i32.const 0) (i32.const 0)
      (i32.const 0) (i32.const 0) (i32.const 200) (i32.const 204)))
  (func (export "close") (param $handle i32) (result i32) (call $close (local.get $handle)))
  (func (export "header_get") (param $handle i32) (result i32)
    (call $header_get (local.get $handle) (i32.const 110) (i32.const 6) (i32.const 300) (i32.const 100) (i32.const 200)))
  (func (export "headers_get_all") (param $handle i32) (result i32)
    (call $headers_get_all (local.get $handle) (i32.const 300) (i32.const 100) (i32.const 200)))
  (func (export "body_read") (param $handle i32) (result i32)
    (call $body_read (local.get $handle) (i32.const 300) (i32.const 100) (i32.const 200))))
