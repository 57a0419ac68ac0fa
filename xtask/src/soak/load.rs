//! Workloads at full speed: two on each filesystem, begun again as soon as they end.

use super::process::Running;
use super::rng::Rng;
use super::{Stage, Wrong};
use anyhow::Result;
use std::process::Stdio;
use std::time::Duration;

/// The reproducers that every filesystem takes.
const MODES: &[&str] = &["mmap", "buffered", "lockers", "aio"];

/// Workloads, one place each.
pub struct Load {
    places: Vec<Place>,
    rng: Rng,
    begun: u64,
}

struct Place {
    mount: usize,
    running: Option<Running>,
}

impl Load {
    /// Starts them.
    pub fn start(stage: &Stage<'_>, rng: Rng) -> Result<Self> {
        let place = |mount| Place {
            mount,
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
            let mode = self.rng.pick(MODES);
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
