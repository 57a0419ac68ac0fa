//! `cargo xtask vm fixtures`: records, on every kernel, what the tests replay.
//!
//! Each fixture is an event log and, beside it, what the live run that wrote the log printed:
//! `KERNEL-FILESYSTEM-WORKLOAD-PLAN.jsonl.zst` and `….live.json.zst` or `….live.table.zst`. Both
//! come from one process in the guest. A recording whose replay does not print what the live run
//! printed, byte for byte, is refused here; `iomap-trace/tests/replay.rs` checks it ever after.

use super::build::{self, What};
use super::kernel::Kernel;
use super::machine::Clock;
use super::names;
use super::run::{self, FILES, Job};
use super::tools::Tools;
use super::watch::End;
use crate::toolchain::Toolchain;
use crate::util;
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

/// What is run in each guest.
const SCRIPT: &str = include_str!("fixtures/guest.sh");
/// A guest needs one minute on an idle machine.
const TIMEOUT: Duration = Duration::from_secs(400);
/// Fewer failures tell nothing.
const FEWEST: usize = 4;
/// Where fixtures stand in the repository.
const FIXTURES: &str = "iomap-trace/tests/fixtures";
/// Ending of an event log.
const LOG: &str = ".jsonl.zst";
/// The best that zstd does without more memory for the reader.
const LEVEL: i32 = 19;

/// Arguments of `cargo xtask vm fixtures`.
#[derive(clap::Args)]
pub struct Args {
    /// Only on these kernels
    #[arg(long, value_delimiter = ',', value_name = "LIST", default_values = names())]
    kernels: Vec<String>,
    /// A static iomap-trace that is built already, of this very tree
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

/// Records on each kernel, and replaces its fixtures when all of them are right.
///
/// # Errors
/// When a kernel cannot be run, or a recording is not right; its fixtures are left as they were.
pub fn run(args: &Args) -> Result<ExitCode> {
    let toolchain = Toolchain::pinned()?;
    let tools = Tools::get()?;
    let program = match &args.program {
        Some(file) => file.clone(),
        None => build::executable(&toolchain, What::Program)?,
    };
    let mut failed = false;
    for name in &args.kernels {
        let done = boot(name, &program, &toolchain, &tools)
            .and_then(|files| take(&files, name, &program))
            .and_then(|fixtures| replace(name, &fixtures));
        if let Err(error) = done {
            failed = true;
            eprintln!("vm: {name}: {error:#}; its fixtures are as they were");
        }
    }
    Ok(ExitCode::from(u8::from(failed)))
}

fn boot(name: &str, program: &Path, toolchain: &Toolchain, tools: &Tools) -> Result<PathBuf> {
    let kernel = Kernel::debian(name, false, tools)?;
    let out = util::target_dir().join("vm/fixtures").join(name);
    let command = ["sh", "-c", SCRIPT].map(str::to_owned);
    let job = Job {
        kernel: &kernel,
        label: name,
        modules: &[],
        program: Some(program),
        programs: &[],
        append: "",
        clock: Clock::default(),
        command: Some(&command),
        timeout: Some(TIMEOUT),
        out: &out,
    };
    let done = run::run(&job, toolchain, tools)?;
    match done.end {
        End::Exited(0) => Ok(out.join(FILES)),
        End::Exited(status) => bail!("the script ended with {status}"),
        End::TimedOut => bail!("still running after {} s", TIMEOUT.as_secs()),
        End::Crashed(how) => bail!("the kernel crashed: {how}"),
        End::Hung(how) => bail!("the guest hung: {how}"),
        End::Failed(why) => bail!("{why}"),
    }
}

/// A recording that is right.
struct Fixture {
    name: String,
    log: Vec<u8>,
    /// `json` or `table`.
    format: &'static str,
    live: Vec<u8>,
}

/// Looks at what a guest has left behind.
fn take(files: &Path, kernel: &str, program: &Path) -> Result<Vec<Fixture>> {
    let mut names: Vec<String> = fs::read_dir(files)
        .with_context(|| format!("cannot read {}", files.display()))?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|file| file.strip_suffix(LOG).map(str::to_owned))
        .collect();
    names.sort();
    ensure!(!names.is_empty(), "nothing was recorded");
    let one = |name: &String| {
        let said = || format!("{name} (files are in {})", files.display());
        fixture(files, kernel, name, program).with_context(said)
    };
    names.iter().map(one).collect()
}

fn fixture(files: &Path, kernel: &str, name: &str, program: &Path) -> Result<Fixture> {
    let file = |ending: &str| files.join(format!("{name}{ending}"));
    let read = |ending: &str| {
        let file = file(ending);
        fs::read(&file).with_context(|| format!("cannot read {}", file.display()))
    };
    let status = String::from_utf8_lossy(&read(".status")?).trim().to_owned();
    ensure!(status == "0", "the recorder ended with {status}");
    let (format, printed) = match read(".json") {
        Ok(printed) => ("json", printed),
        Err(_) => ("table", read(".table")?),
    };
    let log = file(LOG);
    let live = match format {
        "json" => without_cost(&printed),
        _ => with_summary(printed, &read(".err")?)?,
    };
    let replayed = report(program, &log, format)?;
    ensure!(
        live == replayed,
        "its replay differs from what the live run printed, {}",
        differ(&live, &replayed)
    );
    let records = report(program, &log, "json")?;
    let records = String::from_utf8_lossy(&records);
    let failures = records.matches(r#"{"type":"verdict""#).count();
    ensure!(failures >= FEWEST, "only {failures} failures");
    let start: Value = serde_json::from_str(records.lines().next().unwrap_or_default())
        .context("its first record is damaged")?;
    let plan = start["plan"].as_str().context("it names no plan")?;
    let what = name.split('.').next().unwrap_or(name);
    let name = format!("{kernel}-{what}-{plan}");
    eprintln!("vm: {name}: {failures} failures, live = replay ({format})");
    Ok(Fixture {
        name,
        log: fs::read(&log)?,
        format,
        live,
    })
}

/// Without the lines that tell what the run costs: they are of the run, and in no log.
fn without_cost(printed: &[u8]) -> Vec<u8> {
    let lines = printed.split_inclusive(|byte| *byte == b'\n');
    let lines = lines.filter(|line| !line.starts_with(br#"{"type":"cost""#));
    lines.flatten().copied().collect()
}

/// What a live run prints as a table is on two streams: rows on one, the summary at the end of the
/// other, after the lines that tell which hooks there are. An empty line is before it.
fn with_summary(mut rows: Vec<u8>, status: &[u8]) -> Result<Vec<u8>> {
    let text = std::str::from_utf8(status).context("standard error is no text")?;
    let at = text.find("\n\n").context("there is no summary")?;
    rows.extend_from_slice(&status[at + 1..]);
    Ok(rows)
}

/// What the program makes of a log.
fn report(program: &Path, log: &Path, format: &str) -> Result<Vec<u8>> {
    let mut command = Command::new(program);
    command.args(["report", "--format", format]).arg(log);
    let out = command.output().context("cannot run the program")?;
    let said = String::from_utf8_lossy(&out.stderr);
    ensure!(
        out.status.success() && said.is_empty(),
        "its report failed: {said}"
    );
    Ok(out.stdout)
}

/// Where two texts differ.
fn differ(live: &[u8], replayed: &[u8]) -> String {
    let (live, replayed) = (
        String::from_utf8_lossy(live),
        String::from_utf8_lossy(replayed),
    );
    let mut lines = live.lines().zip(replayed.lines()).enumerate();
    lines
        .find(|(_, (live, replayed))| live != replayed)
        .map_or_else(
            || format!("{} and {} bytes", live.len(), replayed.len()),
            |(at, (live, replayed))| format!("line {}:\n  {live}\n  {replayed}", at + 1),
        )
}

/// Puts them in the place of all that the repository has of this kernel.
fn replace(kernel: &str, fixtures: &[Fixture]) -> Result<()> {
    let dir = util::workspace().join(FIXTURES);
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    for entry in fs::read_dir(&dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(&format!("{kernel}-")) {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    for fixture in fixtures {
        let live = zstd::encode_all(&*fixture.live, LEVEL).context("zstd failed")?;
        // Frames as the recorder flushed them are part of what is tested: the log stays as it is.
        let files = [
            (LOG.to_owned(), &fixture.log),
            (format!(".live.{}.zst", fixture.format), &live),
        ];
        for (ending, bytes) in files {
            let path = dir.join(format!("{}{ending}", fixture.name));
            fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_of_a_table_is_taken_from_the_other_stream() {
        let status = b"iomap-trace: plan kprobe\n  hooks: dio\n\n3 failed\n\nphase\n";
        let live = with_summary(b"row\n".to_vec(), status).unwrap();
        assert_eq!(live, b"row\n\n3 failed\n\nphase\n");
        assert!(with_summary(Vec::new(), b"iomap-trace: plan kprobe\n").is_err());
    }

    #[test]
    fn a_difference_is_shown() {
        assert_eq!(differ(b"a\nb\n", b"a\nc\n"), "line 2:\n  b\n  c");
        assert_eq!(differ(b"a\n", b"a\nc\n"), "2 and 4 bytes");
    }
}
