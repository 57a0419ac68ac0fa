//! Which load is the fastest here, and runs of it with and without the tracer in turns.

use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::time::Duration;

use super::load::Kind;
use super::run::{Load, Run, Tracer, run};
use super::zram::Disk;
use crate::signal;
use crate::soak::process::Program;

/// How long a trial is, and a run.
const TRIAL: Duration = Duration::from_millis(700);
const TIME: Duration = Duration::from_secs(2);
/// Trials of each set-up; the highest rate of them counts.
const TRIALS: u32 = 2;
/// Threads that write. A collision needs another one each.
const WRITERS: [usize; 3] = [1, 2, 4];

/// A set-up, and the highest rate that it has made without the tracer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trial {
    /// Filesystem.
    pub filesystem: &'static str,
    /// Threads that write.
    pub writers: usize,
    /// Failures a second.
    pub rate: f64,
}

/// What was measured.
pub struct Figures {
    /// By load.
    pub loads: Vec<(Kind, Vec<Trial>, [Vec<Run>; 3])>,
    /// Runs whose counts do not agree.
    pub wrong: Vec<String>,
}

/// Tries all set-ups, and runs the fastest of each load `rounds` times.
///
/// # Errors
/// When a run fails, or ctrl-C was pressed.
pub fn measure(program: &Program, scratch: &Path, disks: &[Disk], rounds: u32) -> Result<Figures> {
    let mut figures = Figures {
        loads: Vec::new(),
        wrong: Vec::new(),
    };
    for kind in Kind::ALL {
        let trials = trials(program, scratch, disks, kind)?;
        let best = highest(&trials).context("nothing was tried")?;
        ensure!(
            best.rate > 0.0,
            "{}: the load made no failures: nothing can be measured",
            kind.name()
        );
        let disk = disks.iter().find(|disk| disk.kind == best.filesystem);
        let load = Load {
            kind,
            disk: disk.context("no disk")?,
            writers: best.writers,
            time: TIME,
        };
        let mut runs = [const { Vec::new() }; 3];
        for round in 0..rounds as usize {
            eprintln!("{}: round {} of {rounds}", kind.name(), round + 1);
            for turn in 0..Tracer::ALL.len() {
                // Who comes first takes turns as well.
                let at = (round + turn) % Tracer::ALL.len();
                let one = go(program, scratch, Tracer::ALL[at], load)?;
                let wrong = one.traced.as_ref().and_then(|t| t.wrong.as_ref());
                figures.wrong.extend(
                    wrong.map(|why| format!("{}, {}: {why}", kind.name(), Tracer::ALL[at].name())),
                );
                runs[at].push(one);
            }
        }
        figures.loads.push((kind, trials, runs));
    }
    Ok(figures)
}

fn trials(program: &Program, scratch: &Path, disks: &[Disk], kind: Kind) -> Result<Vec<Trial>> {
    let mut trials = Vec::new();
    for disk in disks {
        for writers in WRITERS {
            let load = Load {
                kind,
                disk,
                writers,
                time: TRIAL,
            };
            let mut trial = Trial {
                filesystem: disk.kind,
                writers,
                rate: 0.0,
            };
            for _ in 0..TRIALS {
                let one = go(program, scratch, Tracer::None, load)?;
                trial.rate = trial.rate.max(one.rate());
            }
            eprintln!(
                "{}: {}, {writers} writing: {:.0}/s",
                kind.name(),
                disk.kind,
                trial.rate
            );
            trials.push(trial);
        }
    }
    Ok(trials)
}

fn go(program: &Program, scratch: &Path, tracer: Tracer, load: Load<'_>) -> Result<Run> {
    ensure!(
        !signal::interrupted(),
        "interrupted; everything is cleaned up"
    );
    run(program, scratch, tracer, load)
        .with_context(|| format!("{}, {}", load.kind.name(), tracer.name()))
}

/// The trial with the highest rate.
pub fn highest(trials: &[Trial]) -> Option<&Trial> {
    trials.iter().max_by(|a, b| a.rate.total_cmp(&b.rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_rate_is_chosen() {
        let trial = |writers, rate| Trial {
            filesystem: "xfs",
            writers,
            rate,
        };
        let trials = [trial(1, 9.0), trial(2, 11.0), trial(4, 10.0)];
        assert_eq!(highest(&trials).unwrap().writers, 2);
        assert_eq!(highest(&[]), None);
    }
}
