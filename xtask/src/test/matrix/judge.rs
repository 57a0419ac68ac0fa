//! Whether what a guest has left behind is as it should be.

use super::check::causes::Causes;
use super::check::counts::{self, Counted};
use super::check::join::{self, Joined};
use super::check::programs::{self, Sizes};
use super::check::{agree, compare, fiemap, hooks, left, standby};
use super::files::{self, PLANS, Run};
use super::kernel::{self, Seen};
use super::log::{Log, Mount};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::path::Path;

/// Of a hundred failures, so many must have a cause.
const KNOWN: u64 = 98;
/// Of a hundred failures of `repro buffered` on btrfs, so many must be exact where ordered I/O is
/// in the way.
const EXACT: u64 = 99;
/// How often ordered I/O must have been in the way there, for anything to be shown.
const SHOWN: u64 = 10;
/// Faults of one kind that are told one by one.
const EXAMPLES: usize = 3;

/// What was found on a kernel.
#[derive(Debug, Default)]
pub struct Report {
    /// The series (`6.12`).
    pub kernel: String,
    /// Its name for itself.
    pub release: String,
    /// A row for each workload on each filesystem.
    pub rows: Vec<Row>,
    /// The sizes of the BPF programs.
    pub sizes: Sizes,
    /// What is not as it should be.
    pub wrong: Vec<String>,
    /// What happened too seldom for anything to be shown, or not as often as it must, which can be
    /// chance: no fault of the tracer yet, but no proof.
    pub scarce: Vec<String>,
    /// What there is to say beside.
    pub notes: Vec<String>,
}

/// A workload on a filesystem.
#[derive(Debug, Default)]
pub struct Row {
    /// Workload.
    pub workload: String,
    /// Filesystem.
    pub fs: String,
    /// What the kernel counted.
    pub counted: Counted,
    /// What each plan made of it.
    pub plans: Vec<Cell>,
}

/// A plan's account of a workload.
#[derive(Debug)]
pub struct Cell {
    /// Plan.
    pub plan: &'static str,
    /// Failures and causes.
    pub causes: Causes,
    /// Comparison with the kernel's own trace, on btrfs.
    pub joined: Joined,
}

impl Report {
    /// All for which the kernel does not pass.
    pub fn all(&self) -> impl Iterator<Item = &String> {
        self.wrong.iter().chain(&self.scarce)
    }

    /// Adds faults of one kind, some of them one by one.
    fn faults(&mut self, what: &str, faults: &[String]) {
        for fault in faults.iter().take(EXAMPLES) {
            self.wrong.push(format!("{what}: {fault}"));
        }
        if faults.len() > EXAMPLES {
            let more = faults.len() - EXAMPLES;
            self.wrong.push(format!("{what}: {more} more like that"));
        }
    }

    fn check(&mut self, what: &str, result: Result<()>) {
        if let Err(error) = result {
            self.wrong.push(format!("{what}: {error:#}"));
        }
    }
}

/// Judges the files in `dir`, of a guest whose kernel is of `series` (`6.12`). `program` is the one
/// that was traced with; it reads its logs here.
pub fn judge(dir: &Path, series: &str, program: &Path) -> Report {
    let mut report = Report {
        kernel: series.to_owned(),
        ..Report::default()
    };
    let ran = ran(dir, series, &mut report);
    let logs_of = |tracer, report: &mut _| logs(dir, tracer, series, program, report);
    let (logs, waiting) = (logs_of("run", &mut report), logs_of("standby", &mut report));
    match files::runs(dir) {
        Ok(runs) => ran.into_iter().for_each(|()| {
            for run in &runs {
                let judged = match run.in_standby() {
                    true => judge_standby(dir, run, &waiting, &mut report),
                    false => judge_run(dir, series, run, &logs, &mut report),
                };
                if let Err(error) = judged {
                    report.wrong.push(format!("{}: {error:#}", name(run)));
                }
            }
            shown(series, &mut report);
        }),
        Err(error) => report.wrong.push(format!("{error:#}")),
    }
    for (plan, log) in &waiting {
        let said = files::text(dir, &format!("standby.{plan}.err")).unwrap_or_default();
        let told = |why: String| format!("standby {plan}: {why}");
        report.wrong.extend(standby::roused(&said, log).map(told));
        report.scarce.extend(standby::scarce(log).map(told));
    }
    let all = logs.iter().chain(&waiting);
    report.sizes = programs::sizes(all.map(|(_, log)| log));
    report.wrong.extend(programs::wrong(&report.sizes));
    if let Err(error) = state(dir, &mut report) {
        report.wrong.push(format!("{error:#}"));
    }
    compared(dir, &mut report);
    report
}

/// Checks the comparison with the reference.
fn compared(dir: &Path, report: &mut Report) {
    report.check("compare", files::status(dir, "compare", 0));
    match files::text(dir, "compare.json").and_then(|text| compare::read(&text)) {
        Ok(compared) => {
            report.faults("compare", &compared.wrong());
            report.notes.push(format!("compare: {}", compared.told()));
        }
        Err(error) => report.wrong.push(format!("compare: {error:#}")),
    }
}

fn name(run: &Run) -> String {
    format!("{} {}", run.workload, run.fs)
}

/// Checks how the commands ended.
fn ran(dir: &Path, series: &str, report: &mut Report) -> Option<()> {
    for plan in PLANS {
        if not_offered(dir, plan, series) {
            let why = files::last_words(dir, &format!("run.{plan}"));
            report.notes.push(format!("no {plan} plan: {why}"));
            continue;
        }
        for (name, expected) in [("run", 0), ("standby", 0), ("killed", 137)] {
            let name = format!("{name}.{plan}");
            report.check(&name, files::status(dir, &name, expected));
        }
    }
    report.check("exec", files::status(dir, "exec", 0));
    Some(())
}

/// On 5.10 the plan `fexit` is there where that is possible.
fn not_offered(dir: &Path, plan: &str, series: &str) -> bool {
    series == "5.10" && plan == "fexit" && files::status(dir, "run.fexit", 5).is_ok()
}

/// The logs that there are of a tracer, `run` or `standby`.
fn logs(
    dir: &Path,
    tracer: &str,
    series: &str,
    program: &Path,
    report: &mut Report,
) -> Vec<(&'static str, Log)> {
    let mut logs = Vec::new();
    for plan in PLANS {
        if not_offered(dir, plan, series) {
            continue;
        }
        match Log::read(program, &files::log(dir, tracer, plan)) {
            Ok(log) => {
                report.faults(plan, &hooks::wrong(&log.start, plan, series));
                match &log.end {
                    None => report
                        .wrong
                        .push(format!("{tracer} {plan}: the log has no end")),
                    Some(end) if log.lost() > 0 || !end.losses.is_empty() => {
                        let losses = &end.losses;
                        let lost = log.lost();
                        report.notes.push(format!(
                            "{tracer} {plan}: {lost} failures lost, losses {losses:?}"
                        ));
                    }
                    Some(_) => {}
                }
                report.release.clone_from(&log.start.kernel.release);
                logs.push((*plan, log));
            }
            Err(error) => report.wrong.push(format!("{tracer} {plan}: {error:#}")),
        }
    }
    logs
}

/// What the kernel's own trace has of a run, and counted.
fn kernels(dir: &Path, run: &Run, logs: &[(&'static str, Log)]) -> Result<(Vec<Seen>, Counted)> {
    let (_, any) = logs.first().context("there is no log")?;
    let dev = device(&any.start.mounts, &run.fs).context("the log has no such mount")?;
    let events = kernel::read(dir, &run.trace)?;
    let counted = Counted::new(&events, run, dev);
    Ok((events, counted))
}

/// Judges a run that the tracers saw from the first failure on: each is counted, and named once all
/// hooks are attached.
fn judge_standby(
    dir: &Path,
    run: &Run,
    logs: &[(&'static str, Log)],
    report: &mut Report,
) -> Result<()> {
    let (_, counted) = kernels(dir, run, logs)?;
    for (plan, log) in logs {
        let what = format!("{} {plan}", name(run));
        let functions = *plan != "tracepoint";
        report.faults(&what, &counts::compare(&counted, log, run, functions));
        if functions {
            report.faults(&what, &standby::unnamed(log, run, KNOWN));
        }
        let seen = log.on(&run.fs, run.ino).len();
        let counted = (counted.pre(), counted.post());
        report.notes.push(format!(
            "{what}: {seen} failures, the kernel counted {counted:?}"
        ));
    }
    Ok(())
}

fn judge_run(
    dir: &Path,
    series: &str,
    run: &Run,
    logs: &[(&'static str, Log)],
    report: &mut Report,
) -> Result<()> {
    let (events, counted) = kernels(dir, run, logs)?;
    let mut cells = Vec::new();
    for (plan, log) in logs {
        let what = format!("{} {plan}", name(run));
        let functions = *plan != "tracepoint";
        report.faults(&what, &counts::compare(&counted, log, run, functions));
        let causes = Causes::new(&log.on(&run.fs, run.ino));
        let seed = run.workload.starts_with("buffered") && run.fs == "btrfs" && blocks(series);
        if functions {
            report.faults(&what, &causes.wrong(KNOWN));
            // Of a few hundred a handful decides: it is run again before it is called a fault.
            if seed {
                let inexact = causes.inexact(EXACT).into_iter();
                report
                    .scarce
                    .extend(inexact.map(|why| format!("{what}: {why}")));
            }
        }
        let mut joined = Joined::default();
        if run.fs == "btrfs" {
            joined = join::join(&events, run, log);
            report.faults(&format!("{what}: wrong pair"), &joined.wrong_pairs);
            let unnamed = format!("{what}: holder not named");
            let unaccounted = joined.unaccounted();
            for told in &joined.last_seen {
                report.notes.push(format!("{what}: last seen: {told}"));
            }
            if log.missed_locks() == 0 {
                report.faults(&unnamed, &unaccounted);
            } else if let Some(first) = unaccounted.first() {
                // Accounted for: the lock's own event was missed.
                let number = unaccounted.len();
                report
                    .notes
                    .push(format!("{unnamed}: {number}, the first: {first}"));
            }
        }
        if fiemap::is_expected(run, series) {
            let told = |why| format!("{what}: {why}");
            report.wrong.extend(fiemap::wrong(log, run).map(told));
            report.scarce.extend(fiemap::scarce(log, run).map(told));
        }
        cells.push(Cell {
            plan,
            causes,
            joined,
        });
    }
    agreement(run, series, logs, report);
    report.rows.push(Row {
        workload: run.workload.clone(),
        fs: run.fs.clone(),
        counted,
        plans: cells,
    });
    Ok(())
}

/// Whether the completion of ordered I/O blocks the release of a folio.
fn blocks(series: &str) -> bool {
    ["5.10", "6.1", "6.12"].contains(&series)
}

/// Compares each plan with those behind it.
fn agreement(run: &Run, series: &str, logs: &[(&str, Log)], report: &mut Report) {
    for (at, (a_plan, a)) in logs.iter().enumerate() {
        for (b_plan, b) in &logs[at + 1..] {
            let mut phases = Vec::new();
            // Before 6.12 the plan of tracepoints does not see direct I/O.
            if *b_plan != "tracepoint" || !["5.10", "6.1"].contains(&series) {
                phases.push("map");
            }
            if *b_plan != "tracepoint" {
                phases.push("post");
            }
            if *b_plan != "tracepoint" || !run.is_generic() {
                phases.push("pre");
            }
            let what = format!("{} {a_plan}/{b_plan}", name(run));
            let agreement = agree::compare(a, b, run, &phases);
            report.faults(&what, agreement.unaccounted(a, b));
            report.faults(&what, &agreement.contradictions);
            if *b_plan == "tracepoint" {
                report.faults(&what, &agree::invented(a, b, run));
            }
        }
    }
}

/// Checks that there was something to see.
fn shown(series: &str, report: &mut Report) {
    let sum = |rows: &mut dyn Iterator<Item = &Row>| -> u64 { rows.map(|r| r.counted.pre()).sum() };
    let mmap = |row: &&Row| row.workload == "mmap" && row.fs != "btrfs";
    if sum(&mut report.rows.iter().filter(mmap)) == 0 {
        report
            .scarce
            .push("no failure on xfs or ext4: nothing was shown".to_owned());
    }
    let seed = |row: &&Row| row.workload.starts_with("buffered") && row.fs == "btrfs";
    let cells = report.rows.iter().filter(seed).flat_map(|row| &row.plans);
    let ordered = cells.filter_map(|cell| cell.causes.causes.get("ordered-io"));
    let ordered = ordered.copied().max().unwrap_or(0);
    if blocks(series) && ordered < SHOWN {
        report.scarce.push(format!(
            "ordered I/O was in the way {ordered} times only: nothing was shown"
        ));
    }
}

/// The number of the device that a filesystem of this kind is on.
fn device(mounts: &[Mount], fs: &str) -> Option<u64> {
    let mount = mounts.iter().find(|mount| mount.fs == fs)?;
    let (major, minor) = mount.dev.split_once(':')?;
    let number = |text: &str| text.parse::<u64>().ok();
    Some(number(major)? << 20 | number(minor)?)
}

/// What is in the kernel during the runs and after them.
fn state(dir: &Path, report: &mut Report) -> Result<()> {
    let read = |name: &str| files::text(dir, &format!("state.{name}"));
    let (before, during, again) = (read("before")?, read("during")?, read("during-again")?);
    for (during, after, what) in [
        (&during, "ended", "SIGINT and SIGTERM"),
        (&again, "killed", "SIGKILL and exit"),
    ] {
        let wrong = left::wrong(&before, during, &read(after)?);
        report
            .wrong
            .extend(wrong.map(|why| format!("after {what}: {why}")));
    }
    Ok(())
}

/// The largest sizes of all kernels.
pub fn largest(reports: &[Report]) -> Sizes {
    let mut all: Sizes = BTreeMap::new();
    for (name, size) in reports.iter().flat_map(|report| &report.sizes) {
        let entry = all.entry(name.clone()).or_default();
        *entry = entry.max(*size);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_directory_is_no_success() {
        let dir = std::env::temp_dir().join(format!("iomap-trace-judge-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        let report = judge(&dir, "6.1", Path::new("/nonexistent"));
        std::fs::remove_dir_all(&dir).unwrap();
        let wrong = [report.wrong, report.scarce].concat().join("\n");
        for what in [
            "run.kprobe: cannot read",
            "killed.fexit: cannot read",
            "run tracepoint: cannot run",
            "nothing was shown",
            "cannot read state.before",
        ] {
            assert!(wrong.contains(what), "{what} is not in {wrong}");
        }
    }

    #[test]
    fn devices_are_found_by_their_filesystem() {
        let mounts = [Mount {
            dev: "254:32".to_owned(),
            fs: "xfs".to_owned(),
        }];
        assert_eq!(device(&mounts, "xfs"), Some(254 << 20 | 32));
        assert_eq!(device(&mounts, "ext4"), None);
    }
}
