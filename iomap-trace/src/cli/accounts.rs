//! What a live run costs and loses, second by second: on standard output, the status line and
//! standard error, and held to `--max-overhead`.

use std::collections::BTreeMap;

use crate::cost::{Limit, Meter, Second, Step, Verdict, process};
use crate::event::ProcessCost;
use crate::probe::{Tracer, hook_of, losses};

/// The accounts of a run.
#[derive(Debug, Default)]
pub struct Accounts {
    meter: Meter,
    limit: Option<Limit>,
    /// The last second.
    second: Option<Second>,
    /// CPU time that earlier runs of this process took.
    before_ns: u64,
    /// Hooks that were shed.
    shed: Vec<&'static str>,
}

impl Accounts {
    /// Accounts, with a limit in percent of one CPU.
    pub fn new(max_overhead: Option<f64>) -> Self {
        Self {
            limit: max_overhead.map(Limit::new),
            ..Self::default()
        }
    }

    /// Takes a reading when a second is over.
    pub fn tick(&mut self, now_ns: u64, tracer: &Tracer) -> Option<&Second> {
        if !self.meter.due(now_ns) {
            return None;
        }
        let lost = losses(&tracer.counters());
        let second = self.meter.read(now_ns, tracer.cost(), process(), lost)?;
        Some(self.second.insert(second))
    }

    /// The last second.
    pub fn second(&self) -> Option<&Second> {
        self.second.as_ref()
    }

    /// What is to be done about the overhead, after the last second.
    pub fn judge(&mut self) -> Option<Verdict> {
        let (limit, second) = (self.limit.as_mut()?, self.second.as_ref()?);
        let verdict = limit.second(second.elapsed_ns, &second.by_program, hook_of_program)?;
        if let Step::Shed(hook) = verdict.step {
            self.shed.push(hook);
        }
        Some(verdict)
    }

    /// Hooks that were shed.
    pub fn shed(&self) -> &[&'static str] {
        &self.shed
    }

    /// What the process used in this run.
    pub fn process(&self, tracer: &Tracer) -> ProcessCost {
        let mut cost = process();
        cost.cpu_ns = cost.cpu_ns.saturating_sub(self.before_ns);
        cost.bpf_measured_ns = tracer.cost_only_first_ns();
        cost
    }

    /// Other programs were attached: a run of its own.
    pub fn restart(&mut self) {
        self.meter.restart();
        self.before_ns = process().cpu_ns;
        self.second = None;
    }
}

fn hook_of_program(program: &str) -> Option<&'static str> {
    let program = program.strip_suffix("_spare").unwrap_or(program);
    hook_of(program).first().copied()
}

/// A line about what was lost in a second, and `total` in all; nothing where nothing was.
pub fn lost(second: &Second, total: impl FnOnce() -> BTreeMap<String, u64>) -> Option<String> {
    if second.lost.is_empty() {
        return None;
    }
    let total = total();
    let rows = second.lost.iter().map(|(probe, n)| {
        let all = total.get(probe).copied().unwrap_or(*n);
        format!("{probe} {n} (in all {all})")
    });
    let rows: Vec<_> = rows.collect();
    let rows = rows.join(", ");
    Some(format!(
        "lost within a second: {rows}: no verdict of it that rests on these is exact"
    ))
}

/// A line about the overhead, and what was done.
pub fn over(verdict: Verdict) -> String {
    let Verdict { percent, step } = verdict;
    match step {
        Step::Shed(hook) => format!(
            "the programs take {percent:.1}% of a CPU, more than --max-overhead allows: this run \
             goes on without {hook}, and verdicts from now on say so"
        ),
        Step::Bear => format!(
            "the programs take {percent:.1}% of a CPU, more than --max-overhead allows, and the \
             hooks that are left cannot be shed: narrow it (--dev, --path), or stop it"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_without_losses_is_silent() {
        let mut second = Second::default();
        assert_eq!(lost(&second, BTreeMap::new), None);
        second.lost.insert("lock.lost".to_owned(), 3);
        let total = BTreeMap::from([("lock.lost".to_owned(), 12)]);
        assert_eq!(
            lost(&second, || total).unwrap(),
            "lost within a second: lock.lost 3 (in all 12): no verdict of it that rests on these \
             is exact"
        );
    }

    #[test]
    fn a_spare_is_of_the_hook_it_stands_in_for() {
        assert_eq!(hook_of_program("extent_lock_spare"), Some("extent-lock"));
        assert_eq!(hook_of_program("page_dirtied"), Some("dirty"));
        assert_eq!(hook_of_program("no_such"), None);
    }
}
