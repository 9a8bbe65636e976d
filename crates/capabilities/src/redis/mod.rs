//! Redis as Spin's guests use it.

pub mod host;
