//! A map that forgets its oldest key, for what a guest or its peers can make grow.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

pub struct Bounded<K, V> {
    max_len: usize,
    values: HashMap<K, V>,
    /// Every key once, oldest first.
    order: VecDeque<K>,
}

impl<K: Clone + Eq + Hash, V: Default> Bounded<K, V> {
    /// `max_len` must be at least 1.
    pub fn new(max_len: usize) -> Self {
        assert!(max_len > 0);
        Bounded { max_len, values: HashMap::new(), order: VecDeque::new() }
    }

    pub fn get(&self, key: &K) -> Option<&V> {
        self.values.get(key)
    }

    /// The value of `key`, made if it is not there.
    pub fn entry(&mut self, key: K) -> &mut V {
        if !self.values.contains_key(&key) {
            if self.order.len() >= self.max_len
                && let Some(oldest) = self.order.pop_front()
            {
                self.values.remove(&oldest);
            }
            self.order.push_back(key.clone());
        }
        self.values.entry(key).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_the_oldest() {
        let mut map: Bounded<u32, u32> = Bounded::new(3);
        for key in 0..3 {
            *map.entry(key) = key + 10;
        }
        // Using a key again makes it no younger, and adds nothing.
        *map.entry(0) += 1;
        assert_eq!(map.get(&0), Some(&11));
        map.entry(3);
        assert_eq!(map.get(&0), None);
        assert_eq!(map.get(&1), Some(&11));
        assert_eq!(map.values.len(), 3);
        assert_eq!(map.order.len(), 3);
    }
}
