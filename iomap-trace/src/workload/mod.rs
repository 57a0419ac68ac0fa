//! Reproducers: writers that collide on one file on purpose, and know the truth about it.
//!
//! A run makes a new file, writes it out in full, lets its threads write random blocks for a while,
//! and then says what each thread did (so that a test knows who can have been the other party), how
//! often fsync returned EIO, and whether the page cache and the disk agree. Every sector carries
//! the identity of its write. The file is removed at the end.
//!
//! The seed fixes each thread's choices, not how the threads interleave.

mod aio;
pub(crate) mod buffer;
pub(crate) mod check;
mod entry;
mod fiemap;
pub(crate) mod file;
mod fsync;
mod identity;
mod inflight;
mod job;
mod locker;
pub(crate) mod mmap;
mod options;
mod outcome;
mod plain;
mod read;
mod reflink;
mod seek;
pub(crate) mod stamp;
mod stop;
pub(crate) mod tally;
mod threads;
mod uring;

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

use crate::rng;

pub use check::{DataCheck, Writer};
pub use fsync::FsyncCounts;
pub use identity::FileInfo;
pub use locker::Locker;
pub use options::{Mode, Options, Range, default_name};
pub use outcome::Outcome;
pub use stop::on_signals;
pub use tally::{Role, Tally};

/// Runs the workload until its time is over or `stop` is set (see [`on_signals`]). `started` is
/// called with the file, once it is there, before the threads start.
///
/// Differing data is a finding, not an error. Fails with one line where the options cannot be used,
/// the file cannot be made or written with O_DIRECT, or the mode's system calls are not there;
/// nothing is left behind then.
pub fn run(
    options: &Options,
    stop: &AtomicBool,
    started: impl FnOnce(&FileInfo),
) -> Result<Outcome> {
    options.validate()?;
    threads::check_queue(options)?;
    let file = file::WorkFile::create(options, stop)?;
    let mut syncer = fsync::Syncer::new(&file.sync);
    started(&file.info);
    let (threads, elapsed) = threads::run(options, &file, &mut syncer, stop)?;
    // Dirty pages must reach the disk before the two are compared. An error is counted, and it is
    // what a post-write failure looks like: no reason to stop.
    let last = syncer.call();
    if let Err(error) = &last
        && error.raw_os_error() != Some(libc::EIO)
    {
        last.context("cannot write the file out at the end")?;
    }
    let data = check::run(file.buffered(), &file.direct, options.range(), &threads)
        .context("cannot read the file back")?;
    Ok(Outcome {
        mode: options.mode,
        seed: options.seed,
        seconds: (elapsed.as_secs_f64() * 1000.0).round() / 1000.0,
        interrupted: stop.load(Ordering::Relaxed),
        control: options.control,
        file: file.info.clone(),
        range: options.range(),
        dirty_block: options.dirty_block,
        pid: std::process::id(),
        threads,
        fsync: syncer.counts.clone(),
        data,
        kept: options.keep,
    })
}
