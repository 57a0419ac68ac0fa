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

const USAGE: &str = "usage: load DIR ROUNDS [calm]";

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
    let done = match &args[..] {
        [dir, rounds] => numbered(dir, rounds, false),
        [dir, rounds, calm] if calm == "calm" => numbered(dir, rounds, true),
        _ => Err(io::Error::other(USAGE)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn numbered(dir: &str, rounds: &str, calm: bool) -> io::Result<()> {
    let rounds = rounds.parse().map_err(|_| io::Error::other(USAGE))?;
    run(dir, rounds, calm)
}

/// Prints a line for each kind of write: its name, how many there were, their instructions, and those of
/// a round that a quarter of the rounds needed less than. What is calm does not fail.
fn run(dir: &str, rounds: u64, calm: bool) -> io::Result<()> {
    // A file of its own for what no direct write comes near.
    let plain = Target::new(&format!("{dir}/plain"))?;
    plain.report("buffered", rounds, Target::clean, Target::buffered)?;
    plain.report("mmap", rounds, Target::clean, Target::stored)?;
    let both = Target::new(&format!("{dir}/direct"))?;
    both.report("direct-none", rounds, Target::dropped, Target::direct)?;
    both.report("direct-clean", rounds, Target::cached, Target::direct)?;
    both.report("direct-dirty", rounds, Target::dirtied, Target::direct)?;
    both.report("watched-buffered", rounds, Target::clean, Target::buffered)?;
    both.report("watched-mmap", rounds, Target::clean, Target::stored)?;
    if calm {
        return Ok(());
    }
    both.report("direct-refused", rounds, Target::dropped, Target::refused)
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

    /// Instructions of `measured` in so many rounds, each after `prepare`, and after one that does
    /// not count.
    fn report(
        &self,
        name: &str,
        rounds: u64,
        prepare: fn(&Self) -> io::Result<()>,
        measured: fn(&Self) -> io::Result<u64>,
    ) -> io::Result<()> {
        let mut times = 0;
        let mut all = Vec::new();
        for round in 0..=rounds {
            prepare(self)?;
            let begun = now();
            let done = measured(self)?;
            if round > 0 {
                times += done;
                all.push(now() - begun);
            }
        }
        let sum: u64 = all.iter().sum();
        all.sort_unstable();
        let quarter = all.get(all.len() / 4).copied().unwrap_or(0);
        println!("{name} {times} {sum} {quarter}");
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
