//! The kernel's column under the tracer: this program once more, tracing this program once more.

use std::fs::File;
use std::io::{BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail};

use super::column::ColumnReport;
use super::runner::{Place, run};
use super::schedule::Schedule;
use super::target::Column;
use super::traced::Traced;
use crate::error::ExitKind;
use crate::text::printable;

/// What this program's errors begin with; so does the line that names the plan of a tracer.
const SAYS: &str = "iomap-trace: ";

/// How the kernel's column is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tracing<'a> {
    /// Value of `--probes`.
    pub probes: &'a str,
}

/// Runs a column in this process, untraced.
///
/// # Errors
/// As [`run`].
pub fn alone(
    schedule: &Schedule,
    column: Column,
    place: &Place,
    stop: &AtomicBool,
) -> Result<ColumnReport> {
    let ran = run(schedule, column, place, stop)?;
    Ok(ColumnReport::new(column, schedule, &ran))
}

/// Runs the kernel's column under the tracer. Where that cannot be attached, the column is run
/// untraced, with a note that says why.
///
/// # Errors
/// When the column itself cannot be run.
pub fn kernel(
    schedule: &Schedule,
    place: &Place,
    tracing: Option<Tracing<'_>>,
    stop: &AtomicBool,
) -> Result<ColumnReport> {
    let why = match tracing {
        None => "tracing was not asked for".to_owned(),
        Some(tracing) => match traced(schedule, place, tracing)? {
            Ok(report) => return Ok(report),
            Err(why) => why,
        },
    };
    let mut report = alone(schedule, Column::Kernel, place, stop)?;
    report.notes.push(format!(
        "not traced: {why}. Which invalidations failed, why, and how many writes went through the \
         page cache is not known"
    ));
    Ok(report)
}

/// `Err` in the result: why there is no tracer.
fn traced(
    schedule: &Schedule,
    place: &Place,
    tracing: Tracing<'_>,
) -> Result<Result<ColumnReport, String>> {
    let dir = Scratch::new()?;
    let at = |name: &str| dir.0.join(name);
    schedule.save(&at("schedule.json"))?;
    let own = std::env::current_exe().context("this program does not know its own path")?;
    let said = File::create(at("stderr")).context("cannot make a temporary file")?;
    let mut command = Command::new(&own);
    command.args(["exec", "--probes", tracing.probes, "-o"]);
    command.arg(at("log.jsonl")).arg("--").arg(&own);
    command.args(["compare", "--column", "kernel", "--schedule"]);
    command
        .arg(at("schedule.json"))
        .arg("--dir")
        .arg(&place.dir);
    command.arg("--result").arg(at("result.json"));
    if let Some(time) = place.time {
        command.args(["--seconds", &time.as_secs_f64().to_string()]);
    }
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(said)
        .status()
        .context("this program cannot be run once more")?;
    let words = || last_words(&at("stderr"));
    let no_tracer = [ExitKind::Privileges, ExitKind::NoProbe].map(|kind| kind as i32);
    match status.code() {
        Some(0) => {}
        Some(code) if no_tracer.contains(&code) => return Ok(Err(words())),
        // The tracer ends with 1 where it cannot start; then the column has not begun.
        _ if !at("log.jsonl").exists() => return Ok(Err(words())),
        _ => bail!("the kernel's column cannot be run: {}", words()),
    }
    let result = File::open(at("result.json")).context("the column left no result")?;
    let mut report: ColumnReport =
        serde_json::from_reader(BufReader::new(result)).context("the column's result")?;
    report.traced = Some(Traced::read(&at("log.jsonl"))?);
    Ok(Ok(report))
}

/// The last error in a file, without the program's name; the last line where there is none.
fn last_words(path: &std::path::Path) -> String {
    let mut said = Vec::new();
    // Without it there is nothing to say.
    let _ = File::open(path).and_then(|mut file| file.read_to_end(&mut said));
    let said = String::from_utf8_lossy(&said);
    let lines = || said.lines().filter(|line| !line.trim().is_empty()).rev();
    let error = |line: &&str| {
        let told = line
            .strip_prefix(SAYS)
            .filter(|told| !told.starts_with("plan "));
        told.is_some() || line.starts_with("error: ")
    };
    let last = lines().find(error).or_else(|| lines().next());
    let last = last.unwrap_or("it did not say why");
    printable(last.trim_start_matches(SAYS).trim_end_matches('.'))
}

/// A directory for this user alone, gone with what is in it.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let name = format!("iomap-trace-compare-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing can be done about what stays.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_found_among_what_the_tracer_says() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let said = |text: &str| {
            std::fs::write(file.path(), text).unwrap();
            last_words(file.path())
        };
        let tracer = "iomap-trace: plan fexit\n  hooks: dio\n";
        let summary = "No failed invalidation in 1s.\nNo record was lost.\n";
        assert_eq!(
            said(&format!("{tracer}iomap-trace: no space in /d\n{summary}")),
            "no space in /d"
        );
        assert_eq!(
            said(&format!("{tracer}error: SIGBUS\n{summary}")),
            "error: SIGBUS"
        );
        assert_eq!(said("iomap-trace: no BPF.\n"), "no BPF");
        assert_eq!(said(summary), "No record was lost");
        assert_eq!(said(""), "it did not say why");
    }
}
