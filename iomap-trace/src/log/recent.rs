//! The records that the next part of a log repeats: a reader of that part alone needs them.

use std::collections::VecDeque;

use crate::event::{Event, FileRecord};

/// What ended before that bears on no failure to come: direct writes take less.
const AGE_NS: u64 = 500_000_000;
/// At most so many holders and losses are kept.
const RECORDS: usize = 512;
/// At most so many files are kept: those named last.
const FILES: usize = 256;

/// Holders and losses of the last moments, and the files with failures.
#[derive(Debug, Default)]
pub(super) struct Recent {
    records: VecDeque<(u64, Event)>,
    files: VecDeque<Box<FileRecord>>,
}

impl Recent {
    /// Keeps the record, if it is of these kinds.
    pub(super) fn note(&mut self, event: &Event) {
        let ts_ns = match event {
            Event::Holder(holder) => holder.end_ns,
            Event::Loss(loss) => loss.ts_ns,
            Event::File(file) => return self.file(file),
            _ => return,
        };
        if self.records.len() == RECORDS {
            self.records.pop_front();
        }
        self.records.push_back((ts_ns, event.clone()));
    }

    fn file(&mut self, file: &FileRecord) {
        let key = |file: &FileRecord| (file.dev, file.root, file.ino);
        self.files.retain(|known| key(known) != key(file));
        if self.files.len() == FILES {
            self.files.pop_front();
        }
        self.files.push_back(Box::new(file.clone()));
    }

    /// What may matter after `now_ns`. It is kept: the next part may be short.
    pub(super) fn carried(&mut self, now_ns: u64) -> Vec<Event> {
        let since_ns = now_ns.saturating_sub(AGE_NS);
        self.records.retain(|(ts_ns, _)| *ts_ns >= since_ns);
        let records = self.records.iter().map(|(_, event)| event);
        let files = self.files.iter().cloned().map(Event::File);
        files.chain(records.cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Loss, Mark, Text};

    fn loss(ts_ns: u64) -> Event {
        Event::Loss(Loss {
            hook: Text::const_new("ring"),
            counter: Text::const_new("failure.lost"),
            count: 1,
            since_ns: ts_ns,
            ts_ns,
        })
    }

    fn file(ino: u64, ts_ns: u64) -> Event {
        Event::File(Box::new(FileRecord {
            ino,
            ts_ns,
            ..FileRecord::default()
        }))
    }

    #[test]
    fn the_last_moments_and_the_last_state_of_each_file() {
        let mut recent = Recent::default();
        let events = [loss(1), file(7, 1), file(8, 1), file(7, 2), loss(AGE_NS)];
        events.iter().for_each(|event| recent.note(event));
        recent.note(&Event::Mark(Mark { ts_ns: 5 }));
        let carried = recent.carried(AGE_NS + 2);
        assert_eq!(carried, [file(8, 1), file(7, 2), loss(AGE_NS)]);
        assert_eq!(
            recent.carried(AGE_NS + 2),
            carried,
            "again, for a short part"
        );
    }

    #[test]
    fn its_memory_is_bounded() {
        let mut recent = Recent::default();
        for n in 0..10_000 {
            recent.note(&loss(n));
            recent.note(&file(n, n));
        }
        assert_eq!(recent.carried(10_000).len(), RECORDS + FILES);
    }
}
