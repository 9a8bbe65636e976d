//! One suite, run on every backend, and what is special about each.
