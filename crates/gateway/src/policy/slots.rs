//! A table of bounded size for keys that strangers choose: a key has a few places where it may be, and takes
//! that of the one whose loss costs least. There is a lock for each few keys, so that workers do not wait for
//! each other.

use std::sync::{Mutex, PoisonError};

/// Places where a key may be.
const WAYS: usize = 8;

/// A value for each key.
pub struct Slots<V> {
    /// A power of two of them.
    sets: Box<[Mutex<Set<V>>]>,
}

/// Keys with their values.
type Set<V> = [(u64, V); WAYS];

/// What is kept for a key.
pub trait Kept: Copy + Default {
    /// The lowest is given up first. That of the default is 0.
    fn worth(&self) -> u64;
}

impl<V: Kept> Slots<V> {
    /// For about so many keys.
    pub fn new(keys: usize) -> Self {
        let sets = (keys / WAYS).next_power_of_two();
        Slots { sets: (0..sets).map(|_| Mutex::new([(0, V::default()); WAYS])).collect() }
    }

    /// Works with the value of a key, given by its hash; a new one is the default.
    pub fn with<R>(&self, key: u64, work: impl FnOnce(&mut V) -> R) -> R {
        // The low bits choose the set; the whole key tells those in it apart.
        let at = key as usize & (self.sets.len() - 1);
        let mut set = self.sets[at].lock().unwrap_or_else(PoisonError::into_inner);
        let mut least = 0;
        for (index, (taken, value)) in set.iter().enumerate() {
            if *taken == key {
                least = index;
                break;
            }
            if value.worth() < set[least].1.worth() {
                least = index;
            }
        }
        let slot = &mut set[least];
        if slot.0 != key {
            *slot = (key, V::default());
        }
        work(&mut slot.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Kept for u64 {
        fn worth(&self) -> u64 {
            *self
        }
    }

    #[test]
    fn keys_keep_their_values_and_the_least_gives_way() {
        let slots = Slots::<u64>::new(WAYS);
        for key in 1..=WAYS as u64 {
            slots.with(key, |value| *value = 10 * key);
        }
        for key in 1..=WAYS as u64 {
            assert_eq!(slots.with(key, |value| *value), 10 * key, "{key}");
        }
        // One more: the first, which is worth least, is forgotten.
        slots.with(99, |value| *value = 990);
        let kept = |key| slots.with(key, |value| *value);
        assert_eq!((kept(99), kept(2), kept(8)), (990, 20, 80));
        assert_eq!(kept(1), 0);
    }

    #[test]
    fn a_million_keys_take_no_more_room() {
        let slots = Slots::<u64>::new(1000);
        let sets = slots.sets.len();
        (1..1_000_000_u64)
            .for_each(|key| slots.with(key.wrapping_mul(0x9e37_79b9_7f4a_7c15), |value| *value = key));
        assert_eq!((slots.sets.len(), sets), (128, 128));
    }
}
