//! Numbers that have come.

use std::collections::BTreeMap;

/// At most this many gaps are remembered; numbers below them are forgotten first.
const RANGES: usize = 1024;

/// A set of numbers that come nearly in order: ranges without gaps.
#[derive(Debug, Default)]
pub struct Seen {
    /// First of a range to its last, but for the present one.
    ranges: BTreeMap<u64, u64>,
    /// The range that was met last, and where the next one above it begins, if there is one.
    present: Option<(u64, u64)>,
    above: Option<u64>,
}

impl Seen {
    /// Adds a number; whether it is new.
    pub fn add(&mut self, number: u64) -> bool {
        if let Some((first, last)) = &mut self.present {
            if (*first..=*last).contains(&number) {
                return false;
            }
            // The next number, nearly always; unless it closes a gap.
            let follows = last.checked_add(1) == Some(number);
            if follows && self.above.is_none_or(|above| above - 1 > number) {
                *last = number;
                return true;
            }
        }
        self.ranges.extend(self.present.take());
        let below = self.ranges.range(..=number).next_back();
        let below = below.map(|(first, last)| (*first, *last));
        let known = below.filter(|(_, last)| number <= *last);
        let range = known.unwrap_or_else(|| {
            let follows = below.filter(|(_, last)| last.checked_add(1) == Some(number));
            let next = number.checked_add(1);
            let last = next.and_then(|next| self.ranges.remove(&next));
            let first = follows.map_or(number, |(first, _)| first);
            (first, last.unwrap_or(number))
        });
        self.ranges.remove(&range.0);
        self.present = Some(range);
        self.above = self.ranges.range(range.1..).next().map(|(first, _)| *first);
        if self.ranges.len() > RANGES {
            self.ranges.pop_first();
        }
        known.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn the_last_numbers_of_all_are_numbers_too() {
        let mut seen = Seen::default();
        for number in [u64::MAX, u64::MAX - 1, 0, u64::MAX - 2] {
            assert!(seen.add(number));
            assert!(!seen.add(number));
        }
    }

    proptest! {
        #[test]
        fn as_a_set_does(numbers in proptest::collection::vec(0_u64..40, 0..60)) {
            let (mut seen, mut set) = (Seen::default(), HashSet::new());
            for number in numbers {
                prop_assert_eq!(seen.add(number), set.insert(number));
            }
        }
    }
}
