//! Real servers for tests: started on a free port with a folder of their own, gone with the test.

mod containerd;
mod dockerd;
mod envoy;
mod janitor;
mod mariadb;
mod nats;
mod nginx;
mod postgres;
mod redis;
mod registry;

pub use containerd::{Containerd, NAMESPACE, RUNTIME};
pub use dockerd::{Dockerd, Engine, Setup};
pub use envoy::{Envoy, EnvoyFilter, envoy};
pub use mariadb::MariaDb;
pub use nats::Nats;
pub use nginx::Nginx;
pub use postgres::Postgres;
pub use redis::Redis;
pub use registry::{REGISTRY_BASIC, REGISTRY_PASSWORD, REGISTRY_USER, Registry, sha256};
