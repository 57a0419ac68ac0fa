//! Search in a queue whose entries are asked for near one of its ends.

use std::collections::VecDeque;

/// How many of the first entries `before` is true of, as
/// [`partition_point`](VecDeque::partition_point) tells, in steps that grow from the front: near
/// it that touches few entries, and those one after the other.
pub fn from_front<T>(queue: &VecDeque<T>, mut before: impl FnMut(&T) -> bool) -> usize {
    let (mut first, mut step) = (0, 1);
    while let Some(entry) = queue.get(first + step - 1) {
        if !before(entry) {
            return within(queue, (first, first + step - 1), before);
        }
        first += step;
        step *= 2;
    }
    within(queue, (first, queue.len()), before)
}

/// The same from the back.
pub fn from_back<T>(queue: &VecDeque<T>, mut before: impl FnMut(&T) -> bool) -> usize {
    let (mut end, mut step) = (queue.len(), 1);
    while end > 0 {
        let at = end.saturating_sub(step);
        if before(&queue[at]) {
            return within(queue, (at + 1, end), before);
        }
        end = at;
        step *= 2;
    }
    0
}

/// The same where it is known to be one of `first` to `end`.
fn within<T>(
    queue: &VecDeque<T>,
    (mut first, mut end): (usize, usize),
    mut before: impl FnMut(&T) -> bool,
) -> usize {
    while first < end {
        let middle = first.midpoint(end);
        if before(&queue[middle]) {
            first = middle + 1;
        } else {
            end = middle;
        }
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_a_search_that_begins_in_the_middle() {
        for len in 0..40 {
            let queue: VecDeque<u32> = (0..len).collect();
            for at in 0..=len {
                let before = |entry: &u32| *entry < at;
                assert_eq!(from_front(&queue, before), queue.partition_point(before));
                assert_eq!(from_back(&queue, before), queue.partition_point(before));
            }
        }
    }
}
