//! The seam between routes and filters: whoever routes knows no filter, and filters know no routes.

use crate::handler::Handler;
use std::sync::Arc;

/// Something that stands before a handler. What it does with an exchange, it does as a [`Handler`] itself: so a
/// chain of filters is handlers that hand over to each other, and may mix filters of every kind.
pub trait Filter: Send + Sync {
    /// The filter in front of `next`, with the configuration of a route or, without one, its own. Called when
    /// routes are compiled.
    ///
    /// # Errors
    ///
    /// Why it cannot, for a person.
    fn before(&self, next: Arc<dyn Handler>, config: Option<&str>) -> Result<Arc<dyn Handler>, String>;
}
