//! What became of the records: every failure that a program saw is delivered, filtered or lost.

use std::collections::BTreeMap;

/// Counts of the reader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Pre failures that came out of the ring buffer.
    pub pre: u64,
    /// Post failures that came out of it.
    pub post: u64,
    /// Failures that a filter of user space left out.
    pub filtered: u64,
    /// Failures that it did not.
    pub kept: u64,
    /// Records that were no records of this ABI.
    pub undecodable: u64,
}

impl Tally {
    /// Adds the reader's own counts to those of the programs.
    pub fn account_reader(&self, counters: &mut BTreeMap<String, u64>) {
        add(
            counters,
            [
                ("failure.filtered", self.filtered),
                ("record.lost", self.undecodable),
            ],
        );
    }

    /// Adds the reader's counts to those of the programs, and the difference between what was seen
    /// and what came, if there is any.
    pub fn account(&self, counters: &mut BTreeMap<String, u64>) {
        let of =
            |counters: &BTreeMap<String, u64>, name: &str| counters.get(name).copied().unwrap_or(0);
        // A failure that was lost can be of any phase, so more may have come than expected.
        let missing = |seen: &str, filtered: &str, came: u64| {
            of(counters, seen)
                .saturating_sub(of(counters, filtered))
                .saturating_sub(of(counters, "failure.lost"))
                .saturating_sub(came)
        };
        let pre = missing("invalidate.seen", "invalidate.filtered", self.pre);
        // Those that are only inferred are not counted when they are seen.
        let post = missing("post.seen", "post.filtered", self.post);
        self.account_reader(counters);
        add(
            counters,
            [
                ("invalidate.unaccounted.lost", pre),
                ("post.unaccounted.lost", post),
            ],
        );
    }
}

fn add(counters: &mut BTreeMap<String, u64>, rows: [(&str, u64); 2]) {
    for (name, count) in rows {
        if count > 0 {
            counters.insert(name.to_owned(), count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(seen: u64, filtered: u64, lost: u64) -> BTreeMap<String, u64> {
        let rows = [
            ("invalidate.seen", seen),
            ("invalidate.filtered", filtered),
            ("failure.lost", lost),
        ];
        rows.iter()
            .map(|(name, n)| ((*name).to_owned(), *n))
            .collect()
    }

    #[test]
    fn what_was_seen_is_delivered_filtered_or_lost() {
        let tally = Tally {
            pre: 5,
            ..Tally::default()
        };
        let mut balanced = counters(10, 3, 2);
        tally.account(&mut balanced);
        assert_eq!(balanced, counters(10, 3, 2));
        let mut short = counters(10, 3, 0);
        tally.account(&mut short);
        assert_eq!(short["invalidate.unaccounted.lost"], 2);
    }
}
