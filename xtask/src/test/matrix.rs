//! The program on other kernels: on each its probes attach, and it counts what the kernel counts.

mod counts;
mod judge;

use super::Outcome;
use crate::signal;
use crate::toolchain::Toolchain;
use crate::util;
use crate::vm::build::{self, What};
use crate::vm::kernel::{Kernel, SERIES};
use crate::vm::run::{self, FILES, Job};
use crate::vm::tools::Tools;
use crate::vm::watch::End;
use anyhow::{Context, Result, bail};
use judge::Report;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What is run in each guest.
const SCRIPT: &str = include_str!("matrix/guest.sh");
/// A guest needs 40 s on an idle machine, and three times that on a busy one. One that hangs is
/// told from its silence, much earlier.
const TIMEOUT: Duration = Duration::from_secs(600);

/// Boots each kernel once, one after the other.
pub fn run(toolchain: &Toolchain) -> Outcome {
    if !cfg!(target_arch = "x86_64") {
        return Outcome::Skipped("the kernels and the program are built for x86-64".into());
    }
    let tools = match Tools::get() {
        Ok(tools) => tools,
        Err(error) => return Outcome::Skipped(format!("{error:#}")),
    };
    // All are there before the first one boots.
    let kernels: Vec<_> = SERIES
        .iter()
        .map(|series| (series.name, Kernel::debian(series.name, false, &tools)))
        .collect();
    let program = match build::executable(toolchain, What::Program) {
        Ok(program) => program,
        Err(error) => return Err(error).into(),
    };
    // A guest that is interrupted is taken down, and its files with it.
    signal::remember_interrupts();
    let mut done = Vec::new();
    for (name, kernel) in kernels {
        let start = Instant::now();
        let (outcome, note) = match kernel {
            Ok(kernel) => on(&kernel, name, &program, toolchain, &tools),
            Err(error) => (Outcome::Skipped(format!("{error:#}")), String::new()),
        };
        let line = super::line(name, &outcome, start.elapsed().as_secs_f64());
        let line = format!("{line}{note}");
        eprintln!("vm: {line}");
        done.push((name, outcome, line));
        if signal::interrupted() {
            break;
        }
    }
    eprintln!("\nvm: kernel=log is the number of failures that each of the two counted");
    for (.., line) in &done {
        eprintln!("vm: {line}");
    }
    overall(done.iter().map(|(name, outcome, _)| (*name, outcome)))
}

/// Runs the script on one kernel, and says how that went.
fn on(
    kernel: &Kernel,
    name: &str,
    program: &Path,
    toolchain: &Toolchain,
    tools: &Tools,
) -> (Outcome, String) {
    let boot = |again: &str| -> Result<(End, u32, PathBuf)> {
        let out = util::target_dir().join(format!("vm/matrix/{name}{again}"));
        let command = ["sh", "-c", SCRIPT].map(str::to_owned);
        let job = Job {
            kernel,
            label: name,
            modules: &[],
            program: Some(program),
            programs: &[],
            append: "",
            command: Some(&command),
            timeout: Some(TIMEOUT),
            out: &out,
        };
        let done = run::run(&job, toolchain, tools)?;
        Ok((done.end, done.hung, out))
    };
    let mut before = String::new();
    let mut booted = boot("");
    if let Ok((End::Crashed(how), 0, out)) = &booted {
        before = format!("the first boot crashed: {how}; see {}", out.display());
        eprintln!("vm: {name}: the kernel crashed ({how}): booting it again, once");
        booted = boot("-again");
    }
    let judged = booted.and_then(|(end, hung, out)| {
        if hung > 0 {
            before = "the first boot hung".to_owned();
        }
        ended(&end)
            .and_then(|()| judge::judge(&out.join(FILES), name))
            .with_context(|| format!("files are in {}", out.display()))
    });
    told(judged, &before)
}

/// The error for a guest that did not come to its end.
fn ended(end: &End) -> Result<()> {
    match end {
        End::Exited(0) => Ok(()),
        End::Exited(status) => bail!("the script ended with {status}"),
        End::TimedOut => bail!("time-out: still running after {} s", TIMEOUT.as_secs()),
        End::Crashed(how) => bail!("the kernel crashed: {how}"),
        End::Hung(how) => bail!("the guest hung: {how}"),
        End::Failed(why) => bail!("{why}"),
    }
}

/// The outcome on one kernel, and what there is to say of a success. `before` is what became of an
/// earlier boot.
fn told(judged: Result<Report>, before: &str) -> (Outcome, String) {
    let before = match before {
        "" => String::new(),
        before => format!(" ({before})"),
    };
    match judged {
        Ok(report) => (Outcome::Passed, format!(": {report}{before}")),
        Err(error) => (Outcome::Failed(format!("{error:#}{before}")), String::new()),
    }
}

/// The outcome of the step from those on the kernels.
fn overall<'a>(outcomes: impl Iterator<Item = (&'a str, &'a Outcome)>) -> Outcome {
    let (mut failed, mut skipped) = (Vec::new(), Vec::new());
    for (name, outcome) in outcomes {
        match outcome {
            Outcome::Passed => {}
            Outcome::Failed(_) => failed.push(name),
            Outcome::Skipped(why) => skipped.push(format!("{name}: {why}")),
        }
    }
    if !failed.is_empty() {
        Outcome::Failed(format!("on {}", failed.join(", ")))
    } else if skipped.is_empty() {
        Outcome::Passed
    } else {
        Outcome::Skipped(skipped.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_kernel_fails_the_step_and_a_missing_one_is_told() {
        let passed = Outcome::Passed;
        let failed = Outcome::Failed("x".into());
        let skipped = Outcome::Skipped("cannot fetch".into());
        let all = |outcomes: [&Outcome; 2]| overall(["5.10", "6.1"].into_iter().zip(outcomes));
        assert_eq!(all([&passed, &passed]), Outcome::Passed);
        assert_eq!(all([&skipped, &failed]), Outcome::Failed("on 6.1".into()));
        let told = Outcome::Skipped("5.10: cannot fetch".into());
        assert_eq!(all([&skipped, &passed]), told);
    }

    #[test]
    fn an_end_before_the_end_is_named() {
        let said = |end: End| ended(&end).unwrap_err().to_string();
        assert!(ended(&End::Exited(0)).is_ok());
        assert_eq!(said(End::TimedOut), "time-out: still running after 600 s");
        assert_eq!(
            said(End::Crashed("Oops: 1".into())),
            "the kernel crashed: Oops: 1"
        );
        assert_eq!(said(End::Hung("60 s".into())), "the guest hung: 60 s");
    }

    #[test]
    fn an_earlier_boot_is_not_kept_quiet() {
        let failed = told(
            ended(&End::TimedOut).map(|()| unreachable!()),
            "the first boot hung",
        );
        assert_eq!(
            failed.0,
            Outcome::Failed("time-out: still running after 600 s (the first boot hung)".to_owned())
        );
    }
}
