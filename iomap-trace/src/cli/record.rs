//! `iomap-trace record`

use anyhow::Result;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use super::common::Common;
use super::plan::{LogTo, Plan, Role, Rows};
use super::run;
use super::upkeep::Upkeep;
use crate::error::{ExitKind, Fail};
use crate::log::{Owner, Rotation, size, time};
use crate::report::audit::FailOn;
use crate::report::{self, Format};

/// Arguments of `record`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
With --rotate-size or --rotate-time a part that is long or old enough is renamed
(log.jsonl.zst to log.000001.jsonl.zst, and so on) and FILE begins anew. Each
part is a whole log; given in their order to `report`, parts are one run.
Without them FILE is emptied at the start; with them what is there is a part.

SIGHUP opens FILE anew: for logrotate. SIGTERM and Ctrl-C end the run. Under
systemd it tells when the programs are attached (Type=notify), and what it sees.")]
pub struct Args {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    upkeep: Upkeep,
    /// Event log to write; zstd when the name ends in .zst
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Begin another part at this size, such as 64M
    #[arg(long, value_name = "SIZE", value_parser = size)]
    rotate_size: Option<u64>,
    /// Begin another part after this time, such as 1h
    #[arg(long, value_name = "TIME", value_parser = time)]
    rotate_time: Option<Duration>,
    /// Keep so many finished parts; a full disk takes the oldest of them, too
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    keep: Option<u16>,
    /// Give the log to this user
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
}

/// Runs `record`.
///
/// # Errors
/// When the tracer cannot start, or the log not be created.
pub fn run(args: &Args) -> Result<ExitCode> {
    let rotation = Rotation {
        size: args.rotate_size,
        time: args.rotate_time,
        keep: args.keep.map(usize::from),
    };
    if args.keep.is_some() && !rotation.wanted() {
        return Err(Fail::error(
            ExitKind::Usage,
            "--keep counts the parts of a log: add --rotate-size or --rotate-time",
        ));
    }
    run::run(&Plan {
        common: args.common.clone(),
        format: Format::Summary {
            width: report::DEFAULT_WIDTH,
        },
        rows: Rows::Stderr,
        summary: Rows::Stderr,
        log: Some(LogTo::Kept {
            path: args.output.clone(),
            rotation,
            owner: args.user.as_deref().map(Owner::named).transpose()?,
        }),
        command: Vec::new(),
        fail_on: FailOn::Never,
        role: Role::Service,
        upkeep: args.upkeep.clone(),
    })
}
