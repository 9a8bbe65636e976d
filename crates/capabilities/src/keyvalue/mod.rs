//! Key-value stores: the embedded one, Redis, memory; one set of data behind every interface.

pub mod host;
