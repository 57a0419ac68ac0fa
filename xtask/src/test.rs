//! `cargo xtask test`: everything that the project tests, one step after the other.

mod live;
mod matrix;
mod soak;
mod steps;

use crate::toolchain::Toolchain;
use crate::{signal, util};
use anyhow::Result;
use std::process::ExitCode;
use std::time::Instant;
use steps::Needs;

/// Arguments of `cargo xtask test`.
#[derive(clap::Args)]
pub struct Args {
    /// Also what takes minutes: more cases of the property tests, longer live tests
    #[arg(long)]
    long: bool,
    /// Leave out the live tests, which need root
    #[arg(long)]
    no_live: bool,
    /// Leave out the other kernels, which run in virtual machines
    #[arg(long)]
    no_vm: bool,
    /// Only these steps
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    only: Vec<String>,
    #[command(flatten)]
    matrix: matrix::Options,
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it should.
    Passed,
    /// Not as it should: why, in one line.
    Failed(String),
    /// It could not run here: why, in one line.
    Skipped(String),
}

impl From<Result<()>> for Outcome {
    fn from(result: Result<()>) -> Self {
        match result {
            Ok(()) => Self::Passed,
            Err(error) => Self::Failed(format!("{error:#}")),
        }
    }
}

/// Runs every step, whatever became of those before it.
pub fn run(args: &Args) -> Result<ExitCode> {
    let toolchain = Toolchain::pinned()?;
    let ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    let mut done = Vec::new();
    let wanted = |name: &str| args.only.is_empty() || args.only.iter().any(|only| only == name);
    let steps = steps::all(args.long, &args.matrix).into_iter();
    for step in steps.filter(|step| wanted(step.name)) {
        eprintln!("\n== {}: {}", step.name, step.what);
        let start = Instant::now();
        let outcome = match step.needs {
            Needs::Root if args.no_live => Outcome::Skipped("--no-live".to_owned()),
            Needs::Vm if args.no_vm => Outcome::Skipped("--no-vm".to_owned()),
            _ => (step.run)(&toolchain),
        };
        let outcome = match step.needs {
            Needs::Nothing => outcome,
            Needs::Root | Needs::Vm => in_ci(outcome, ci),
        };
        let line = line(step.name, &outcome, start.elapsed().as_secs_f64());
        eprintln!("-- {line}");
        done.push((outcome, line));
        if signal::interrupted() {
            eprintln!("interrupted: the other steps are left out");
            break;
        }
    }
    eprintln!("\n== summary ({})", util::workspace().display());
    for (_, line) in &done {
        eprintln!("{line}");
    }
    let outcomes: Vec<_> = done.into_iter().map(|(outcome, _)| outcome).collect();
    println!("{}", totals(&outcomes));
    Ok(if outcomes.iter().any(is_failure) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// In continuous integration nobody reads that the live tests or the other kernels were skipped.
fn in_ci(outcome: Outcome, ci: bool) -> Outcome {
    match outcome {
        Outcome::Skipped(why) if ci => Outcome::Failed(format!("skipped in CI: {why}")),
        other => other,
    }
}

fn line(name: &str, outcome: &Outcome, seconds: f64) -> String {
    let (word, why) = match outcome {
        Outcome::Passed => ("passed", ""),
        Outcome::Failed(why) => ("FAILED", why.as_str()),
        Outcome::Skipped(why) => ("skipped", why.as_str()),
    };
    let colon = if why.is_empty() { "" } else { ": " };
    format!("{name:<8} {word:<7} {seconds:>6.1} s{colon}{why}")
}

fn is_failure(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failed(_))
}

fn totals(outcomes: &[Outcome]) -> String {
    let count = |is: fn(&Outcome) -> bool| outcomes.iter().filter(|o| is(o)).count();
    format!(
        "{} passed, {} failed, {} skipped",
        count(|o| *o == Outcome::Passed),
        count(is_failure),
        count(|o| matches!(o, Outcome::Skipped(_))),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_count_each_kind() {
        let failed = Outcome::Failed("x".into());
        let skipped = Outcome::Skipped("x".into());
        assert_eq!(
            totals(&[Outcome::Passed, failed, Outcome::Passed, skipped]),
            "2 passed, 1 failed, 1 skipped"
        );
    }

    #[test]
    fn skipping_is_a_failure_in_ci_only() {
        let skipped = Outcome::Skipped("needs root".into());
        assert_eq!(in_ci(skipped.clone(), false), skipped);
        let failed = Outcome::Failed("skipped in CI: needs root".into());
        assert_eq!(in_ci(skipped, true), failed);
        assert_eq!(in_ci(Outcome::Passed, true), Outcome::Passed);
    }

    #[test]
    fn a_line_says_why() {
        let skipped = Outcome::Skipped("needs root".into());
        assert_eq!(
            line("live", &skipped, 0.04),
            "live     skipped    0.0 s: needs root"
        );
        assert_eq!(
            line("fmt", &Outcome::Passed, 1.0),
            "fmt      passed     1.0 s"
        );
    }
}
