//! Numbers that have come.

use std::collections::BTreeMap;

/// Words of 64 numbers: of the last 65,536 numbers each is known.
const WORDS: u64 = 1024;
/// Of those below, at most so many ranges without gaps are.
const RANGES: usize = 1024;

/// A set of numbers that come nearly in order. What is long ago, or out of all order, may be
/// forgotten.
#[derive(Debug, Default)]
pub struct Seen {
    /// Bits of the words up to the highest, each where its number modulo their count says.
    words: Vec<u64>,
    highest: u64,
    below: Ranges,
}

impl Seen {
    /// Adds a number; whether it is new.
    pub fn add(&mut self, number: u64) -> bool {
        if self.words.is_empty() {
            self.words = vec![0; WORDS as usize];
            self.highest = number / 64;
        }
        let word = number / 64;
        if word > self.highest {
            for word in (self.highest + 1..=word).rev().take(WORDS as usize) {
                self.words[(word % WORDS) as usize] = 0;
            }
            self.highest = word;
        } else if self.highest - word >= WORDS {
            return self.below.add(number);
        }
        let bits = &mut self.words[(word % WORDS) as usize];
        let bit = 1 << (number % 64);
        let new = *bits & bit == 0;
        *bits |= bit;
        new
    }
}

/// Ranges without gaps: the first number of each, and the last.
#[derive(Debug, Default)]
struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    fn add(&mut self, number: u64) -> bool {
        let below = self.0.range(..=number).next_back();
        let below = below.map(|(first, last)| (*first, *last));
        if below.is_some_and(|(_, last)| number <= last) {
            return false;
        }
        let follows = below.filter(|(_, last)| last.checked_add(1) == Some(number));
        let first = follows.map_or(number, |(first, _)| first);
        let next = number.checked_add(1);
        let last = next.and_then(|next| self.0.remove(&next));
        self.0.insert(first, last.unwrap_or(number));
        if self.0.len() > RANGES {
            self.0.pop_first();
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
        fn as_a_set_does(
            numbers in proptest::collection::vec((0_u64..4, 0_u64..40), 0..60),
            far in proptest::sample::select(vec![1, 64, 1 << 14, 1 << 20, u64::MAX / 4]),
        ) {
            let numbers = numbers.into_iter().map(|(group, number)| group * far + number);
            // What is far above the others first, since they are forgotten when it comes.
            let mut numbers: Vec<u64> = numbers.collect();
            if far > 1 << 14 {
                numbers.sort_unstable_by_key(|number| std::cmp::Reverse(number / far));
            }
            let (mut seen, mut set) = (Seen::default(), HashSet::new());
            for number in numbers {
                prop_assert_eq!(seen.add(number), set.insert(number));
            }
        }
    }
}
