//! Runs a schedule on a real file, with real threads.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use rustix::fs::OFlags;

use super::record::{Kind, OpId, Record, Seen};
use super::schedule::{Role, Schedule};
use super::target::{Column, Target, returned};
use super::verify::Evidence;
use super::worker::{Access, Worker};
use crate::clock::boot_ns;
use crate::workload::buffer::AlignedBuf;
use crate::workload::check::read_full;
use crate::workload::file::WorkFile;
use crate::workload::mmap::Mapping;
use crate::workload::{FileInfo, Mode, Options, Range};

/// How often fsync is called at the end until it says that all is well: a descriptor reports an
/// error once.
const SETTLE: u32 = 4;

/// Where and for how long a schedule is run.
#[derive(Clone, Debug)]
pub struct Place {
    /// Directory on the filesystem under test.
    pub dir: PathBuf,
    /// The threads stop after this time, wherever they are.
    pub time: Option<Duration>,
}

/// What came of a run.
#[derive(Debug)]
pub struct Ran {
    /// Every operation, by thread and in order of time within it; the runner's last.
    pub records: Vec<Record>,
    /// What reads found.
    pub seen: Vec<Seen>,
    /// The file.
    pub file: FileInfo,
    /// How long the threads ran.
    pub elapsed: Duration,
    cache: AlignedBuf,
    disk: AlignedBuf,
}

impl Ran {
    /// What there is to judge by.
    pub fn evidence(&self) -> Evidence<'_> {
        Evidence {
            records: &self.records,
            seen: &self.seen,
            cache: &self.cache,
            disk: &self.disk,
        }
    }
}

/// Runs `schedule` as `column` on a new file, which is gone afterwards. `stop` ends it early.
///
/// # Errors
/// In one line, when the file cannot be made, opened in all ways, or read back.
pub fn run(schedule: &Schedule, column: Column, place: &Place, stop: &AtomicBool) -> Result<Ran> {
    let name = format!("iomap-trace-compare-{}-{column}.dat", std::process::id());
    let file = WorkFile::create(&options(schedule, place, &name), stop)?;
    let path = place.dir.join(&name);
    let deadline = place.time.map(|time| Instant::now() + time);
    let mut workers = Vec::new();
    for (index, thread) in (0..).zip(&schedule.threads) {
        workers.push(Worker {
            index,
            role: thread.role,
            access: access(&file, &path, schedule, column, thread.role)?,
            buf: AlignedBuf::new(schedule.longest() as usize),
            deadline,
            halt: stop,
            records: Vec::new(),
            seen: Vec::new(),
        });
    }
    let began = Instant::now();
    if schedule.serial {
        in_turns(schedule, &mut workers);
    } else {
        at_once(schedule, &mut workers)?;
    }
    let elapsed = began.elapsed();
    let mut ran = Ran {
        records: Vec::new(),
        seen: Vec::new(),
        file: file.info.clone(),
        elapsed,
        cache: AlignedBuf::new(schedule.file_size as usize),
        disk: AlignedBuf::new(schedule.file_size as usize),
    };
    for worker in workers {
        ran.records.extend(worker.records);
        ran.seen.extend(worker.seen);
        // Its descriptors and its mapping go here.
    }
    settle(&file, schedule, &mut ran.records);
    // The page cache as it is, and then the disk: a direct read looks past clean pages.
    read_full(file.buffered(), &mut ran.cache, 0)
        .and_then(|_| read_full(&file.direct, &mut ran.disk, 0))
        .context("cannot read the file back")?;
    Ok(ran)
}

fn options(schedule: &Schedule, place: &Place, name: &str) -> Options {
    let mut options = Options::new(Mode::Buffered, &place.dir);
    options.name = name.into();
    options.seed = schedule.seed;
    options.file_size = schedule.file_size;
    options.block = schedule.block;
    options.dirty_block = schedule.block;
    options.cow = schedule.cow;
    options
}

fn access(
    file: &WorkFile,
    path: &std::path::Path,
    schedule: &Schedule,
    column: Column,
    role: Role,
) -> Result<Access> {
    let open = |flags| file.open(flags).context("cannot open the file again");
    Ok(match (role, column) {
        (Role::DirectWriter, Column::Kernel) => {
            Access::Direct(Target::Kernel(open(OFlags::RDWR | OFlags::DIRECT)?))
        }
        (Role::DirectWriter, Column::Policy(policy)) => {
            Access::Direct(Target::policy(path, policy)?)
        }
        (Role::BufferedWriter | Role::BufferedReader, _) => Access::File(open(OFlags::RDWR)?),
        (Role::DirectReader, _) => Access::File(open(OFlags::RDONLY | OFlags::DIRECT)?),
        (Role::MmapWriter, _) => {
            let range = Range {
                pos: 0,
                len: schedule.file_size,
                block: schedule.block,
            };
            let own = open(OFlags::RDWR)?;
            Access::Mapped(Mapping::new(&own, range).context("cannot map the file")?)
        }
    })
}

/// Every thread for itself, all beginning at once.
fn at_once(schedule: &Schedule, workers: &mut [Worker<'_>]) -> Result<()> {
    // Nobody begins before all are there, and nobody at all if one cannot be started.
    let all_there = RwLock::new(false);
    let all_there = &all_there;
    thread::scope(|scope| {
        let mut gate = all_there.write().unwrap_or_else(PoisonError::into_inner);
        let mut handles = Vec::new();
        for (worker, thread) in workers.iter_mut().zip(&schedule.threads) {
            let name = format!("cmp-{}", worker.role.name());
            let body = move || {
                if *all_there.read().unwrap_or_else(PoisonError::into_inner) {
                    worker.run(&thread.ops, schedule.rounds);
                }
            };
            let handle = thread::Builder::new().name(name).spawn_scoped(scope, body);
            handles.push(handle.context("cannot start a thread")?);
        }
        *gate = true;
        drop(gate);
        handles.into_iter().try_for_each(|handle| {
            let joined = handle.join();
            joined.map_err(|_| anyhow!("a thread panicked: please report it"))
        })
    })
}

/// One thread does all operations, in the order of their numbers.
fn in_turns(schedule: &Schedule, workers: &mut [Worker<'_>]) {
    let mut order: Vec<_> = schedule
        .threads
        .iter()
        .zip(0..)
        .flat_map(|(thread, index)| thread.ops.iter().map(move |op| (op, index)))
        .collect();
    order.sort_unstable_by_key(|(op, _)| op.id());
    let mut round = 0;
    while !order.is_empty() && (schedule.rounds == 0 || round < schedule.rounds) {
        for (op, index) in &order {
            let worker: &mut Worker<'_> = &mut workers[*index];
            if !worker.goes_on() {
                return;
            }
            worker.op(round, op);
        }
        round += 1;
    }
}

/// Everything to the disk; errors are part of the record.
fn settle(file: &WorkFile, schedule: &Schedule, records: &mut Vec<Record>) {
    let thread = u32::try_from(schedule.threads.len()).unwrap_or(u32::MAX);
    for round in 0..SETTLE {
        let id = OpId {
            thread,
            round,
            op: 0,
        };
        let mut record = Record::new(id, None, Kind::Fsync, None);
        record.begin_ns = boot_ns();
        record.result = returned(file.sync.sync_all().map(|()| 0));
        record.end_ns = boot_ns();
        records.push(record);
        if record.result >= 0 {
            return;
        }
    }
}
