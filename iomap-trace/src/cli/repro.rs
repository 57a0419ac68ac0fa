//! `iomap-trace repro`

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};

use super::output;
use crate::text::printable;
use crate::workload::{self, Locker, Mode, Options};

/// Arguments of `repro`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
At the end dirty pages are written back, then the range is read through the
page cache as it is and with O_DIRECT: a clean page with old contents differs.
Exit status: 0 the run went through, whatever it found; 1 error; 2 usage.")]
pub struct Args {
    /// Which writers collide
    mode: Mode,
    /// Directory for the file, on the filesystem under test
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// How long to run, in seconds
    #[arg(long, value_name = "N", default_value = "10", value_parser = seconds)]
    seconds: Duration,
    /// Seed of each thread's choices
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
    /// No collision: each kind of writer keeps to its half of the file
    #[arg(long)]
    control: bool,
    /// Name of the file, which must not exist [default: iomap-trace-repro-PID.dat]
    #[arg(long, value_name = "FILE")]
    name: Option<OsString>,
    /// Length of the range that is written to, in bytes (K, M, G are understood)
    /// [default: 512K for mmap, 2M for lockers, 8M otherwise]
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    file_size: Option<u64>,
    /// Start of that range; what is before it stays a hole
    #[arg(long, value_name = "BYTES", default_value = "0", value_parser = bytes)]
    offset: u64,
    /// Bytes per write [default: 64K for buffered, 16K otherwise]
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    block: Option<u64>,
    /// Bytes per buffered write [default: a quarter of --block for buffered,
    /// --block otherwise]
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    dirty_block: Option<u64>,
    /// Threads that write with O_DIRECT [default: 6 for lockers, 2 otherwise]
    #[arg(long, value_name = "N")]
    direct_threads: Option<u32>,
    /// Threads that dirty the page cache [default: 1 for lockers, 2 otherwise]
    #[arg(long, value_name = "N")]
    dirty_threads: Option<u32>,
    /// Writes each aio or uring thread keeps in flight
    #[arg(long, value_name = "N", default_value_t = 8)]
    depth: u32,
    /// A thread calls fsync this often; 0 for once at the end
    /// [default: 100 for aio, uring and lockers, 0 otherwise]
    #[arg(long, value_name = "MS")]
    fsync_every: Option<u64>,
    /// Only these threads beside the writers (lockers) [default: all]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    only: Vec<Locker>,
    /// Leave copy-on-write and checksums on (btrfs)
    #[arg(long)]
    cow: bool,
    /// Leave the file behind
    #[arg(long)]
    keep: bool,
}

impl Args {
    fn options(&self) -> Options {
        let defaults = Options::new(self.mode, &self.dir);
        let block = self.block.unwrap_or(defaults.block);
        Options {
            name: self.name.clone().unwrap_or(defaults.name),
            duration: self.seconds,
            seed: self.seed,
            control: self.control,
            file_size: self.file_size.unwrap_or(defaults.file_size),
            offset: self.offset,
            block,
            dirty_block: self
                .dirty_block
                .unwrap_or_else(|| self.mode.dirty_block(block)),
            direct_threads: self.direct_threads.unwrap_or(defaults.direct_threads),
            dirty_threads: self.dirty_threads.unwrap_or(defaults.dirty_threads),
            depth: self.depth,
            fsync_every: match self.fsync_every {
                Some(ms) => Some(Duration::from_millis(ms)),
                None if !self.only.is_empty() && !self.only.contains(&Locker::Fsync) => None,
                None => defaults.fsync_every,
            },
            lockers: if self.only.is_empty() {
                defaults.lockers
            } else {
                self.only.clone()
            },
            cow: self.cow,
            keep: self.keep,
            ..defaults
        }
    }
}

/// Runs `repro`.
pub fn run(args: &Args) -> Result<ExitCode> {
    let stop = workload::on_signals().context("cannot install signal handlers")?;
    let options = args.options();
    let outcome = workload::run(&options, stop, |file| {
        eprintln!(
            "repro: {} for {} s on {}; Ctrl-C ends it",
            options.mode.name(),
            options.duration.as_secs_f64(),
            printable(&file.path)
        );
    })?;
    let text = if args.json {
        format!("{}\n", serde_json::to_string(&outcome)?)
    } else {
        outcome.to_string()
    };
    output::write_all(io::stdout(), text.as_bytes())
        .context("cannot write the summary to stdout")?;
    Ok(ExitCode::SUCCESS)
}

/// A number of seconds, fractions allowed.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    text.parse::<f64>()
        .ok()
        .filter(|s| *s > 0.0 && *s <= 1e9)
        .and_then(|s| Duration::try_from_secs_f64(s).ok())
        .ok_or_else(|| "give a number of seconds above 0".to_owned())
}

/// A number of bytes with an optional K, M, G or T (powers of 1024).
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 20),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 30),
        Some(b't' | b'T') => (&text[..text.len() - 1], 40),
        _ => (text, 0),
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(1 << shift))
        .ok_or_else(|| "give a number of bytes such as 65536, 64K or 8M".to_owned())
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

    fn parse(args: &[&str]) -> Result<Options, clap::Error> {
        let all = ["repro"].iter().chain(args);
        Cli::try_parse_from(all).map(|cli| cli.args.options())
    }

    #[test]
    fn the_defaults_are_those_of_the_library() {
        for mode in [Mode::Mmap, Mode::Buffered, Mode::Aio, Mode::Lockers] {
            let parsed = parse(&[mode.name(), "--dir", "/d"]).unwrap();
            let library = Options::new(mode, "/d");
            assert_eq!(format!("{parsed:?}"), format!("{library:?}"));
        }
    }

    #[test]
    fn sizes_and_times_are_understood() {
        let options = parse(&[
            "aio",
            "--dir",
            "/d",
            "--offset",
            "5G",
            "--block",
            "4096",
            "--seconds",
            "0.5",
            "--fsync-every",
            "7",
        ])
        .unwrap();
        assert_eq!((options.offset, options.block), (5 << 30, 4096));
        assert_eq!(options.duration, Duration::from_millis(500));
        assert_eq!(options.fsync_every, Some(Duration::from_millis(7)));
        for bad in [
            ["--offset", "99999999T"],
            ["--block", "x"],
            ["--seconds", "-1"],
        ] {
            assert!(parse(&["aio", "--dir", "/d", bad[0], bad[1]]).is_err());
        }
        assert!(parse(&["aio"]).is_err());
        let options = parse(&["buffered", "--dir", "/d", "--block", "4K"]).unwrap();
        assert_eq!((options.block, options.dirty_block), (4096, 1024));
    }

    #[test]
    fn lockers_can_be_chosen() {
        let options = parse(&["lockers", "--dir", "/d", "--only", "fiemap,direct-read"]).unwrap();
        assert_eq!(options.lockers, [Locker::Fiemap, Locker::DirectRead]);
        assert_eq!(options.fsync_every, None);
        options.validate().unwrap();
        let options = parse(&["lockers", "--dir", "/d", "--only", "fsync"]).unwrap();
        assert!(options.fsync_every.is_some());
        let options = parse(&["mmap", "--dir", "/d", "--only", "seek"]).unwrap();
        assert!(options.validate().is_err());
        assert!(parse(&["lockers", "--dir", "/d", "--only", "sleep"]).is_err());
        assert!(parse(&["nonsense", "--dir", "/d"]).is_err());
    }
}
