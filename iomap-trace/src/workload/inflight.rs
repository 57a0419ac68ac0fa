//! A writer that keeps several O_DIRECT writes in flight, whatever queue they go through.

use std::io;
use std::mem;

use anyhow::{Context, Result};

use super::buffer::AlignedBuf;
use super::job::Job;
use super::tally::{Role, Tally};

/// A queue of asynchronous writes.
pub(super) trait Queue {
    /// Starts writing `buf` at file offset `pos`.
    ///
    /// # Safety
    /// `buf` must stay where it is and unchanged until [`Queue::reap`] has handed `slot` back or
    /// the queue has been dropped.
    unsafe fn start(&mut self, slot: usize, buf: &[u8], pos: u64) -> io::Result<()>;

    /// Waits for at least one write and appends what has ended to `done`. The queue stays usable
    /// after [`io::ErrorKind::Interrupted`] and after `EAGAIN`.
    fn reap(&mut self, done: &mut Vec<Done>) -> io::Result<()>;
}

/// A write that has ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Done {
    /// Which buffer is free again.
    pub(super) slot: usize,
    /// Bytes written, or a negative errno.
    pub(super) result: i64,
}

impl Done {
    fn result(self) -> io::Result<usize> {
        usize::try_from(self.result).map_err(|_| io::Error::from_raw_os_error(-self.result as i32))
    }
}

/// Writes random blocks with `depth` of them in flight until the run is over and all have ended.
pub(super) fn run<Q: Queue>(mut job: Job<'_>, role: Role, queue: Q, depth: u32) -> Result<Tally> {
    let mut tally = Tally::new(role);
    let mut slots: Vec<AlignedBuf> = (0..depth).map(|_| job.buffer()).collect();
    // Declared after the buffers, so dropped before them.
    let mut queue = queue;
    let mut free: Vec<usize> = (0..slots.len()).collect();
    let mut done = Vec::with_capacity(slots.len());
    let mut seq = 0;
    loop {
        while job.running()
            && let Some(slot) = free.pop()
        {
            let buf = &mut slots[slot];
            let pos = job.next_write(buf, seq);
            seq += 1;
            // SAFETY: the slot is taken from `free` and comes back to it only through `reap`; the
            // buffers do not move on the heap and are freed after the queue, or never.
            if let Err(error) = unsafe { queue.start(slot, buf, pos) } {
                tally.count(Err(error), 0);
                free.push(slot);
                break;
            }
        }
        if free.len() == slots.len() {
            if job.running() {
                continue;
            }
            return Ok(tally);
        }
        match queue.reap(&mut done) {
            Ok(()) => {}
            Err(error) if is_transient(&error) => {}
            Err(error) => {
                // The kernel may still read from them.
                mem::forget(slots);
                return Err(error).context("cannot wait for the writes in flight");
            }
        }
        for ended in done.drain(..) {
            tally.count(ended.result(), job.range.block as usize);
            free.push(ended.slot);
        }
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EINTR | libc::EAGAIN | libc::EBUSY)
    )
}
