//! The life of containers.
