//! Whether a component's calls usually take long: then they begin where long calls go on, and not one of them keeps a
//! worker's connections waiting for a first slice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// A score: long calls raise it, short ones lower it. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Habit(Arc<AtomicU32>);

/// Of eight short calls and a long one, the short ones shall not pay.
const RAISE: u32 = 8;
/// Two long calls in a row.
const LONG: u32 = 2 * RAISE;
/// So that a component that has changed its ways is believed soon.
const MOST: u32 = 4 * RAISE;

impl Habit {
    pub fn is_long(&self) -> bool {
        self.0.load(Relaxed) >= LONG
    }

    /// Whether short calls are of interest.
    pub fn is_open(&self) -> bool {
        self.0.load(Relaxed) > 0
    }

    // Two at once may lose one of them, which does no harm.

    pub fn was_long(&self) {
        self.0.store(MOST.min(self.0.load(Relaxed) + RAISE), Relaxed);
    }

    pub fn was_short(&self) {
        self.0.store(self.0.load(Relaxed).saturating_sub(1), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_habit_takes_two_long_calls_and_goes_with_short_ones() {
        let habit = Habit::default();
        habit.was_short();
        habit.was_long();
        assert!(!habit.is_long() && habit.is_open());
        habit.was_long();
        assert!(habit.is_long());
        habit.was_short();
        assert!(!habit.is_long());
        (0..100).for_each(|_| habit.was_long());
        (0..100).for_each(|_| habit.was_short());
        assert!(!habit.is_open());
    }

    #[test]
    fn one_long_call_in_ten_is_no_habit() {
        let habit = Habit::default();
        for n in 0..1000 {
            if n % 10 == 0 {
                habit.was_long()
            } else {
                habit.was_short()
            }
            assert!(!habit.is_long(), "{n}");
        }
    }
}
