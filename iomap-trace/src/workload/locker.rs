//! The holders of btrfs's extent lock beside writers: what each does, and how often.

use std::io;
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::fs::OFlags;
use rustix::io::Errno;
use serde::Serialize;

use super::buffer::AlignedBuf;
use super::fiemap::Fiemap;
use super::file::WorkFile;
use super::job::Job;
use super::options::Range;
use super::read::Reader;
use super::reflink::Cloner;
use super::rng::Rng;
use super::seek;
use super::tally::{Role, Tally};

/// One FIEMAP in so many writes dirty pages back first; `filefrag` does so only when told to.
const SYNC_EVERY: u64 = 8;
/// How often [`share`] clones: often enough that few blocks are not shared, seldom enough that the
/// writers, whom a clone keeps out, come to write.
const SHARE_EVERY: Duration = Duration::from_millis(200);

/// Who else takes the extent lock in a lockers run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Locker {
    /// FIEMAP over the whole file
    Fiemap,
    /// SEEK_DATA and SEEK_HOLE over the whole file
    Seek,
    /// Buffered reads
    Read,
    /// O_DIRECT reads
    DirectRead,
    /// Reflinks of the file into a second one
    Reflink,
    /// fsync
    Fsync,
}

impl Locker {
    /// All of them, in the order of their threads.
    pub const ALL: [Self; 6] = [
        Self::Fiemap,
        Self::Seek,
        Self::Read,
        Self::DirectRead,
        Self::Reflink,
        Self::Fsync,
    ];

    /// The role of its threads.
    pub(super) const fn role(self) -> Role {
        match self {
            Self::Fiemap => Role::Fiemap,
            Self::Seek => Role::Seeker,
            Self::Read => Role::BufferedReader,
            Self::DirectRead => Role::DirectReader,
            Self::Reflink => Role::Cloner,
            Self::Fsync => Role::Fsync,
        }
    }

    /// The name of its tasks, at most 15 bytes.
    pub(super) const fn task_name(self) -> &'static str {
        match self {
            Self::Fiemap => "repro-fiemap",
            Self::Seek => "repro-seek",
            Self::Read => "repro-read",
            Self::DirectRead => "repro-dio-read",
            Self::Reflink => "repro-reflink",
            Self::Fsync => "repro-fsync",
        }
    }

    /// How many threads do it. FIEMAP is to be the usual holder; fsync has the one thread that
    /// counts its errors.
    pub(super) const fn threads(self) -> usize {
        match self {
            Self::Fiemap => 2,
            Self::Seek | Self::Read | Self::DirectRead | Self::Reflink => 1,
            Self::Fsync => 0,
        }
    }

    /// How long a thread waits after each operation. Without it the lock changes hands among these
    /// threads and the writers seldom come to write; the readers, who keep clean pages in the page
    /// cache, must be quick.
    const fn pause(self) -> Duration {
        Duration::from_micros(match self {
            Self::Fiemap => 2_000,
            Self::Seek => 10_000,
            Self::Read => 300,
            Self::DirectRead => 5_000,
            Self::Reflink => 100_000,
            Self::Fsync => 0,
        })
    }
}

/// One operation of a thread, which returns the bytes it moved.
type Operation<'a> = Box<dyn FnMut(&mut Rng) -> io::Result<usize> + 'a>;

/// Takes the lock in `locker`'s way until the run is over. Where the filesystem has no such
/// operation the tally says so.
pub(super) fn run(job: Job<'_>, locker: Locker, file: &WorkFile) -> Result<Tally> {
    let operation = operation(locker, file, job.range);
    let want = match locker {
        Locker::Read | Locker::DirectRead => job.range.block as usize,
        _ => 0,
    };
    repeat(job, locker.role(), locker.pause(), want, operation)
}

/// Clones the whole file again and again until the run is over: btrfs then writes even a NOCOW file
/// elsewhere, block by block until none is shared, and must lock the range when such a write ends.
pub(super) fn share(job: Job<'_>, file: &WorkFile) -> Result<Tally> {
    let range = job.range;
    let operation = file
        .second()
        .and_then(|second| Cloner::new(file.buffered(), second, range))
        .map(|cloner| Box::new(move |_: &mut Rng| cloner.clone_all()) as Operation<'_>);
    repeat(job, Role::Cloner, SHARE_EVERY, 0, operation)
}

/// Calls `operation`, of which `want` bytes are asked each time, with pauses.
fn repeat(
    mut job: Job<'_>,
    role: Role,
    pause: Duration,
    want: usize,
    operation: io::Result<Operation<'_>>,
) -> Result<Tally> {
    let mut operation = match operation {
        Err(error) if is_unsupported(&error) => Box::new(|_: &mut Rng| Err(unsupported())),
        made => made.with_context(|| format!("cannot prepare a {} thread", role.name()))?,
    };
    let mut tally = Tally::new(role);
    while job.running() && !tally.unsupported {
        match operation(&mut job.rng) {
            Err(error) if is_unsupported(&error) => tally.unsupported = true,
            result => tally.count(result, want),
        }
        thread::sleep(pause);
    }
    // The end of any thread is the end of the run.
    while job.running() {
        thread::sleep(Duration::from_millis(20));
    }
    Ok(tally)
}

/// Prepares what a thread of `locker` does again and again on `range`, which reaches to the end of
/// the file.
fn operation<'a>(locker: Locker, file: &'a WorkFile, range: Range) -> io::Result<Operation<'a>> {
    Ok(match locker {
        Locker::Fiemap => {
            let mut fiemap = Fiemap::new();
            let mut calls = 0u64;
            Box::new(move |_| {
                calls += 1;
                let sync = calls.is_multiple_of(SYNC_EVERY);
                fiemap.walk(file.buffered(), range.pos, sync)?;
                Ok(0)
            })
        }
        Locker::Seek => {
            // Seeking moves a descriptor's offset, and readahead goes by descriptor.
            let own = file.open(OFlags::RDONLY)?;
            Box::new(move |_| seek::walk(&own, range.pos).map(|_| 0))
        }
        Locker::Read => {
            let mut reader = Reader::new(file.open(OFlags::RDONLY)?, range);
            Box::new(move |rng| reader.read(rng))
        }
        Locker::DirectRead => {
            let mut buf = AlignedBuf::new(range.block as usize);
            Box::new(move |rng| file.direct.read_at(&mut buf, range.pick(rng)))
        }
        Locker::Reflink => {
            let mut cloner = Cloner::new(file.buffered(), file.second()?, range)?;
            Box::new(move |rng| cloner.clone_some(rng))
        }
        // The thread that counts fsync's errors does it.
        Locker::Fsync => return Err(unsupported()),
    })
}

/// What a filesystem without an operation answers.
fn unsupported() -> io::Error {
    Errno::OPNOTSUPP.into()
}

/// Whether `error` says that the filesystem does not have the operation at all.
fn is_unsupported(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EOPNOTSUPP | libc::ENOTTY | libc::ENOSYS)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn task_names_are_short_enough_and_roles_differ() {
        for (i, locker) in Locker::ALL.into_iter().enumerate() {
            assert!(locker.task_name().len() <= 15);
            assert_eq!(locker as usize, i);
            let same = Locker::ALL.iter().filter(|l| l.role() == locker.role());
            assert_eq!(same.count(), 1);
        }
    }
}
