//! Databases on the real servers: what guests get from them, and what nobody gets out of them.

mod failures;
mod guests;
mod lifecycle;
mod postgres_values;
mod sqlite_policy;
mod statements;
mod tls;
mod values;
mod with;
