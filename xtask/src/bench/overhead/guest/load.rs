//! A program for the guests of `cargo xtask bench --overhead`: writes in a fixed order, and counts
//! the instructions of each kind of write. It is compiled alone, static, and needs nothing but `std`.
//!
//! With `-icount shift=0` the time stamp counter counts the guest's instructions, whoever runs them:
//! this program, the kernel for it, a worker of the kernel, a tracer.

use std::ffi::{c_int, c_long, c_ulong, c_void};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const USAGE: &str = "usage: load DIR ROUNDS [-|WORKLOAD...]
WORKLOAD is one of those below, or calm: all that do not fail. Without any it is all of them.
With - each line of the standard input is a turn: its workloads. An empty line follows each turn.";

const O_DIRECT: i32 = 0o40000;
const EIO: i32 = 5;
const FS_IOC_SETFLAGS: c_ulong = 0x4008_6602;
/// Data is written in place: since 6.12 btrfs writes directly only then.
static FS_NOCOW_FL: c_long = 0x0080_0000;
const FADV_RANDOM: c_int = 1;
const PROT_READ_WRITE: c_int = 3;
const MAP_SHARED: c_int = 1;

const BLOCK: usize = 16 << 10;
const PAGE: usize = 4 << 10;
/// Blocks of the file.
const BLOCKS: usize = 512;
const SIZE: usize = BLOCK * BLOCKS;

unsafe extern "C" {
    fn ioctl(fd: c_int, request: c_ulong, ...) -> c_int;
    fn posix_fadvise(fd: c_int, offset: i64, length: i64, advice: c_int) -> c_int;
    fn mmap(at: *mut c_void, length: usize, protection: c_int, flags: c_int, fd: c_int, offset: i64)
    -> *mut c_void;
    fn munmap(at: *mut c_void, length: usize) -> c_int;
}

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args().skip(1).collect();
    match with(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn with(args: &[String]) -> io::Result<()> {
    let [dir, rounds, wanted @ ..] = args else {
        return Err(io::Error::other(USAGE));
    };
    let rounds = rounds.parse().map_err(|_| io::Error::other(USAGE))?;
    let files = Files {
        plain: Target::new(&format!("{dir}/plain"))?,
        both: Target::new(&format!("{dir}/direct"))?,
    };
    if wanted != ["-"] {
        let wanted: Vec<_> = wanted.iter().map(String::as_str).collect();
        return turn(&files, rounds, &wanted);
    }
    for line in io::stdin().lines() {
        turn(&files, rounds, &line?.split_whitespace().collect::<Vec<_>>())?;
        println!();
    }
    Ok(())
}

/// The files that are written to.
struct Files {
    /// No direct write comes near it.
    plain: Target,
    both: Target,
}

impl Files {
    fn of(&self, file: Which) -> &Target {
        match file {
            Which::Plain => &self.plain,
            Which::Both => &self.both,
        }
    }
}

#[derive(Clone, Copy)]
enum Which {
    Plain,
    Both,
}

/// What is written, how it is called, and what comes before each round of it.
struct Workload {
    name: &'static str,
    file: Which,
    prepare: fn(&Target) -> io::Result<()>,
    measured: fn(&Target) -> io::Result<u64>,
}

/// The one that fails.
const REFUSED: &str = "direct-refused";

/// All of them, in the order in which they are run.
const WORKLOADS: [Workload; 8] = [
    workload("buffered", Which::Plain, Target::clean, Target::buffered),
    workload("mmap", Which::Plain, Target::clean, Target::stored),
    workload("direct-none", Which::Both, Target::dropped, Target::direct),
    workload("direct-clean", Which::Both, Target::cached, Target::direct),
    workload("direct-dirty", Which::Both, Target::dirtied, Target::direct),
    workload("watched-buffered", Which::Both, Target::clean, Target::buffered),
    workload("watched-mmap", Which::Both, Target::clean, Target::stored),
    workload(REFUSED, Which::Both, Target::dropped, Target::refused),
];

const fn workload(
    name: &'static str,
    file: Which,
    prepare: fn(&Target) -> io::Result<()>,
    measured: fn(&Target) -> io::Result<u64>,
) -> Workload {
    Workload {
        name,
        file,
        prepare,
        measured,
    }
}

/// Prints a line for each kind of write that is wanted: its name, how many there were, their
/// instructions, and those of a round that a tenth of the rounds needed less than.
fn turn(files: &Files, rounds: u64, wanted: &[&str]) -> io::Result<()> {
    let unknown = |word: &&&str| **word != "calm" && WORKLOADS.iter().all(|w| w.name != **word);
    if let Some(word) = wanted.iter().find(unknown) {
        return Err(io::Error::other(format!("there is no workload {word}\n{USAGE}")));
    }
    let calm = wanted.contains(&"calm");
    for workload in &WORKLOADS {
        let named = wanted.contains(&workload.name) || calm && workload.name != REFUSED;
        if wanted.is_empty() || named {
            files.of(workload.file).report(workload, rounds)?;
        }
    }
    Ok(())
}

/// Memory that direct writes take.
#[repr(align(4096))]
struct Aligned([u8; BLOCK]);

/// A file, open for both kinds of writes.
struct Target {
    direct: File,
    buffered: File,
    data: Box<Aligned>,
}

impl Target {
    fn new(path: &str) -> io::Result<Self> {
        let buffered = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)?;
        // Only btrfs knows the flag.
        // SAFETY: the kernel reads an int, or a long, which this points to.
        unsafe { ioctl(buffered.as_raw_fd(), FS_IOC_SETFLAGS, &raw const FS_NOCOW_FL) };
        // SAFETY: takes no pointers.
        unsafe { posix_fadvise(buffered.as_raw_fd(), 0, 0, FADV_RANDOM) };
        let direct = OpenOptions::new()
            .write(true)
            .custom_flags(O_DIRECT)
            .open(path)?;
        let data = Box::new(Aligned([b'd'; BLOCK]));
        let target = Self {
            direct,
            buffered,
            data,
        };
        target.buffered()?;
        target.buffered.sync_all()?;
        Ok(target)
    }

    /// Instructions of a workload in so many rounds, and in one before them that does not count.
    fn report(&self, workload: &Workload, rounds: u64) -> io::Result<()> {
        let mut times = 0;
        let mut all = Vec::new();
        for round in 0..=rounds {
            (workload.prepare)(self)?;
            let begun = now();
            let done = (workload.measured)(self)?;
            if round > 0 {
                times += done;
                all.push(now() - begun);
            }
        }
        let sum: u64 = all.iter().sum();
        all.sort_unstable();
        let tenth = all.get(all.len() / 10).copied().unwrap_or(0);
        println!("{} {times} {sum} {tenth}", workload.name);
        Ok(())
    }

    /// Nothing of the file is cached.
    fn dropped(&self) -> io::Result<()> {
        self.clean()?;
        std::fs::write("/proc/sys/vm/drop_caches", "1")
    }

    /// All of it is cached, and nothing is dirty.
    fn cached(&self) -> io::Result<()> {
        self.dropped()?;
        let mut data = [0; BLOCK];
        for at in offsets(BLOCK) {
            self.buffered.read_exact_at(&mut data, at)?;
        }
        Ok(())
    }

    /// What is cached is not dirty. An invalidation that has failed is an error here.
    fn clean(&self) -> io::Result<()> {
        match self.buffered.sync_all() {
            Err(error) if error.raw_os_error() == Some(EIO) => Ok(()),
            done => done,
        }
    }

    /// All of it is cached and dirty.
    fn dirtied(&self) -> io::Result<()> {
        self.dropped()?;
        self.buffered().map(drop)
    }

    fn direct(&self) -> io::Result<u64> {
        for at in offsets(BLOCK) {
            self.direct.write_all_at(&self.data.0, at)?;
        }
        Ok(BLOCKS as u64)
    }

    fn buffered(&self) -> io::Result<u64> {
        for at in offsets(BLOCK) {
            self.buffered.write_all_at(&self.data.0, at)?;
        }
        Ok(BLOCKS as u64)
    }

    /// A store into each page, through a new mapping.
    fn stored(&self) -> io::Result<u64> {
        let map = Mapping::new(&self.buffered)?;
        for at in offsets(PAGE) {
            map.store(at);
        }
        Ok((SIZE / PAGE) as u64)
    }

    /// Direct writes into blocks that another thread dirties whenever the writer waits.
    fn refused(&self) -> io::Result<u64> {
        let map = Mapping::new(&self.buffered)?;
        let at = AtomicU64::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                loop {
                    match at.load(Relaxed) {
                        DONE => break,
                        at => map.store(at),
                    }
                    std::thread::yield_now();
                }
            });
            let written = offsets(BLOCK).try_for_each(|block| {
                at.store(block, Relaxed);
                map.store(block);
                self.direct.write_all_at(&self.data.0, block)
            });
            at.store(DONE, Relaxed);
            written
        })?;
        Ok(BLOCKS as u64)
    }
}

/// No block: the other thread is to end.
const DONE: u64 = u64::MAX;

/// The whole file, mapped.
struct Mapping(*mut u8);

// SAFETY: it is only stored to, and what is stored nobody reads.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(file: &File) -> io::Result<Self> {
        let (at, fd) = (std::ptr::null_mut(), file.as_raw_fd());
        // SAFETY: a new mapping, anywhere.
        let map = unsafe { mmap(at, SIZE, PROT_READ_WRITE, MAP_SHARED, fd, 0) };
        if map as isize == -1 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self(map.cast()))
    }

    /// Stores a byte.
    fn store(&self, at: u64) {
        // SAFETY: `at` is less than the file's size, which is that of the mapping.
        unsafe { self.0.add(at as usize).write_volatile(b'm') };
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping that `new` has made; nobody refers to it any more.
        unsafe { munmap(self.0.cast(), SIZE) };
    }
}

fn offsets(step: usize) -> impl Iterator<Item = u64> {
    (0..SIZE as u64).step_by(step)
}

/// Instructions since the guest was started.
fn now() -> u64 {
    // SAFETY: every x86-64 processor has it.
    unsafe { core::arch::x86_64::_rdtsc() }
}
