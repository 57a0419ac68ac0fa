//! What is to be forgotten, by when.

use std::collections::{BTreeMap, VecDeque};

/// Length of a page, as a power of two: about a second.
const PAGE: u32 = 30;

/// Things with a time, which leave it a page of about a second after the other: putting one in
/// costs next to nothing, wherever in time it belongs.
#[derive(Debug)]
pub struct Calendar<T> {
    /// None is empty.
    pages: BTreeMap<u64, VecDeque<T>>,
    len: usize,
    /// Memory for the next page.
    spare: VecDeque<T>,
}

impl<T> Default for Calendar<T> {
    fn default() -> Self {
        Self {
            pages: BTreeMap::new(),
            len: 0,
            spare: VecDeque::new(),
        }
    }
}

impl<T> Calendar<T> {
    /// How many things are in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Puts a thing in.
    pub fn add(&mut self, ts_ns: u64, thing: T) {
        self.len += 1;
        let spare = &mut self.spare;
        let page = self.pages.entry(ts_ns >> PAGE);
        page.or_insert_with(|| std::mem::take(spare))
            .push_back(thing);
    }

    /// Takes a thing of the oldest page if all of them are older than `ts_ns`.
    pub fn take_before(&mut self, ts_ns: u64) -> Option<T> {
        let (page, _) = self.pages.first_key_value()?;
        (*page < ts_ns >> PAGE).then(|| self.take_oldest())?
    }

    /// The thing that leaves after so many others, if it is known by now.
    pub fn coming(&self, after: usize) -> Option<&T> {
        self.pages.first_key_value()?.1.get(after)
    }

    /// Takes a thing of the oldest page, the one that was put in first.
    pub fn take_oldest(&mut self) -> Option<T> {
        let mut page = self.pages.first_entry()?;
        let thing = page.get_mut().pop_front();
        if page.get().is_empty() {
            self.spare = page.remove();
        }
        self.len -= 1;
        thing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_leave_first() {
        let mut calendar = Calendar::default();
        let second = 1 << PAGE;
        for at in [5, 3, 4, 3] {
            calendar.add(at * second, at);
        }
        let gone: Vec<u64> = std::iter::from_fn(|| calendar.take_before(5 * second)).collect();
        assert_eq!(gone, [3, 3, 4]);
        assert_eq!(calendar.len(), 1);
        assert_eq!(calendar.take_oldest(), Some(5));
        assert_eq!(calendar.take_oldest(), None);
    }
}
