//! SQL databases: SQLite, PostgreSQL, MySQL.

pub mod host;
