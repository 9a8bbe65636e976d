//! Guests: later.
