;; Imports a function that nobody provides.
(module
  (import "nowhere" "nothing" (func))
  (func (export "_start")))
