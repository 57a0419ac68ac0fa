//! Names with a number each, in bounded memory.

use foldhash::fast::RandomState;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::hash::Hash;

/// Stands for all names that are not told apart.
pub(super) const OTHERS: u32 = 0;
/// Names that are told apart; of more, those that come later are not.
const NAMES: usize = 4096;

/// What is known of a name.
#[derive(Clone, Debug)]
pub(super) struct Entry<V> {
    /// What is shown of it.
    pub value: V,
    /// Failures.
    pub failures: u64,
}

/// Names of one kind.
#[derive(Debug)]
pub(super) struct Names<K, V> {
    numbers: HashMap<K, u32, RandomState>,
    entries: Vec<Entry<V>>,
    /// Names that may be told apart from now on.
    room: usize,
}

impl<K: Hash + Eq, V> Names<K, V> {
    /// No names; `others` is what is shown of those that are not told apart.
    pub fn new(others: V) -> Self {
        Self {
            numbers: HashMap::default(),
            entries: vec![Entry {
                value: others,
                failures: 0,
            }],
            room: NAMES,
        }
    }

    /// The number of a name, with one failure more.
    pub fn add(&mut self, key: K, value: impl FnOnce() -> V) -> u32 {
        let number = match self.numbers.get(&key) {
            Some(number) => *number,
            None if self.numbers.len() >= self.room => OTHERS,
            None => {
                // There are no more than NAMES.
                let number = self.entries.len() as u32;
                self.numbers.insert(key, number);
                self.entries.push(Entry {
                    value: value(),
                    failures: 0,
                });
                number
            }
        };
        self.entries[number as usize].failures += 1;
        number
    }

    /// What a number stands for.
    pub fn entry_mut(&mut self, number: u32) -> Option<&mut Entry<V>> {
        self.entries
            .get_mut(number as usize)
            .filter(|_| number != OTHERS)
    }

    /// All entries by number.
    pub fn entries(&self) -> &[Entry<V>] {
        &self.entries
    }

    /// How many are told apart.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Tells only `room` names apart, those with the most failures. The new number of each old one.
    pub fn keep(&mut self, room: usize) -> Vec<u32> {
        self.room = room;
        let mut ranked: Vec<usize> = (1..self.entries.len()).collect();
        ranked.sort_by_key(|number| Reverse(self.entries[*number].failures));
        ranked.truncate(room);
        ranked.sort_unstable();
        let mut new = vec![OTHERS; self.entries.len()];
        for (place, number) in (1..).zip(&ranked) {
            new[*number] = place;
        }
        let mut number = 0;
        let mut others = 0;
        self.entries.retain(|entry| {
            let kept = number == 0 || new[number] != OTHERS;
            others += if kept { 0 } else { entry.failures };
            number += 1;
            kept
        });
        self.entries[OTHERS as usize].failures += others;
        self.numbers.retain(|_, number| {
            *number = new[*number as usize];
            *number != OTHERS
        });
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_are_kept_and_nothing_is_lost() {
        let mut names = Names::new("others");
        for key in ["a", "b", "b", "c", "c", "c"] {
            names.add(key, || key);
        }
        let new = names.keep(2);
        assert_eq!(new, [0, 0, 1, 2]);
        assert_eq!(names.add("a", || "a"), OTHERS, "there is no room");
        assert_eq!(names.add("c", || "c"), 2);
        let all: Vec<_> = names
            .entries()
            .iter()
            .map(|e| (e.value, e.failures))
            .collect();
        assert_eq!(all, [("others", 2), ("b", 2), ("c", 4)]);
        assert_eq!(names.len(), 2);
    }
}
