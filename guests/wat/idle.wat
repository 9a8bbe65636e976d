;; Waits for ever, a tenth of a second at a time.
(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  ;; A subscription to the monotonic clock, for 100,000,000 ns from now.
  (data (i32.const 16) "\01\00\00\00\00\00\00\00\00\e1\f5\05\00\00\00\00")
  (func (export "_start")
    (loop $again
      (drop (call $poll_oneoff (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))
      (br $again))))
