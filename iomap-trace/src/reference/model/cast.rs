//! Who takes part.

/// A task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// Process.
    pub pid: u32,
    /// Thread.
    pub tid: u32,
    /// Command name.
    pub comm: &'static str,
}

const fn task(pid: u32, tid: u32, comm: &'static str) -> Task {
    Task { pid, tid, comm }
}

/// Direct writers: two threads of one process.
pub const DIRECT: [Task; 2] = [task(100, 101, "direct"), task(100, 102, "direct")];
/// Workers that complete ordered extents (`btrfs-endio-write`).
pub const ORDERED: [Task; 2] = [task(31, 31, "kworker/u8:1"), task(32, 32, "kworker/u8:2")];
/// The flusher thread of the device.
pub const FLUSHER: Task = task(41, 41, "kworker/u8:4");
/// Stores through a mapping.
pub const MMAP: Task = task(200, 201, "mmap");
/// Writes buffered.
pub const BUFFERED: Task = task(210, 211, "buffered");
/// Reads buffered.
pub const READER: Task = task(220, 221, "reader");
/// Calls FIEMAP.
pub const FIEMAP: Task = task(230, 231, "filefrag");
/// Reads directly.
pub const DIRECT_READER: Task = task(240, 241, "dread");
/// Completes bios; it is whatever task was interrupted.
pub const BIO: Task = task(17, 17, "ksoftirqd/1");
/// Completes asynchronous direct writes (`s_dio_done_wq`).
pub const DIO_WORK: Task = task(61, 61, "kworker/1:2");
