//! Guests of Spin and of WASI's snapshots, as their own tools built them.

mod apps;
mod old;
mod serve;
