//! A small seeded generator (SplitMix64), so that the same seed makes the same choices everywhere.

/// SplitMix64: good enough to choose blocks, and the same on every machine.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    /// The generator of thread `index` under `seed`: threads never share a sequence.
    pub(crate) fn for_thread(seed: u64, index: u32) -> Self {
        let mut rng = Self(seed);
        let mixed = rng.next_u64() ^ (u64::from(index) << 32 | u64::from(index));
        let mut rng = Self(mixed);
        rng.next_u64();
        rng
    }

    /// The next 64 bits.
    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0..bound` (0 when `bound` is 0), evenly enough for bounds far below 2^64.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_threads_differ() {
        let take = |seed, index| {
            let mut rng = Rng::for_thread(seed, index);
            (0..8).map(|_| rng.next_u64()).collect::<Vec<_>>()
        };
        assert_eq!(take(7, 1), take(7, 1));
        assert_ne!(take(7, 1), take(7, 2));
        assert_ne!(take(7, 1), take(8, 1));
    }

    #[test]
    fn below_stays_below_and_reaches_everything() {
        let mut rng = Rng::for_thread(1, 0);
        let mut seen = [false; 10];
        for _ in 0..1000 {
            seen[rng.below(10) as usize] = true;
        }
        assert!(seen.iter().all(|s| *s));
        assert_eq!(rng.below(0), 0);
    }
}
