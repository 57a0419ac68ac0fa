//! The last records that a failure of the next part may need.

use std::collections::VecDeque;

use crate::event::Event;

/// A failure is judged within this time; what ended before bears on none to come.
const AGE_NS: u64 = 2_000_000_000;
/// At most so many records are kept.
const RECORDS: usize = 2048;

/// Holders and losses of the last moments.
#[derive(Debug, Default)]
pub(super) struct Recent {
    records: VecDeque<(u64, Event)>,
}

impl Recent {
    /// Keeps the record, if it is of that kind.
    pub(super) fn note(&mut self, event: &Event) {
        let ts_ns = match event {
            Event::Holder(holder) => holder.end_ns,
            Event::Loss(loss) => loss.ts_ns,
            _ => return,
        };
        if self.records.len() == RECORDS {
            self.records.pop_front();
        }
        self.records.push_back((ts_ns, event.clone()));
    }

    /// What may matter after `now_ns`. It is kept: the next part may be short.
    pub(super) fn carried(&mut self, now_ns: u64) -> Vec<Event> {
        let since_ns = now_ns.saturating_sub(AGE_NS);
        self.records.retain(|(ts_ns, _)| *ts_ns >= since_ns);
        self.records
            .iter()
            .map(|(_, event)| event.clone())
            .collect()
    }
}
