//! SQL databases: SQLite, PostgreSQL, MySQL. What a statement takes and gives, and what can go wrong.
//!
//! A guest's handle is a [`Connection`]: a task on the drivers' runtime that owns one connection of a pool
//! until the handle is dropped. So a transaction stays on its connection, a guest on another runtime needs
//! nothing from it but channels, and whoever goes away cancels what it asked for.

mod address;
mod connection;
mod databases;
pub mod host;
mod mysql;
mod mysql_values;
mod pool;
mod postgres;
mod postgres_decode;
mod postgres_encode;
mod sqlite;
mod sqlite_policy;
mod tls;
mod value;

pub use connection::{Connection, Done, Rows};
pub(crate) use databases::Store as Server;
pub use databases::{Databases, Dialect, Granted};
pub use host::Sql;
pub use value::{Bound, Column, Interval, Kind, Range, Value};

/// The longest text of a statement.
pub const STATEMENT_BYTES_MAX: usize = 1 << 20;
/// What a result may take in the host's memory, where it is collected before the guest gets it, or where
/// the guest starts another statement before it has read all rows.
pub const RESULT_BYTES_MAX: usize = 32 << 20;

/// Why a statement has no result. No text in here contains a password.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// The grants do not allow it.
    #[error("access denied: {0}")]
    Denied(String),
    /// There is no database of this name and kind.
    #[error("no such database")]
    NoSuchDatabase,
    /// The server cannot be reached, refused us, or went away; or the pool is exhausted.
    #[error("{0}")]
    Connection(String),
    #[error("{0}")]
    Parameter(String),
    #[error("{}", .0.text)]
    Query(Box<QueryError>),
    #[error("{0}")]
    Conversion(String),
    /// The disk or the database is full.
    #[error("the database is full")]
    Full,
    #[error("{0}")]
    Other(String),
}

/// What the database said about a statement.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueryError {
    pub text: String,
    /// As PostgreSQL sends it; `None` for others, and for what we say ourselves.
    pub details: Option<Details>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Details {
    pub severity: String,
    /// The SQLSTATE.
    pub code: String,
    pub message: String,
    pub detail: Option<String>,
    pub extras: Vec<(String, String)>,
}

impl Error {
    pub(crate) fn query(text: impl Into<String>) -> Self {
        Error::Query(Box::new(QueryError { text: text.into(), details: None }))
    }
}
