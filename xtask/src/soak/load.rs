//! Workloads at full speed: one on each filesystem at any time.

use super::process::Running;
use super::rng::Rng;
use super::{Stage, Wrong};
use anyhow::Result;
use std::process::Stdio;
use std::time::Duration;

/// The reproducers that every filesystem takes, besides `mmap`.
const MODES: &[&str] = &["buffered", "lockers", "aio"];

/// Workloads, one place each.
pub struct Load {
    places: Vec<Place>,
    rng: Rng,
    begun: u64,
}

struct Place {
    mount: usize,
    begun: u64,
    running: Option<Running>,
}

impl Load {
    /// Starts them.
    pub fn start(stage: &Stage<'_>, rng: Rng) -> Result<Self> {
        let place = |mount| Place {
            mount,
            begun: 0,
            running: None,
        };
        let mut load = Self {
            places: (0..stage.mounts.len()).map(place).collect(),
            rng,
            begun: 0,
        };
        load.tend(stage)?;
        Ok(load)
    }

    /// Begins others for those that have ended.
    pub fn tend(&mut self, stage: &Stage<'_>) -> Result<()> {
        for place in &mut self.places {
            if let Some(running) = &mut place.running
                && running.ended()?.is_none()
            {
                continue;
            }
            self.begun += 1;
            let mut repro = stage.program.command();
            place.begun += 1;
            // The one that makes failures on every filesystem comes every other time.
            let other = self.rng.pick(MODES);
            let mode = if place.begun.is_multiple_of(2) {
                other
            } else {
                "mmap"
            };
            let seconds = self.rng.within(3..15);
            repro.args(["repro", mode, "--seconds", &seconds.to_string()]);
            repro.args(["--seed", &self.begun.to_string(), "--dir"]);
            repro.arg(stage.mounts[place.mount].1.path());
            let said = stage.scratch.join(format!("repro.{}.err", place.mount));
            place.running = Some(Running::start(repro, Stdio::null(), said)?);
        }
        Ok(())
    }

    /// Ends them; each must end well.
    pub fn end(mut self, wrong: &mut Wrong) -> Result<()> {
        for running in self.places.iter_mut().filter_map(|p| p.running.as_mut()) {
            running.signal(libc::SIGINT);
            let ended = running.wait(Duration::from_secs(60))?;
            wrong.unless(ended.is_some_and(|status| status.success()), || {
                format!(
                    "a workload ended with {ended:?}: {}",
                    running.words().trim()
                )
            });
        }
        println!(
            "  workloads: {} on {} filesystems",
            self.begun,
            self.places.len()
        );
        Ok(())
    }
}
