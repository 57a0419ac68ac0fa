//! What the programs still remember of hooks that were shed is of before, and no evidence: who
//! touched a folio last is not known any more.

use crate::event::Event;

/// Failures from which on such records are left out.
#[derive(Debug, Default)]
pub struct Muted {
    /// The last failure that came.
    failure: u64,
    dirtied_after: Option<u64>,
    cached_after: Option<u64>,
}

impl Muted {
    /// A hook was shed.
    pub fn shed(&mut self, hook: &str) {
        match hook {
            "dirty" => self.dirtied_after = Some(self.failure),
            "cached" => self.cached_after = Some(self.failure),
            _ => {}
        }
    }

    /// Takes out what is no evidence; failures do not announce it either.
    pub fn strip(&mut self, events: &mut Vec<Event>) {
        let after = |moment: Option<u64>, id: u64| moment.is_some_and(|last| id > last);
        let (dirtied, cached) = (self.dirtied_after, self.cached_after);
        events.retain_mut(|event| match event {
            Event::Failure(failure) => {
                self.failure = failure.id;
                if after(dirtied, failure.id) {
                    failure.dirtied = 0;
                }
                if after(cached, failure.id) {
                    failure.cached = 0;
                }
                true
            }
            Event::Dirtied(touched) => !after(dirtied, touched.failure),
            Event::Cached(touched) => !after(cached, touched.failure),
            _ => true,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Failure, How, Touched, strategies};
    use proptest::strategy::{Strategy, ValueTree};
    use proptest::test_runner::TestRunner;

    fn failure(id: u64) -> Event {
        let mut runner = TestRunner::deterministic();
        let any = strategies::failure().new_tree(&mut runner).unwrap();
        Event::Failure(Box::new(Failure {
            id,
            dirtied: 1,
            cached: 1,
            ..any.current()
        }))
    }

    fn touched(failure: u64) -> Touched {
        Touched {
            failure,
            index: 0,
            ts_ns: 1,
            pid: 1,
            tid: 1,
            comm: "x".into(),
            how: How::Mmap,
        }
    }

    #[test]
    fn only_failures_to_come_lack_their_records() {
        let mut muted = Muted::default();
        let mut of = |id| {
            let mut events = vec![
                failure(id),
                Event::Dirtied(touched(id)),
                Event::Cached(touched(id)),
            ];
            muted.strip(&mut events);
            if id == 1 {
                muted.shed("dirty");
                // What was announced before comes.
                let mut late = vec![Event::Dirtied(touched(1))];
                muted.strip(&mut late);
                assert_eq!(late.len(), 1);
            }
            events
        };
        assert_eq!(of(1).len(), 3);
        let events = of(2);
        assert_eq!(events.len(), 2);
        match &events[0] {
            Event::Failure(failure) => assert_eq!((failure.dirtied, failure.cached), (0, 1)),
            other => panic!("{other:?}"),
        }
    }
}
