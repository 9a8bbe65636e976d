//! Sockets as guests see them: one file per interface.

pub(crate) mod preview1;
mod preview1_lookup;
pub(crate) mod wire;
#[cfg(test)]
mod wire_tests;
