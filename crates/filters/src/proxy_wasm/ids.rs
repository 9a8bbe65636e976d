//! Maps by numbers that the host gives out: no stranger chooses them, so they need no strong hash.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

pub type Ids<T> = HashMap<u32, T, BuildHasherDefault<Spread>>;

/// Multiplies, so that numbers that follow each other lie apart in all bits.
#[derive(Default)]
pub struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        // 2^64 divided by the golden ratio (Knuth, The Art of Computer Programming 3, section 6.4).
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }
}
