//! Slices that overlap go to lanes of their own.

use std::collections::VecDeque;
use std::ops::Range;

/// Slices that are kept of a lane; a slice that begins before the end of an older one goes to
/// another lane.
const KEPT: usize = 64;

/// One lane: any two of its slices lie within each other or apart.
#[derive(Debug, Default)]
pub(super) struct Lane {
    recent: VecDeque<Range<u64>>,
    /// End of those that are not kept.
    settled: u64,
}

impl Lane {
    /// Takes `slice` unless one of the lane's overlaps it. Slices are read in the order of their
    /// begin, equal ones as they were taken: the later one then lies within the earlier one.
    pub fn take(&mut self, slice: &Range<u64>) -> bool {
        let fits = |old: &Range<u64>| {
            let apart = slice.end <= old.start || old.end <= slice.start;
            let within = old.start <= slice.start && slice.end <= old.end;
            let around = slice.start < old.start && old.end <= slice.end;
            apart || within || around
        };
        if slice.start < self.settled || !self.recent.iter().all(fits) {
            return false;
        }
        if self.recent.len() == KEPT
            && let Some(old) = self.recent.pop_front()
        {
            self.settled = self.settled.max(old.end);
        }
        self.recent.push_back(slice.clone());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn slices_lie_within_each_other_or_apart() {
        let mut lane = Lane::default();
        assert!(lane.take(&(10..20)));
        assert!(lane.take(&(12..20)), "within");
        assert!(lane.take(&(20..21)), "apart");
        assert!(lane.take(&(5..30)), "around");
        assert!(!lane.take(&(15..25)), "overlaps");
        assert!(!lane.take(&(12..22)), "around one, across another");
        assert!(
            !lane.take(&(10..25)),
            "would come behind the one it should hold"
        );
    }

    proptest! {
        #[test]
        fn a_lane_can_be_read_as_a_stack(slices in proptest::collection::vec((0_u64..300, 1_u64..40), 0..200)) {
            let mut lane = Lane::default();
            let mut taken: Vec<Range<u64>> = slices
                .into_iter()
                .map(|(begin, length)| begin..begin + length)
                .filter(|slice| lane.take(slice))
                .collect();
            taken.sort_by_key(|slice| slice.start);
            let mut open: Vec<u64> = Vec::new();
            for slice in taken {
                open.retain(|end| *end > slice.start);
                prop_assert!(open.last().is_none_or(|end| slice.end <= *end));
                open.push(slice.end);
            }
        }
    }
}
