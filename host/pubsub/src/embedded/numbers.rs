//! Numbers of queues and consumers, assigned by the broker itself, and maps keyed by them.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Queues with numbers from here on are in memory only; those below are in the log.
pub(crate) const FIRST_EPHEMERAL: u64 = 1 << 32;

/// A map keyed by such numbers. Its keys are not under external control, so the hash need not resist collision attacks.
pub(crate) type NumberMap<V> = HashMap<u64, V, BuildHasherDefault<NumberHasher>>;

/// Spreads consecutive numbers over the whole word.
#[derive(Default)]
pub(crate) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(self.0.rotate_left(8) ^ u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        // The golden ratio; the map takes its bucket from the low bits and its tag from the high ones.
        let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = spread ^ (spread >> 32);
    }
}
