//! Real servers for tests: started on a free port with a folder of their own, gone with the test.

mod envoy;
mod janitor;
mod mariadb;
mod postgres;
mod redis;

pub use envoy::{Envoy, EnvoyFilter, envoy};
pub use mariadb::MariaDb;
pub use postgres::Postgres;
pub use redis::Redis;
