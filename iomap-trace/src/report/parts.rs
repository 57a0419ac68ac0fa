//! The parts of a run's log are one run, if they come in their order.

use crate::event::{End, Event, Start};

/// What an event is to a session.
#[derive(Debug)]
pub(super) enum Joined {
    /// An event as any other.
    Event(Event),
    /// A part of the run ended, which may go on in another.
    Rotated(Box<End>),
    /// The run goes on.
    Resumed(Box<Start>),
    /// A record of the part before, once more.
    Repeated,
}

/// Which run is read, and where.
#[derive(Debug, Default)]
pub(super) struct Parts {
    boot_id: String,
    /// When the run began.
    run_ns: u64,
    /// Number of the part.
    number: u64,
    /// Records that are repeated next.
    repeated: u64,
    /// The sums of the parts that have ended.
    ended: Option<Box<End>>,
    /// The last one ended in order, and another may follow.
    between: bool,
}

impl Parts {
    /// Tells what the next event is.
    pub(super) fn take(&mut self, event: Event) -> Joined {
        match event {
            Event::Start(start) => self.start(start),
            Event::End(end) if end.why == "rotated" => {
                self.between = true;
                self.repeated = 0;
                self.ended = Some(Box::new(self.total((*end).clone())));
                Joined::Rotated(end)
            }
            Event::Holder(_) | Event::Loss(_) | Event::File(_) if self.repeated > 0 => {
                self.repeated -= 1;
                Joined::Repeated
            }
            other => Joined::Event(other),
        }
    }

    fn start(&mut self, start: Box<Start>) -> Joined {
        let (number, run_ns, carried) = match start.part {
            Some(part) => (part.number, part.run_ns, part.carried),
            None => (1, start.clock.boot_ns, 0),
        };
        let resumed = self.between
            && number == self.number + 1
            && run_ns == self.run_ns
            && start.boot_id == self.boot_id;
        self.number = number;
        if resumed {
            self.between = false;
            self.repeated = carried;
            return Joined::Resumed(start);
        }
        // Of a part that is read alone they are evidence as any other.
        self.repeated = 0;
        self.run_ns = run_ns;
        self.boot_id.clone_from(&start.boot_id);
        Joined::Event(Event::Start(start))
    }

    /// Whether the run may go on.
    pub(super) fn between(&self) -> bool {
        self.between
    }

    /// The run does not go on. Its end, if there is one: a part may have been cut.
    pub(super) fn close(&mut self) -> Option<Box<End>> {
        let between = std::mem::take(&mut self.between);
        self.ended.take().filter(|_| between)
    }

    /// The end of the run: the sums of its parts, of which `last` is the last.
    pub(super) fn total(&mut self, mut last: End) -> End {
        let Some(before) = self.ended.take() else {
            return last;
        };
        for (sums, earlier) in [
            (&mut last.counters, before.counters),
            (&mut last.losses, before.losses),
        ] {
            for (name, count) in earlier {
                let sum = sums.entry(name).or_default();
                *sum = sum.saturating_add(count);
            }
        }
        for (program, (ns, runs)) in before.cost {
            let sum = last.cost.entry(program).or_default();
            *sum = (sum.0.saturating_add(ns), sum.1.saturating_add(runs));
        }
        last.kernel_printed = match (last.kernel_printed, before.kernel_printed) {
            (Some(last), Some(before)) => Some(last.saturating_add(before)),
            (last, before) => last.or(before),
        };
        if let (Some(last), Some(before)) = (&mut last.process, before.process) {
            last.cpu_ns = last.cpu_ns.saturating_add(before.cpu_ns);
            last.peak_rss_bytes = last.peak_rss_bytes.max(before.peak_rss_bytes);
        }
        last
    }
}
