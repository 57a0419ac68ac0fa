//! Where the time of a start goes.

use std::fmt::Write;
use std::time::{Duration, Instant};

/// What one stage after the other took.
#[derive(Clone, Debug)]
pub struct Stages {
    begun: Instant,
    since: Instant,
    stages: Vec<(&'static str, Duration)>,
    /// The programs that took longest to load, beside each other.
    programs: Vec<(&'static str, Duration)>,
    /// How the programs read.
    reads: Option<String>,
}

/// Programs that are named.
const NAMED: usize = 4;

impl Stages {
    /// The first stage begins.
    pub fn begin() -> Self {
        let now = Instant::now();
        Self {
            begun: now,
            since: now,
            stages: Vec::new(),
            programs: Vec::new(),
            reads: None,
        }
    }

    /// A stage is over, and the next begins. What is done several times is summed up.
    pub fn over(&mut self, stage: &'static str) {
        let now = Instant::now();
        let took = now - self.since;
        self.since = now;
        match self.stages.iter_mut().find(|(name, _)| *name == stage) {
            Some((_, sum)) => *sum += took,
            None => self.stages.push((stage, took)),
        }
    }

    /// Takes the stages of something that was done meanwhile as its own.
    pub fn add(&mut self, others: &Self) {
        self.stages.extend(&others.stages);
        self.programs.extend(&others.programs);
        self.reads.clone_from(&others.reads);
        self.since = others.since;
    }

    /// How long programs took to load, the longest first.
    pub fn loaded(&mut self, mut programs: Vec<(&'static str, Duration)>) {
        programs.truncate(NAMED);
        self.programs = programs;
    }

    /// How the programs read the kernel's memory.
    pub fn read_by(&mut self, how: String) {
        self.reads = Some(how);
    }

    /// All of it, on one line.
    pub fn line(&self) -> String {
        let mut line = format!("attached in {} ms:", (self.since - self.begun).as_millis());
        for (at, (stage, took)) in self.stages.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            // Writing to a string does not fail.
            let _ = write!(line, "{comma} {stage} {}", took.as_millis());
        }
        if let Some(how) = &self.reads {
            let _ = write!(line, "; reads by {how}");
        }
        line
    }

    /// The programs that took longest, on one line; `None` when none was loaded.
    pub fn programs(&self) -> Option<String> {
        let each = |(name, took): &(&str, Duration)| format!("{name} {}", took.as_millis());
        let each: Vec<_> = self.programs.iter().map(each).collect();
        (!each.is_empty()).then(|| format!("verified longest, in ms: {}", each.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_summed_by_name_in_their_order() {
        let ms = Duration::from_millis;
        let mut stages = Stages::begin();
        for name in ["maps", "load", "maps"] {
            stages.over(name);
        }
        let names: Vec<_> = stages.stages.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["maps", "load"]);
        stages.since = stages.begun + ms(412);
        stages.stages = vec![("maps", ms(12)), ("load", ms(400))];
        assert_eq!(stages.line(), "attached in 412 ms: maps 12, load 400");
        stages.read_by("helpers".to_owned());
        assert!(stages.line().ends_with("load 400; reads by helpers"));
        assert_eq!(stages.programs(), None);
        stages.loaded((0..9).map(|n| ("one", ms(9 - n))).collect());
        let said = stages.programs().unwrap();
        assert_eq!(said, "verified longest, in ms: one 9, one 8, one 7, one 6");
    }
}
