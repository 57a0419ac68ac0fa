//! Threads of the test itself that collide, or do not.

use rustix::fs::{Mode, OFlags, open};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

/// Bytes of a direct write.
const BLOCK: usize = 16 << 10;
/// The range that is written to: small, so that both sides meet.
const RANGE: usize = 256 << 10;
const PAGE: usize = 4096;

/// A thread that does one thing over and over until this value goes.
#[derive(Debug)]
pub struct Busy {
    halt: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    handle: Option<JoinHandle<()>>,
    /// Its thread id.
    pub tid: u64,
}

impl Busy {
    /// Starts a thread called `name` that calls `step` with 0, 1, and so on.
    pub fn new(name: &str, mut step: impl FnMut(u64) + Send + 'static) -> Self {
        let halt = Arc::new(AtomicBool::new(false));
        let done = Arc::new(AtomicU64::new(0));
        let (halted, counted) = (Arc::clone(&halt), Arc::clone(&done));
        let (tell, told) = std::sync::mpsc::channel();
        let body = move || {
            let _ = tell.send(rustix::thread::gettid().as_raw_nonzero().get());
            while !halted.load(Ordering::Relaxed) {
                step(counted.load(Ordering::Relaxed));
                counted.fetch_add(1, Ordering::Relaxed);
            }
        };
        let handle = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(body)
            .unwrap();
        let tid = told.recv().unwrap().unsigned_abs().into();
        Self {
            halt,
            done,
            handle: Some(handle),
            tid,
        }
    }

    /// How often it has done it.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.halt.store(true, Ordering::Relaxed);
        if let Some(Err(panic)) = self.handle.take().map(JoinHandle::join)
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

/// A file for direct writes, with a buffer that is aligned for them.
#[derive(Debug)]
pub struct Direct {
    pub file: File,
    buffer: Vec<u8>,
    at: usize,
}

impl Direct {
    /// Opens a file or a block device.
    pub fn open(path: &Path) -> Self {
        let flags = OFlags::RDWR | OFlags::DIRECT | OFlags::CLOEXEC;
        let file = open(path, flags, Mode::empty()).unwrap().into();
        let buffer = vec![0; BLOCK + PAGE];
        let at = buffer.as_ptr().align_offset(PAGE);
        Self { file, buffer, at }
    }

    /// The bytes of one block; they stay where they are.
    pub fn block(&self) -> &[u8] {
        &self.buffer[self.at..self.at + BLOCK]
    }

    /// Offset of block `number`, counted round the range.
    pub fn pos(number: u64) -> u64 {
        // A stride that meets every block, but not in their order.
        number.wrapping_mul(7) % (RANGE / BLOCK) as u64 * BLOCK as u64
    }

    /// Writes block `number`.
    pub fn write(&self, number: u64) -> std::io::Result<usize> {
        self.file.write_at(self.block(), Self::pos(number))
    }
}

/// Writes to `path` with O_DIRECT.
pub fn direct_writer(path: &Path) -> Busy {
    let direct = Direct::open(path);
    Busy::new("live-direct", move |number| {
        direct.write(number).unwrap();
    })
}

struct Mapping(*mut libc::c_void);

// SAFETY: the mapping belongs to this value alone, and is only stored to.
unsafe impl Send for Mapping {}

impl Mapping {
    fn store(&self, page: usize, value: u64) {
        assert!(page < RANGE / PAGE);
        // SAFETY: inside the mapping and aligned; the file is at least as long.
        let place = unsafe { AtomicU64::from_ptr(self.0.byte_add(page * PAGE).cast()) };
        place.store(value, Ordering::Relaxed);
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: unmaps what was mapped; nothing refers to it any more.
        let _ = unsafe { munmap(self.0, RANGE) };
    }
}

/// Stores into a shared mapping of `path`, whose file must cover the range.
pub fn dirtier(path: &Path) -> Busy {
    let file = File::options().read(true).write(true).open(path).unwrap();
    assert!(file.metadata().unwrap().len() >= RANGE as u64);
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping at an address of the kernel's choice touches no other memory.
    let start = unsafe { mmap(ptr::null_mut(), RANGE, access, MapFlags::SHARED, &file, 0) };
    let mapping = Mapping(start.unwrap());
    Busy::new("live-dirtier", move |number| {
        // The whole of it, not the pointer inside alone.
        let mapping = &mapping;
        mapping.store(number as usize % (RANGE / PAGE), number);
    })
}
