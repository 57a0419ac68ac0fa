//! The program on other kernels: on each, all plans watch the same workloads at the same time, and
//! are judged by what the kernel's own trace has recorded.

mod check;
mod files;
mod judge;
mod kernel;
mod log;
mod observer;
mod table;

use super::Outcome;
use crate::signal;
use crate::toolchain::Toolchain;
use crate::util;
use crate::vm::build::{self, What};
use crate::vm::kernel::{Kernel, SERIES};
use crate::vm::machine::Clock;
use crate::vm::run::{self, FILES, Job};
use crate::vm::tools::Tools;
use crate::vm::watch::End;
use anyhow::{Context, Result, bail};
use judge::Report;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What is run in each guest.
const SCRIPT: &str = include_str!("matrix/guest/run.sh");
/// How many seconds each workload runs.
const SECONDS: &str = "10";
/// A guest needs about two minutes, and three times that on a busy machine. One that
/// hangs is told from its silence, much earlier.
const TIMEOUT: Duration = Duration::from_secs(360);
/// How often a kernel is booted that crashes, or does not come to its end.
const BOOTS: u32 = 5;
/// How often the workloads are run where they show too little: a guest on a busy machine is slow, and
/// runs them for a fixed time.
const RUNS: u32 = 2;

/// Which kernels, and what becomes of the figures.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Options {
    /// Only these kernels
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    kernels: Vec<String>,
    /// Write the figures of the kernels to FILE, as Markdown: the tables of the README and docs/kernels.md
    #[arg(long, value_name = "FILE")]
    matrix_out: Option<PathBuf>,
    /// A static iomap-trace that is built already, for the kernels
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Boot no kernel: judge what the last run has left behind
    #[arg(long)]
    judge_again: bool,
}

/// All that a guest is made from.
struct Guests<'a> {
    toolchain: &'a Toolchain,
    tools: Tools,
    program: PathBuf,
    observer: PathBuf,
}

/// Boots each kernel once, one after the other.
pub fn run(toolchain: &Toolchain, options: &Options) -> Outcome {
    if !cfg!(target_arch = "x86_64") {
        return Outcome::Skipped("the kernels and the program are built for x86-64".into());
    }
    let tools = match Tools::get() {
        Ok(tools) => tools,
        Err(error) => return Outcome::Skipped(format!("{error:#}")),
    };
    let wanted =
        |name: &str| options.kernels.is_empty() || options.kernels.iter().any(|k| k == name);
    // All are there before the first one boots.
    let kernels: Vec<_> = SERIES
        .iter()
        .filter(|series| wanted(series.name))
        .map(|series| (series.name, Kernel::debian(series.name, false, &tools)))
        .collect();
    let program = match &options.program {
        Some(file) => Ok(file.clone()),
        None => build::executable(toolchain, What::Program),
    };
    let (program, observer) = match program.and_then(|p| Ok((p, observer::build(toolchain)?))) {
        Ok(built) => built,
        Err(error) => return Err(error).into(),
    };
    let guests = Guests {
        toolchain,
        tools,
        program,
        observer,
    };
    // A guest that is interrupted is taken down, and its files with it.
    signal::remember_interrupts();
    let (mut done, mut reports) = (Vec::new(), Vec::new());
    for (name, kernel) in kernels {
        let start = Instant::now();
        let outcome = match kernel {
            Ok(kernel) => {
                let (outcome, report) = guests.on(&kernel, name, options.judge_again);
                reports.extend(report);
                outcome
            }
            Err(error) => Outcome::Skipped(format!("{error:#}")),
        };
        let line = super::line(name, &outcome, start.elapsed().as_secs_f64());
        if let Some(report) = reports.last().filter(|report| report.kernel == name) {
            eprintln!("\n{}", table::text(report));
        }
        eprintln!("vm: {line}");
        done.push((name, outcome, line));
        if signal::interrupted() {
            break;
        }
    }
    eprintln!("\n{}", table::sizes(&reports));
    for (.., line) in &done {
        eprintln!("vm: {line}");
    }
    let outcome = overall(done.iter().map(|(name, outcome, _)| (*name, outcome)));
    let Some(file) = &options.matrix_out else {
        return outcome;
    };
    match std::fs::write(file, table::markdown(&reports)) {
        Ok(()) => outcome,
        Err(error) => Outcome::Failed(format!("cannot write {}: {error}", file.display())),
    }
}

impl Guests<'_> {
    /// Runs the script on one kernel, and says how that went.
    fn on(&self, kernel: &Kernel, name: &str, again: bool) -> (Outcome, Option<Report>) {
        let mut before = String::new();
        let mut run = 1;
        loop {
            let (report, boots) = self.judged(kernel, name, again, before.clone());
            let scarce = report.as_ref().ok().and_then(|(_, report)| {
                let only = report.wrong.is_empty() && !again && run < RUNS;
                report.scarce.first().filter(|_| only).cloned()
            });
            let Some(scarce) = scarce else {
                return told(report, &boots);
            };
            before = format!("run {run}: {scarce}");
            eprintln!("vm: {name}: {before}: running it again");
            run += 1;
        }
    }

    /// Runs the script, and judges what it has left behind. `before` is what became of an earlier
    /// run; what became of earlier boots is added, and given back.
    fn judged(
        &self,
        kernel: &Kernel,
        name: &str,
        again: bool,
        mut before: String,
    ) -> (Result<(PathBuf, Report)>, String) {
        let booted = match again {
            true => Ok((End::Exited(0), 0, directory(name))),
            false => self.boot(kernel, name, &mut before),
        };
        let booted = booted.and_then(|(end, hung, out)| {
            if hung > 0 {
                append(&mut before, "the first boot hung");
            }
            let ended = ended(&end).with_context(|| format!("files are in {}", out.display()));
            ended.map(|()| out)
        });
        let report = booted.map(|out| {
            let mut report = judge::judge(&out.join(FILES), name, &self.program);
            if !before.is_empty() {
                report.notes.push(before.clone());
            }
            (out, report)
        });
        (report, before)
    }

    /// Boots a kernel; one that crashes, again. So with one that does not come to its end: on 5.10
    /// and 6.1 FIEMAP, readers and ordered I/O lock each other out for good now and then, no tracer
    /// needed. Every such boot is told.
    fn boot(
        &self,
        kernel: &Kernel,
        name: &str,
        before: &mut String,
    ) -> Result<(End, u32, PathBuf)> {
        let mut directory_of_boot = directory(name);
        for boot in 1..BOOTS {
            let booted = self.boot_into(kernel, name, directory_of_boot);
            let (how, out) = match &booted {
                Ok((End::Crashed(how), 0, out)) => (format!("crashed: {how}"), out),
                Ok((End::TimedOut, 0, out)) => ("did not end".to_owned(), out),
                _ => return booted,
            };
            append(before, &format!("boot {boot} {how}; see {}", out.display()));
            eprintln!("vm: {name}: boot {boot} {how}: booting it again");
            directory_of_boot = directory(&format!("{name}-again{boot}"));
        }
        self.boot_into(kernel, name, directory_of_boot)
    }

    fn boot_into(&self, kernel: &Kernel, name: &str, out: PathBuf) -> Result<(End, u32, PathBuf)> {
        let command = ["sh", "-c", SCRIPT, "guest", SECONDS].map(str::to_owned);
        let job = Job {
            kernel,
            label: name,
            modules: &[],
            program: Some(&self.program),
            programs: std::slice::from_ref(&self.observer),
            append: "",
            clock: Clock::default(),
            command: Some(&command),
            timeout: Some(TIMEOUT),
            out: &out,
        };
        let done = run::run(&job, self.toolchain, &self.tools)?;
        Ok((done.end, done.hung, out))
    }
}

/// Adds to what became of earlier boots.
fn append(before: &mut String, what: &str) {
    if !before.is_empty() {
        before.push_str(", ");
    }
    before.push_str(what);
}

/// Where the files of a guest go.
fn directory(name: &str) -> PathBuf {
    util::target_dir().join("vm/matrix").join(name)
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

/// The outcome on one kernel. `before` is what became of an earlier boot.
fn told(judged: Result<(PathBuf, Report)>, before: &str) -> (Outcome, Option<Report>) {
    let before = match before {
        "" => String::new(),
        before => format!(" ({before})"),
    };
    match judged {
        Ok((_, report)) if report.all().next().is_none() => (Outcome::Passed, Some(report)),
        Ok((out, report)) => {
            let number = report.all().count();
            let first = report.all().next().map_or("", String::as_str);
            let why = format!(
                "{number} faults, the first: {first}; files are in {}",
                out.display()
            );
            (Outcome::Failed(format!("{why}{before}")), Some(report))
        }
        Err(error) => (Outcome::Failed(format!("{error:#}{before}")), None),
    }
}

/// The outcome of the step from those on the kernels.
fn overall<'a>(outcomes: impl Iterator<Item = (&'a str, &'a Outcome)>) -> Outcome {
    let (mut failed, mut skipped) = (Vec::new(), Vec::new());
    for (name, outcome) in outcomes {
        match outcome {
            Outcome::Passed => {}
            Outcome::Failed(why) => failed.push(format!("{name}: {why}")),
            Outcome::Skipped(why) => skipped.push(format!("{name}: {why}")),
        }
    }
    if !failed.is_empty() {
        Outcome::Failed(failed.join("; "))
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
        assert_eq!(all([&skipped, &failed]), Outcome::Failed("6.1: x".into()));
        let both = Outcome::Failed("5.10: x; 6.1: x".into());
        assert_eq!(all([&failed, &failed]), both);
        let told = Outcome::Skipped("5.10: cannot fetch".into());
        assert_eq!(all([&skipped, &passed]), told);
    }

    #[test]
    fn an_end_before_the_end_is_named() {
        let said = |end: End| ended(&end).unwrap_err().to_string();
        assert!(ended(&End::Exited(0)).is_ok());
        assert_eq!(said(End::TimedOut), "time-out: still running after 360 s");
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
            Outcome::Failed("time-out: still running after 360 s (the first boot hung)".to_owned())
        );
    }
}
