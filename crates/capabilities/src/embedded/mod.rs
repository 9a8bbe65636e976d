//! What the embedded stores share: files of SQLite that are opened alike, and written by one thread each.

mod open;
mod writer;

pub use open::{OpenError, open};
pub use writer::Writer;

/// A store's error, as far as its writer makes some.
pub trait Failure: Clone + Send + 'static {
    /// What an error of SQLite means to whoever uses the store.
    fn sqlite(error: &rusqlite::Error) -> Self;
    /// The store was closed.
    fn gone() -> Self;
}
