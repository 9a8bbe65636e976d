;; Grows a table until it is refused, then ends with 9: elements are memory too.
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (table $table 1 funcref)
  (func (export "_start")
    (loop $more
      (br_if $more
        (i32.ne (i32.const -1)
          (table.grow $table (ref.null func) (i32.const 1000000)))))
    (call $proc_exit (i32.const 9))))
