//! The threads of a run: who does what, for how long, and what came of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Builder, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use super::file::WorkFile;
use super::fsync::Syncer;
use super::job::Job;
use super::locker::{self, Locker};
use super::options::{Mode, Options};
use super::rng::Rng;
use super::tally::{Role, Tally};
use super::{aio, inflight, mmap, plain, uring};

/// Sets the flag when dropped, so that the threads end however the scope is left.
struct HaltOnDrop<'a>(&'a AtomicBool);

impl Drop for HaltOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The role of each writing thread in the order of their indices: direct ones first.
fn roles(options: &Options) -> Vec<Role> {
    let (direct, dirty) = match options.mode {
        Mode::Mmap => (Role::DirectWriter, Role::MmapDirtier),
        Mode::Buffered | Mode::Lockers => (Role::DirectWriter, Role::BufferedWriter),
        Mode::Aio => (Role::AioWriter, Role::BufferedWriter),
        Mode::Uring => (Role::UringWriter, Role::BufferedWriter),
    };
    let mut roles = vec![direct; options.direct_threads as usize];
    roles.resize(roles.len() + options.dirty_threads as usize, dirty);
    roles
}

/// The threads that take the extent lock without writing.
fn lockers(options: &Options) -> Vec<Locker> {
    let chosen = options.lockers.iter();
    chosen
        .flat_map(|locker| vec![*locker; locker.threads()])
        .collect()
}

/// Fails with one line where the mode's queue cannot be had, before any file is made.
pub(super) fn check_queue(options: &Options) -> Result<()> {
    let any = std::fs::File::open("/dev/null").context("cannot open /dev/null")?;
    match options.mode {
        Mode::Mmap | Mode::Buffered | Mode::Lockers => Ok(()),
        Mode::Aio => aio::Aio::new(&any, options.depth)
            .map(drop)
            .map_err(|e| anyhow!(aio::explain(&e))),
        Mode::Uring => uring::Uring::new(&any, options.depth)
            .map(drop)
            .map_err(|e| anyhow!(uring::explain(&e))),
    }
}

/// Runs all threads until the time is over or `stop` is set. The writers' tallies come in the order
/// of their indices, then the fsync thread's if there is one; the elapsed time is theirs.
pub(super) fn run(
    options: &Options,
    file: &WorkFile,
    syncer: &mut Syncer<'_>,
    stop: &AtomicBool,
) -> Result<(Vec<Tally>, Duration)> {
    let halt = AtomicBool::new(false);
    thread::scope(|scope| {
        let guard = HaltOnDrop(&halt);
        let mut handles = Vec::new();
        let writers = roles(options);
        let first = writers.len() as u32;
        for (role, index) in writers.into_iter().zip(0..) {
            handles.push(spawn_writer(scope, options, file, role, index, &halt)?);
        }
        let job = |index| Job {
            index,
            file: file.buffered(),
            range: options.ranges().1,
            rng: Rng::for_thread(options.seed, index),
            halt: &halt,
        };
        for (locker, index) in lockers(options).into_iter().zip(first..) {
            let job = job(index);
            let body = move || locker::run(job, locker, file);
            handles.push(spawn(scope, locker.task_name(), body)?);
        }
        // Nothing but its first write would lock the range of a NOCOW file when it ends.
        if options.mode == Mode::Buffered && file.nocow {
            let job = job(first);
            let body = move || locker::share(job, file);
            handles.push(spawn(scope, Locker::Reflink.task_name(), body)?);
        }
        if let Some(interval) = options.fsync_every.filter(|i| !i.is_zero()) {
            let halt = &halt;
            let body = move || Ok(syncer.run(interval, halt));
            handles.push(spawn(scope, "repro-fsync", body)?);
        }
        let began = Instant::now();
        while began.elapsed() < options.duration
            && !stop.load(Ordering::Relaxed)
            && !handles.iter().any(ScopedJoinHandle::is_finished)
        {
            let left = options.duration.saturating_sub(began.elapsed());
            thread::sleep(left.min(Duration::from_millis(20)));
        }
        drop(guard);
        let elapsed = began.elapsed();
        let tallies: Result<Vec<Tally>> = handles
            .into_iter()
            .map(|handle| match handle.join() {
                Ok(tally) => tally,
                Err(_) => Err(anyhow!(
                    "a thread of the workload panicked: please report it"
                )),
            })
            .collect();
        Ok((tallies?, elapsed))
    })
}

fn spawn_writer<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    options: &'env Options,
    file: &'env WorkFile,
    role: Role,
    index: u32,
    halt: &'scope AtomicBool,
) -> Result<ScopedJoinHandle<'scope, Result<Tally>>> {
    let (direct_range, dirty_range) = options.ranges();
    let dirties = matches!(role, Role::MmapDirtier | Role::BufferedWriter);
    let job = Job {
        index,
        file: if dirties {
            file.buffered()
        } else {
            &file.direct
        },
        range: if dirties { dirty_range } else { direct_range },
        rng: Rng::for_thread(options.seed, index),
        halt,
    };
    let depth = options.depth;
    // Task names hold 15 bytes.
    let (name, body): (_, Box<dyn FnOnce() -> Result<Tally> + Send + 'scope>) = match role {
        Role::MmapDirtier => ("repro-mmap", Box::new(move || mmap::run(job))),
        Role::BufferedWriter => (
            "repro-buffered",
            Box::new(move || Ok(plain::run(job, role))),
        ),
        Role::AioWriter => (
            "repro-aio",
            Box::new(move || {
                let queue =
                    aio::Aio::new(job.file, depth).map_err(|e| anyhow!(aio::explain(&e)))?;
                inflight::run(job, role, queue, depth)
            }),
        ),
        Role::UringWriter => (
            "repro-uring",
            Box::new(move || {
                let queue =
                    uring::Uring::new(job.file, depth).map_err(|e| anyhow!(uring::explain(&e)))?;
                inflight::run(job, role, queue, depth)
            }),
        ),
        _ => ("repro-direct", Box::new(move || Ok(plain::run(job, role)))),
    };
    spawn(scope, name, body)
}

fn spawn<'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    body: impl FnOnce() -> Result<Tally> + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, Result<Tally>>> {
    Builder::new()
        .name(name.to_owned())
        .spawn_scoped(scope, body)
        .context("cannot start a thread of the workload: use fewer threads")
}
