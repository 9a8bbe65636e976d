;; Does all of its work in the start section: no `_start`, and only the memory is exported, as programs of
;; AssemblyScript may look.
(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\08\00\00\00\1d\00\00\00")
  (data (i32.const 8) "hello from the start section\n")
  (func $main
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 4))))
  (start $main))
