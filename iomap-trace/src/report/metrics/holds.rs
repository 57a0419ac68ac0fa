//! How long locks were held, in the fixed buckets of a Prometheus histogram.

/// Upper bounds in seconds: from a microsecond to ten seconds, three to a decade.
const BOUNDS: [f64; 22] = [
    1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1,
    0.2, 0.5, 1.0, 2.0, 5.0, 10.0,
];

/// Times of one kind of lock.
#[derive(Clone, Debug, Default)]
pub struct Times {
    /// By bucket; the last one has no bound.
    buckets: [u64; BOUNDS.len() + 1],
    sum_ns: u64,
}

impl Times {
    /// One more, in nanoseconds.
    pub fn add(&mut self, ns: u64) {
        let seconds = ns as f64 / 1e9;
        self.buckets[BOUNDS.partition_point(|bound| *bound < seconds)] += 1;
        self.sum_ns = self.sum_ns.saturating_add(ns);
    }

    /// All times together, in seconds.
    pub fn sum(&self) -> f64 {
        self.sum_ns as f64 / 1e9
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Upper bounds in seconds, each with how many are above the one before.
    pub fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = BOUNDS.iter().copied().chain([f64::INFINITY]);
        bounds.zip(self.buckets).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let mut times = Times::default();
        for ns in [0, 1_000, 1_001, 2_000, 10_000_000_000, u64::MAX] {
            times.add(ns);
        }
        let buckets = times.buckets();
        assert_eq!(buckets[0], (1e-6, 2));
        assert_eq!(buckets[1], (2e-6, 2));
        assert_eq!(buckets[21], (10.0, 1));
        assert_eq!(buckets[22], (f64::INFINITY, 1));
        assert_eq!(times.count(), 6);
    }
}
