//! io_uring. A direct write over cached pages cannot go on without waiting, so the kernel hands it
//! to an `iou-wrk` thread of this process, whose thread id nobody here can know.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use io_uring::{IoUring, opcode, types};

use super::inflight::{Done, Queue};

/// A ring whose writes go to one file.
pub(super) struct Uring {
    ring: IoUring,
    fd: types::Fd,
}

impl Uring {
    /// A ring for `depth` writes to `file`, which must outlive it.
    ///
    /// Fails with `ENOSYS` where the kernel has no io_uring, and with `EPERM` where
    /// `kernel.io_uring_disabled` or a seccomp filter forbids it.
    pub(super) fn new(file: &File, depth: u32) -> io::Result<Self> {
        Ok(Self {
            ring: IoUring::new(depth)?,
            fd: types::Fd(file.as_raw_fd()),
        })
    }
}

impl Queue for Uring {
    unsafe fn start(&mut self, slot: usize, buf: &[u8], pos: u64) -> io::Result<()> {
        let entry = opcode::Write::new(self.fd, buf.as_ptr(), buf.len() as u32)
            .offset(pos)
            .build()
            .user_data(slot as u64);
        // SAFETY: the caller keeps the buffer until the entry has completed; the file outlives the
        // ring.
        unsafe { self.ring.submission().push(&entry) }
            .map_err(|_| io::Error::from_raw_os_error(libc::EAGAIN))
    }

    fn reap(&mut self, done: &mut Vec<Done>) -> io::Result<()> {
        let waited = self.ring.submit_and_wait(1);
        done.extend(self.ring.completion().map(|entry| Done {
            slot: entry.user_data() as usize,
            result: i64::from(entry.result()),
        }));
        waited.map(|_| ())
    }
}

/// What stands in the way of io_uring, as one line.
pub(super) fn explain(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::ENOSYS) => {
            "io_uring is not available: this kernel has none; use aio instead".to_owned()
        }
        Some(libc::EPERM | libc::EACCES) => "io_uring is not available: it is forbidden here \
             (kernel.io_uring_disabled or a seccomp filter); use aio instead"
            .to_owned(),
        _ => format!("cannot set up io_uring: {error}"),
    }
}
