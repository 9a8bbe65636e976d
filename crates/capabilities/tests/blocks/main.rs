//! Dapr's small building blocks on the real servers: secrets, watched configuration, locks, bindings.

mod bindings;
mod bindings_postgres;
mod configuration;
mod http_binding;
mod local_storage;
mod lock;
mod secrets;
mod with;
