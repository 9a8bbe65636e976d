//! Interfaces of WASI that never became a release, for the guests that were built with them.
//!
//! Most of them are what was released a little later. The engine gives those the release's name, with a patch
//! version that tells the snapshot ([`OCTOBER_2023`], [`NOVEMBER_2023`]; `engine/wrap.rs` has the table), so that
//! the release's host calls answer them. What is here is the rest: single functions that had another form, and
//! wasi:http of October 2023, which differs everywhere and keeps its name.
//!
//! A component that imports such an interface of a snapshot and of the release, both with functions of one name
//! and different types, would not be linked. None is known: the preview 1 adapter uses no such function.

pub mod host;

/// The version that imports of 0.2.0-rc-2023-10-18 get.
pub const OCTOBER_2023: &str = "0.2.202310180000000";
/// The version that imports of 0.2.0-rc-2023-11-10 get.
pub const NOVEMBER_2023: &str = "0.2.202311100000000";
