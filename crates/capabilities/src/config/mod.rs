//! Variables and secrets.

pub mod host;
