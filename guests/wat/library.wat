;; Exports functions and nothing to start with: a plain module, no `_start`, no `_initialize`.
(module
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "pair") (param i64) (result i64 f64)
    (local.get 0) (f64.convert_i64_s (local.get 0))))
