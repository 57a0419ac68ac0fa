//! Direct writes whose invalidation fails, as fast as they can be made.
//!
//! No data can be read from their buffers: they end with EFAULT right after the invalidation, and
//! take no time for a fallback to the page cache.

use anyhow::{Context, Result, bail, ensure};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::zram::Disk;
use crate::signal;

/// A page, in bytes.
const PAGE: usize = 4096;
/// How soon ctrl-C ends a load.
const LOOK: Duration = Duration::from_millis(50);

/// A way to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Synthetic: each thread stores into a page of its own file and writes the same page directly.
    /// The device takes no writes, so the flush before each write fails, and the invalidation with
    /// it (`kiocb_invalidate_pages`).
    Stays,
    /// Real collisions: for each thread that writes a page directly, another one dirties it again
    /// through a mapping all the time.
    Collides,
}

impl Kind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Stays, Self::Collides];

    /// What it is, in a table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stays => "page that cannot be written back",
            Self::Collides => "page dirtied by mmap meanwhile",
        }
    }
}

/// Arguments of the process that makes the failures.
#[derive(clap::Args)]
pub struct Args {
    kind: Kind,
    /// Threads that write
    writers: usize,
    /// For how long, in milliseconds
    time: u64,
    /// Where a file for each of them is, of a page
    dir: PathBuf,
}

/// Makes failures on `disk` for `time`, with `writers` threads that write, in a process of its own:
/// a store into a page that cannot be had ends it. Gives the time that it took.
///
/// # Errors
/// When files cannot be made or mapped, a direct write ends in an unexpected way, a store ends the
/// process, or ctrl-C was pressed.
pub fn run(kind: Kind, disk: &Disk, writers: usize, time: Duration) -> Result<Duration> {
    let files: Vec<PathBuf> = (0..writers).map(|n| file(disk.path(), n)).collect();
    for file in &files {
        fill(file).with_context(|| format!("cannot make {}", file.display()))?;
    }
    let failing = (kind == Kind::Stays).then(|| disk.fail()).transpose()?;
    let me = std::env::current_exe().context("cannot find this program")?;
    let mut load = Command::new(me);
    let name = clap::ValueEnum::to_possible_value(&kind).context("a load without a name")?;
    load.args(["load", name.get_name(), &writers.to_string()]);
    load.arg(time.as_millis().to_string()).arg(disk.path());
    let ended = load.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    drop(failing);
    for file in &files {
        fs::remove_file(file)?;
    }
    let ended = ended.context("cannot run the load")?;
    ensure!(
        !signal::interrupted(),
        "interrupted; everything is cleaned up"
    );
    if let Some(signal) = ended.status.signal() {
        bail!("the load was ended by signal {signal}");
    }
    ensure!(ended.status.success(), "the load ended: {}", ended.status);
    let took = String::from_utf8(ended.stdout)?;
    let took = took.trim().parse().context("the load tells no time")?;
    Ok(Duration::from_nanos(took))
}

fn file(dir: &Path, writer: usize) -> PathBuf {
    dir.join(format!("load.{writer}"))
}

/// The process: prints how many nanoseconds it took.
///
/// # Errors
/// When files cannot be mapped, or a direct write ends in an unexpected way.
pub fn process(args: &Args) -> Result<ExitCode> {
    signal::remember_interrupts();
    let files: Vec<PathBuf> = (0..args.writers).map(|n| file(&args.dir, n)).collect();
    let time = Duration::from_millis(args.time);
    println!("{}", fail(args.kind, &files, time)?.as_nanos());
    Ok(ExitCode::SUCCESS)
}

fn fail(kind: Kind, files: &[PathBuf], time: Duration) -> Result<Duration> {
    let stop = AtomicBool::new(false);
    let begun = Instant::now();
    let ended = thread::scope(|scope| {
        let mut threads = Vec::new();
        for file in files {
            if kind == Kind::Collides {
                threads.push(scope.spawn(|| dirty(file, &stop)));
            }
            threads.push(scope.spawn(|| write(kind, file, &stop)));
        }
        while begun.elapsed() < time
            && !signal::interrupted()
            && !threads.iter().any(thread::ScopedJoinHandle::is_finished)
        {
            thread::sleep(LOOK.min(time.saturating_sub(begun.elapsed())));
        }
        stop.store(true, Ordering::Relaxed);
        let ended = threads.into_iter().map(thread::ScopedJoinHandle::join);
        ended.collect::<Vec<_>>()
    });
    let took = begun.elapsed();
    for one in ended {
        one.map_err(|_| anyhow::anyhow!("a thread of the load panicked"))??;
    }
    Ok(took)
}

/// A page that zram cannot store in no memory, as it can one of equal words.
fn fill(path: &Path) -> io::Result<()> {
    let mut page = [0; PAGE];
    File::open("/dev/urandom")?.read_exact(&mut page)?;
    let mut file = File::create(path)?;
    file.write_all(&page)?;
    file.sync_all()
}

/// Stores into the page of the file until `stop`.
fn dirty(path: &Path, stop: &AtomicBool) -> Result<()> {
    let page = Page::of_file(path)?;
    while !stop.load(Ordering::Relaxed) {
        page.touch();
    }
    Ok(())
}

/// Writes the page of the file directly until `stop`.
fn write(kind: Kind, path: &Path, stop: &AtomicBool) -> Result<()> {
    let direct = OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_DIRECT)
        .open(path)?;
    let cached = Page::of_file(path)?;
    let data = Page::new(libc::PROT_NONE, None)?;
    while !stop.load(Ordering::Relaxed) {
        if kind == Kind::Stays {
            cached.touch();
        }
        // SAFETY: the buffer is a page that is mapped as long as `data` lives; the kernel reads it,
        // or says that it cannot.
        let written = unsafe { libc::pwrite(direct.as_raw_fd(), data.0.cast(), PAGE, 0) };
        if written < 0 {
            let error = io::Error::last_os_error();
            ensure!(
                error.raw_os_error() == Some(libc::EFAULT),
                "a direct write of the load fails: {error}"
            );
        }
    }
    Ok(())
}

/// A page that is mapped as long as this lives.
struct Page(*mut u8);

impl Page {
    fn of_file(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Self::new(libc::PROT_READ | libc::PROT_WRITE, Some(&file))
    }

    /// Of a file, or private memory.
    fn new(protection: libc::c_int, file: Option<&File>) -> Result<Self> {
        let (flags, fd) = match file {
            Some(file) => (libc::MAP_SHARED, file.as_raw_fd()),
            None => (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1),
        };
        // SAFETY: a new mapping at an address that the kernel chooses.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), PAGE, protection, flags, fd, 0) };
        ensure!(
            at != libc::MAP_FAILED,
            "mmap fails: {}",
            io::Error::last_os_error()
        );
        Ok(Self(at.cast()))
    }

    /// Makes the page dirty. Only of a page of a file.
    fn touch(&self) {
        // SAFETY: within the page, which is mapped for reading and writing; nobody holds a
        // reference into it. Two threads may store at once: through different mappings, so that no
        // memory of this program is raced for.
        unsafe {
            let byte = self.0.add(5);
            byte.write_volatile(byte.read_volatile().wrapping_add(1));
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: what `new` has mapped, once.
        unsafe { libc::munmap(self.0.cast(), PAGE) };
    }
}
