//! Whose turn it is when.

use std::collections::BTreeMap;

/// Length of a page, as a power of two: about an eighth of a second, as marks are apart.
const PAGE: u32 = 27;

/// When, in which order of those, and who.
pub type Turn = (u64, u64, u32);

/// Turns by their moments. Those that come are asked for all at once, so nothing is sorted before;
/// a turn costs next to nothing until it has come.
#[derive(Debug, Default)]
pub struct Queue {
    pages: BTreeMap<u64, Vec<Turn>>,
    /// Memory for the next page.
    spare: Vec<Turn>,
}

impl Queue {
    /// Adds a turn.
    pub fn add(&mut self, turn: Turn) {
        let spare = &mut self.spare;
        let page = self.pages.entry(turn.0 >> PAGE);
        page.or_insert_with(|| std::mem::take(spare)).push(turn);
    }

    /// Takes the turns that have come by `now_ns`, in order.
    pub fn take(&mut self, now_ns: u64, to: &mut Vec<Turn>) {
        while let Some(mut page) = self.pages.first_entry()
            && page.key() << PAGE <= now_ns
        {
            // Of the last page some are yet to come.
            let turns = page.get_mut();
            to.extend(turns.extract_if(.., |turn| turn.0 <= now_ns));
            if !turns.is_empty() {
                break;
            }
            self.spare = page.remove();
        }
        to.sort_unstable();
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.pages.clear();
    }

    /// Nothing is in it.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn turns_come_in_order_and_none_too_early(
            mut turns in vec((0_u64..9, 0_u64..3, any::<u32>()), 0..30),
            now in 0_u64..9,
            begin in prop::sample::select(vec![0, u64::MAX - (5 << PAGE)]),
        ) {
            let ns = |at: u64| begin + (at << (PAGE - 1));
            turns.iter_mut().for_each(|turn| turn.0 = ns(turn.0));
            let (mut queue, mut came) = (Queue::default(), Vec::new());
            turns.iter().for_each(|turn| queue.add(*turn));
            queue.take(ns(now), &mut came);
            turns.sort_unstable();
            let expected: Vec<Turn> = turns.iter().copied().filter(|t| t.0 <= ns(now)).collect();
            prop_assert_eq!(&came, &expected);
            queue.take(u64::MAX, &mut came);
            prop_assert!(queue.is_empty());
            prop_assert_eq!(came.len(), turns.len());
        }
    }
}
