//! Mounts: errors, order, redirects.
