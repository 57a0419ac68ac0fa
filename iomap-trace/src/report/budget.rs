//! How much the kernel itself would have said.

/// The rate limit of the kernel's warning "Page cache invalidation failure on direct I/O": ten
/// lines a day for the whole machine (`DEFINE_RATELIMIT_STATE(_rs, 86400 * HZ, 10)` in
/// `dio_warn_stale_pagecache`). The window begins anew with the first failure after its end.
#[derive(Clone, Copy, Debug, Default)]
pub struct WarningBudget {
    begin_ns: Option<u64>,
    printed: u32,
}

impl WarningBudget {
    const INTERVAL_NS: u64 = 86_400 * 1_000_000_000;
    const BURST: u32 = 10;

    /// Whether a post failure at `ts_ns` would have been printed, the whole budget being there at
    /// the first.
    pub fn prints(&mut self, ts_ns: u64) -> bool {
        let begin_ns = *self.begin_ns.get_or_insert(ts_ns);
        if ts_ns.saturating_sub(begin_ns) > Self::INTERVAL_NS {
            self.begin_ns = Some(ts_ns);
            self.printed = 0;
        }
        let prints = self.printed < Self::BURST;
        self.printed += u32::from(prints);
        prints
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_a_day_and_the_window_moves() {
        const HOUR: u64 = 3_600 * 1_000_000_000;
        let mut budget = WarningBudget::default();
        let mut prints =
            |times: &[u64]| times.iter().filter(|ts_ns| budget.prints(**ts_ns)).count();
        assert_eq!(prints(&[HOUR; 15]), 10);
        // A day later to the nanosecond is still the same day.
        assert_eq!(prints(&[25 * HOUR]), 0);
        assert_eq!(prints(&[30 * HOUR; 3]), 3);
        // The window began at 30 h, not at 25 h.
        assert_eq!(prints(&[53 * HOUR; 30]), 7);
        assert_eq!(prints(&[54 * HOUR + 1; 30]), 10);
        // Out of order: the present window.
        assert_eq!(prints(&[0]), 0);
    }
}
