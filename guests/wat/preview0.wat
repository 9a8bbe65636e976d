;; Speaks `wasi_unstable`, the first draft of WASI: prints a line and ends with code 3.
(module
  (import "wasi_unstable" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_unstable" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\08\00\00\00\15\00\00\00")
  (data (i32.const 8) "hello from preview 0\n")
  (func (export "_start")
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 4)))
    (call $proc_exit (i32.const 3))))
