//! Sockets as guests see them: one file per interface.
//!
//! Components get wasmtime-wasi's own calls, but for a few in which our answer is more than the yes or no of
//! its address check: binding (a guest's port is another one on the host), reading the local address (the
//! way back), and looking up names; and counting bytes, where somebody asks ([`counted`]). Connecting, listening, sending and receiving pass the check, which
//! [`super::Sockets`] answers. If a replacement were missing, the check would refuse the unmapped address,
//! and looking up names is not enabled there: nothing more would be allowed.

mod counted;
mod counted_p3;
mod lookup;
pub(crate) mod preview1;
mod preview1_lookup;
pub(crate) mod wasi_p2;
pub(crate) mod wasi_p3;
pub(crate) mod wire;
#[cfg(test)]
mod wire_tests;
