//! Interfaces that guests import and behind which Sampan has nothing yet: each call gets the error that the
//! interface has for this, so that a guest that could do with them runs without.

pub mod host;
