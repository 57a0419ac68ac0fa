//! `--standby`: most hooks wait for the first failure, and wait again when there was none for a while.

use std::time::{Duration, Instant};

use super::say::Level;
use crate::capture::Source;
use crate::probe::{Roused, Tracer};

/// After so long without a failure they wait again, where nothing else was asked for.
pub const QUIET: &str = "10m";

/// Whether there was a failure, and when the last one was.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    quiet: Duration,
    /// Since the hooks were attached: how many failures there were, and since when so many.
    roused: Option<(u64, Instant)>,
}

impl Watch {
    /// The hooks wait; once attached, until there is no failure for `quiet`.
    pub const fn new(quiet: Duration) -> Self {
        Self {
            quiet,
            roused: None,
        }
    }

    /// Whether hooks wait.
    pub const fn waits(&self) -> bool {
        self.roused.is_none()
    }

    /// Attaches the hooks that wait if a failure came, or was lost; what is to be said of it.
    pub fn rouse(
        &mut self,
        tracer: &mut Tracer,
        source: &mut Source,
    ) -> Option<Vec<(Level, String)>> {
        if source.tally.kept == 0 && tracer.failures_lost() == 0 {
            return None;
        }
        self.roused = Some((0, Instant::now()));
        let roused = tracer.rouse();
        source.roused(&roused.hooks);
        Some(said(&roused))
    }

    /// Whether there was no failure for so long that the hooks may wait again; `failures`: how many
    /// were judged so far.
    pub fn is_quiet(&mut self, failures: u64, now: Instant) -> bool {
        let Some((before, since)) = &mut self.roused else {
            return false;
        };
        if *before != failures {
            (*before, *since) = (failures, now);
        }
        now.saturating_duration_since(*since) >= self.quiet
    }
}

fn said(roused: &Roused) -> Vec<(Level, String)> {
    let mut lines = vec![(
        Level::Notice,
        format!(
            "a failure: attached {} within {:.1} ms; verdicts on what was before say what they lack",
            roused.hooks.join(" "),
            roused.took.as_secs_f64() * 1e3
        ),
    )];
    lines.extend(roused.failed.iter().map(|(hook, why)| {
        let line = format!("without {hook}, which could be attached at the start: {why}");
        (Level::Warning, line)
    }));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_quiet_so_long_after_the_last_failure() {
        let mut watch = Watch::new(Duration::from_secs(10));
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        assert!(watch.waits() && !watch.is_quiet(0, at(100)));
        watch.roused = Some((0, began));
        assert!(!watch.waits() && !watch.is_quiet(0, at(9)));
        assert!(!watch.is_quiet(3, at(10)), "there were failures");
        assert!(!watch.is_quiet(3, at(19)));
        assert!(watch.is_quiet(3, at(20)));
    }

    #[test]
    fn what_could_not_be_attached_is_said() {
        let lines = said(&Roused {
            hooks: vec!["dirty", "cached"],
            failed: vec![("release", "fexit_unmap: gone".to_owned())],
            took: Duration::from_micros(1540),
        });
        assert!(
            lines[0].1.contains("attached dirty cached within 1.5 ms"),
            "{}",
            lines[0].1
        );
        assert_eq!(lines[1].0, Level::Warning);
        assert!(lines[1].1.contains("without release"), "{}", lines[1].1);
    }
}
