//! Hashing of what peers choose.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Makes the hashers of one map: a multiplication for each word, between two secret numbers of the map's own. A peer chooses
/// the ids of frames, but without these numbers it cannot choose ids that fall together. A frame is looked up several times on
/// its way, and the standard hasher, made for keys of any length, took a tenth of that way's instructions.
#[derive(Clone, Debug)]
pub(crate) struct SecretHash {
    before: u64,
    factor: u64,
}

impl Default for SecretHash {
    fn default() -> Self {
        let random = RandomState::new();
        // An odd factor loses none of the bits.
        SecretHash { before: random.hash_one(0), factor: random.hash_one(1) | 1 }
    }
}

impl BuildHasher for SecretHash {
    type Hasher = SecretHasher;

    fn build_hasher(&self) -> SecretHasher {
        SecretHasher { state: self.before, factor: self.factor }
    }
}

/// Hashes one key.
#[derive(Clone, Debug)]
pub(crate) struct SecretHasher {
    state: u64,
    factor: u64,
}

impl Hasher for SecretHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, word: u64) {
        let product = u128::from(self.state ^ word) * u128::from(self.factor);
        let [low, high] =
            [product, product >> 64].map(|half| u64::try_from(half & u128::from(u64::MAX)).unwrap_or(0));
        self.state = low ^ high;
    }

    fn finish(&self) -> u64 {
        self.state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::collections::HashSet;

    use crate::FrameKey;

    #[test]
    fn keys_that_follow_each_other_are_spread_and_no_two_maps_agree() {
        let (one, other) = (SecretHash::default(), SecretHash::default());
        let keys: Vec<FrameKey> =
            (0..1 << 16).map(|frame_id| FrameKey { view_id: 0, frame_id: frame_id << 8 }).collect();
        let buckets: HashSet<u64> = keys.iter().map(|key| one.hash_one(key) & 0xffff).collect();
        // Random places: as many as 1 - 1/e of the buckets are taken.
        assert!(buckets.len() > 1 << 15, "{}", buckets.len());
        let tags: HashSet<u64> = keys.iter().map(|key| one.hash_one(key) >> 57).collect();
        assert_eq!(tags.len(), 128);
        assert!(keys.iter().filter(|key| one.hash_one(key) == other.hash_one(key)).count() < 16);
    }
}
