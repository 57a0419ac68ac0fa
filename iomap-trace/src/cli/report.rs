//! `iomap-trace report`

mod bar;

use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use self::bar::Bar;
use crate::report::{self, Format};

/// Arguments of `report`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Event logs, plain or zstd; - reads standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What to write
    #[arg(long, value_enum, default_value_t = Kind::Table)]
    format: Kind,
    /// Failure to show, by its number in the log [default: the clearest of each kind]
    #[arg(long, value_name = "N")]
    failure: Option<u64>,
    /// Write to FILE instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// A row for each failure, and a summary
    Table,
    /// The interleaving of a failure, as text for a mail
    Timeline,
    /// A bug report
    Markdown,
    /// The bug report as one HTML file, with a timeline of all failures
    Html,
    /// Trace events for the Perfetto UI (ui.perfetto.dev)
    Perfetto,
    /// The log's records with the verdicts among them, and a summary, as NDJSON
    Json,
}

/// Runs `report`.
///
/// # Errors
/// When a log cannot be read, is none or is damaged; when the report cannot be written.
pub fn run(args: &Args) -> Result<ExitCode> {
    if args.failure.is_some() && args.format != Kind::Timeline {
        bail!("--failure chooses what a timeline shows: add --format timeline");
    }
    let format = match args.format {
        Kind::Timeline => Format::Timeline {
            failure: args.failure,
        },
        Kind::Markdown => Format::Markdown,
        Kind::Html => Format::Html,
        Kind::Perfetto => Format::Perfetto,
        Kind::Json => Format::Json,
        Kind::Table if args.output.is_some() => Format::Table {
            width: report::DEFAULT_WIDTH,
        },
        Kind::Table => Format::Table {
            width: report::terminal_width(),
        },
    };
    if args.files.iter().any(|file| file == Path::new("-")) && io::stdin().is_terminal() {
        bail!("standard input is a terminal, not an event log: name a file, or pipe one in");
    }
    let result = match &args.output {
        None => {
            let out = io::stdout().lock();
            let terminal = out.is_terminal();
            write(args, format, out, terminal)
        }
        Some(output) => {
            refuse_input(output, &args.files)?;
            let file = File::create(output)
                .with_context(|| format!("{} cannot be created", output.display()))?;
            write(args, format, file, false)
        }
    };
    match result {
        // Whoever reads the report has seen enough of it.
        Err(error) if is_broken_pipe(&error) => Ok(ExitCode::SUCCESS),
        other => other.map(|()| ExitCode::SUCCESS),
    }
}

fn write(args: &Args, format: Format, out: impl Write, terminal: bool) -> Result<()> {
    let bar = Bar::new(terminal);
    let mut out = BufWriter::with_capacity(64 << 10, bar.above(out, terminal));
    let result = report::replay_watched(
        &args.files,
        format,
        &mut out,
        &mut bar.above(io::stderr(), true),
        &mut |progress, out| bar.show(progress, out),
    );
    let flushed = out.flush().context("the report cannot be written");
    bar.clear();
    flushed.and(result)
}

/// Creating the output would empty a log that is to be read.
fn refuse_input(output: &Path, inputs: &[PathBuf]) -> Result<()> {
    let id = |path: &Path| fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
    if let Some(output_id) = id(output)
        && inputs.iter().any(|input| id(input) == Some(output_id))
    {
        bail!(
            "{} is also a log to read: choose another file with -o",
            output.display()
        );
    }
    Ok(())
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}
