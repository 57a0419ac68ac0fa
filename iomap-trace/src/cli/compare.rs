//! `iomap-trace compare`

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

use super::output;
use super::repro::{bytes, seconds};
use crate::error::{ExitKind, Fail};
use crate::probe::Choice;
use crate::reference::compare::{
    Column, Comparison, Mix, Place, Schedule, Tracing, alone, minimal,
};
use crate::report;
use crate::text::printable;
use crate::workload;

/// How long each column runs where neither a time nor a number of operations is given.
const SECONDS: Duration = Duration::from_secs(2);

/// Arguments of `compare`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each column runs the same schedule on a new file: `kernel` is the kernel's own
direct write path, under the tracer where one can be attached; the others are
the reference in user space, by policy (`iomap-trace model --help`).
Stale, lost and torn data is told from the data: each write carries its
identity in every sector. A schedule that breaks an invariant is made smaller
and saved.
Exit status: 0 every invariant held; 1 one was broken, or error; 2 usage.")]
pub struct Args {
    /// Directory for the files, on the filesystem under test
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// How long each column runs, in seconds [default: 2, unless --ops is given]
    #[arg(long, value_name = "N", value_parser = seconds)]
    seconds: Option<Duration>,
    /// Operations of each thread, which it does once [default: as many as there
    /// is time for]
    #[arg(long, value_name = "N", conflicts_with = "schedule",
          value_parser = clap::value_parser!(u32).range(1..))]
    ops: Option<u32>,
    /// Seed of the schedule
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        conflicts_with = "schedule"
    )]
    seed: u64,
    /// Print one JSON object instead of text
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Print a section for a report in Markdown instead of text
    #[arg(long)]
    markdown: bool,
    /// Replay this schedule
    #[arg(long, value_name = "FILE")]
    schedule: Option<PathBuf>,
    /// Keep the schedule in this file
    #[arg(long, value_name = "FILE")]
    save_schedule: Option<PathBuf>,
    /// Where a schedule that breaks an invariant is saved
    /// [default: iomap-trace-compare-COLUMN-SEED.json in the working directory]
    #[arg(long, value_name = "FILE")]
    save_failing: Option<PathBuf>,
    /// Columns: kernel, generic, warn, fallback, enotblk, strict [default: all]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    policies: Vec<Column>,
    /// No concurrency: one thread does everything
    #[arg(long, conflicts_with = "schedule")]
    serial: bool,
    /// Leave copy-on-write and checksums on (btrfs)
    #[arg(long, conflicts_with = "schedule")]
    cow: bool,
    /// Threads that write with O_DIRECT
    #[arg(
        long,
        value_name = "N",
        default_value_t = 2,
        conflicts_with = "schedule"
    )]
    direct_writers: u32,
    /// Threads that write through the page cache
    #[arg(
        long,
        value_name = "N",
        default_value_t = 2,
        conflicts_with = "schedule"
    )]
    buffered_writers: u32,
    /// Threads that store through a mapping
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        conflicts_with = "schedule"
    )]
    mmap_writers: u32,
    /// Threads that read through the page cache
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        conflicts_with = "schedule"
    )]
    buffered_readers: u32,
    /// Threads that read with O_DIRECT
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        conflicts_with = "schedule"
    )]
    direct_readers: u32,
    /// Length of the file in bytes (K, M, G are understood)
    #[arg(long, value_name = "BYTES", default_value = "2M", value_parser = bytes,
          conflicts_with = "schedule")]
    file_size: u64,
    /// What offsets and lengths are multiples of. Below the size of a page, lost
    /// writes are told and break nothing: the kernel writes whole pages back
    #[arg(long, value_name = "BYTES", default_value = "4K", value_parser = bytes,
          conflicts_with = "schedule")]
    block: u64,
    /// Most blocks of a direct write; others have a quarter of it
    #[arg(long, value_name = "N", default_value_t = 16, conflicts_with = "schedule",
          value_parser = clap::value_parser!(u64).range(1..))]
    blocks: u64,
    /// One in so many operations of a writer is an fsync, of a direct writer one
    /// in four times as many; 0 for none but at the end
    #[arg(
        long,
        value_name = "N",
        default_value_t = 200,
        conflicts_with = "schedule"
    )]
    fsync_every: u64,
    /// One in so many operations of a writer through the page cache or a mapping
    /// is a pause
    #[arg(long, value_name = "N", default_value_t = 32, conflicts_with = "schedule",
          value_parser = clap::value_parser!(u64).range(1..))]
    pause_every: u64,
    /// The longest of these pauses, in microseconds
    #[arg(long, value_name = "US", default_value_t = 500, conflicts_with = "schedule",
          value_parser = clap::value_parser!(u64).range(1..))]
    pause_us: u64,
    /// Force a plan of the tracer's probes
    #[arg(long, value_enum, default_value_t)]
    probes: Choice,
    /// Run the kernel's column without the tracer
    #[arg(long)]
    no_trace: bool,
    /// Run this column alone, here, and leave its result in --result
    #[arg(long, hide = true, value_name = "COLUMN", requires = "result")]
    column: Option<Column>,
    #[arg(long, hide = true, value_name = "FILE")]
    result: Option<PathBuf>,
}

impl Args {
    fn schedule(&self) -> Result<Schedule> {
        if let Some(file) = &self.schedule {
            return Schedule::load(file);
        }
        let default = Mix::default();
        let mix = Mix {
            threads: [
                self.direct_writers,
                self.buffered_writers,
                self.mmap_writers,
                self.buffered_readers,
                self.direct_readers,
            ],
            ops: self.ops.unwrap_or(default.ops),
            rounds: u32::from(self.ops.is_some()),
            file_size: self.file_size,
            block: self.block,
            blocks: self.blocks,
            fsync: self.fsync_every,
            pause: self.pause_every,
            pause_us: self.pause_us,
            serial: self.serial,
            cow: self.cow,
        };
        mix.schedule(self.seed)
            .map_err(|why| Fail::error(ExitKind::Usage, format!("no such schedule: {why:#}")))
    }

    fn place(&self, schedule: &Schedule) -> Place {
        let default = (schedule.rounds == 0).then_some(SECONDS);
        Place {
            dir: self.dir.clone(),
            time: self.seconds.or(default),
        }
    }
}

/// Runs `compare`.
///
/// # Errors
/// In one line, when the schedule cannot be used, or a column cannot be run.
pub fn run(args: &Args) -> Result<ExitCode> {
    let stop = workload::on_signals().context("cannot install signal handlers")?;
    let schedule = args.schedule()?;
    if let Some(file) = &args.save_schedule {
        schedule.save(file)?;
    }
    let place = args.place(&schedule);
    if let (Some(column), Some(result)) = (args.column, &args.result) {
        let report = alone(&schedule, column, &place, stop)?;
        let file = File::create(result).context("cannot make the file of the result")?;
        serde_json::to_writer(io::BufWriter::new(file), &report)?;
        return Ok(ExitCode::SUCCESS);
    }
    let columns = match args.policies.as_slice() {
        [] => Column::all(),
        some => some.to_vec(),
    };
    let probes = args.probes.to_possible_value();
    let tracing = probes.as_ref().map(|value| Tracing {
        probes: value.get_name(),
    });
    let tracing = tracing.filter(|_| !args.no_trace);
    let mut begun = |column: Column| eprintln!("compare: {column}");
    let comparison = Comparison::run(&schedule, &columns, &place, tracing, stop, &mut begun)?;
    print(&text(args, &comparison)?)?;
    keep_failing(args, &schedule, &comparison, &place, stop)?;
    Ok(match comparison.holds() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(ExitKind::Error as u8),
    })
}

fn text(args: &Args, comparison: &Comparison) -> Result<String> {
    Ok(if args.json {
        format!("{}\n", serde_json::to_string(comparison)?)
    } else if args.markdown {
        report::section(comparison)
    } else {
        report::compare_text(comparison, report::DEFAULT_WIDTH)
    })
}

fn print(text: &str) -> Result<()> {
    output::write_all(io::stdout(), text.as_bytes())
        .context("cannot write the comparison to stdout")
}

/// Makes a schedule that broke an invariant smaller, saves it, and says how to replay it.
fn keep_failing(
    args: &Args,
    schedule: &Schedule,
    comparison: &Comparison,
    place: &Place,
    stop: &AtomicBool,
) -> Result<()> {
    let Some((column, violation)) = comparison.first_violation() else {
        return Ok(());
    };
    let broken = violation.broken;
    eprintln!("compare: an invariant was broken in {column}: looking for a smaller schedule");
    let least = minimal(schedule, column, broken, place, stop);
    let default = || format!("iomap-trace-compare-{column}-{}.json", schedule.seed).into();
    let file = args.save_failing.clone().unwrap_or_else(default);
    ensure!(
        args.schedule.as_ref() != Some(&file),
        "the schedule that was replayed is kept: give --save-failing another name"
    );
    least.save(&file)?;
    eprintln!(
        "compare: saved {} of {} operations; replay them with:\n  \
         iomap-trace compare --dir {} --schedule {} --policies {column}",
        least.ops().count(),
        schedule.ops().count(),
        printable(&args.dir.to_string_lossy()),
        printable(&file.to_string_lossy()),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn parse(args: &[&str]) -> Result<Args, clap::Error> {
        let all = ["compare", "--dir", "/d"].iter().chain(args);
        Cli::try_parse_from(all).map(|cli| cli.args)
    }

    #[test]
    fn the_defaults_are_those_of_the_library() {
        let schedule = parse(&[]).unwrap().schedule().unwrap();
        let mix = Mix {
            rounds: 0,
            ..Mix::default()
        };
        assert_eq!(schedule, mix.schedule(1).unwrap());
        let args = parse(&["--ops", "9", "--serial", "--cow"]).unwrap();
        let schedule = args.schedule().unwrap();
        assert!(schedule.serial && schedule.cow && schedule.rounds == 1);
        assert_eq!(args.place(&schedule).time, None);
    }

    #[test]
    fn what_cannot_be_used_is_a_usage_error() {
        for bad in [
            &["--policies", "kernel,bold"][..],
            &["--ops", "0"],
            &["--schedule", "x", "--seed", "3"],
            &["--column", "kernel"],
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
        let error = parse(&["--file-size", "1000"]).unwrap().schedule();
        assert_eq!(Fail::code(&error.unwrap_err()), 2);
        let columns = parse(&["--policies", "kernel,warn"]).unwrap().policies;
        assert_eq!(columns.len(), 2);
    }
}
