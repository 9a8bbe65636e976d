;; Claims 4 GiB of memory before it does anything.
(module
  (memory (export "memory") 65536)
  (func (export "_start") (i32.store (i32.const 0) (i32.const 1))))
