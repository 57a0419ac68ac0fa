//! Numbers that have come.

use std::collections::BTreeMap;

/// At most this many gaps are remembered; numbers below them are forgotten first.
const RANGES: usize = 1024;

/// A set of numbers that come nearly in order: ranges without gaps.
#[derive(Debug, Default)]
pub struct Seen {
    /// First of a range to its last.
    ranges: BTreeMap<u64, u64>,
    /// The range that was met last.
    latest: Option<(u64, u64)>,
}

impl Seen {
    /// Adds a number; whether it is new.
    pub fn add(&mut self, number: u64) -> bool {
        if let Some((first, last)) = &mut self.latest {
            if (*first..=*last).contains(&number) {
                return false;
            }
            // The next number, and the range behind it is not reached: nearly always so.
            if number.checked_sub(1) == Some(*last)
                && !self.ranges.contains_key(&(number.saturating_add(1)))
            {
                *last = number;
                self.ranges.insert(*first, number);
                return true;
            }
        }
        let below = self.ranges.range(..=number).next_back();
        let below = below.map(|(first, last)| (*first, *last));
        if let Some((_, last)) = below
            && number <= last
        {
            return false;
        }
        let first = match below {
            Some((first, last)) if number.checked_sub(1) == Some(last) => first,
            _ => number,
        };
        let above = number.checked_add(1);
        let last = above.and_then(|above| self.ranges.remove(&above));
        let last = last.unwrap_or(number);
        self.ranges.insert(first, last);
        self.latest = Some((first, last));
        if self.ranges.len() > RANGES {
            self.ranges.pop_first();
        }
        true
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
