//! Up to which moment everything has come out of the ring buffer.
//!
//! What was in it at a moment has come when it is found empty later; under load that may never be,
//! but then it has when as many bytes have passed as the buffer holds.

use rustix::fd::{AsRawFd, BorrowedFd};

/// The head before each record (`struct bpf_ringbuf_hdr`, kernel/bpf/ringbuf.c), and to how much a
/// record is rounded up.
const HEAD: u64 = 8;

/// The moment, and how far it is behind.
#[derive(Debug)]
pub(super) struct Front {
    /// Bytes that the buffer holds.
    size: u64,
    /// What was there at this moment is being read, and so many bytes of it and after it were.
    reading: Option<(u64, u64)>,
    /// What was there at this moment has come, and that was not told.
    complete: Option<u64>,
}

impl Front {
    /// Of this ring buffer. If the kernel does not tell how large it is, only an empty one counts.
    pub(super) fn of(ring: BorrowedFd<'_>) -> Self {
        let path = format!("/proc/self/fdinfo/{}", ring.as_raw_fd());
        let told = std::fs::read_to_string(path).ok();
        let size = told.and_then(|told| {
            let size = |line: &str| line.strip_prefix("max_entries:")?.trim().parse().ok();
            told.lines().find_map(size)
        });
        Self::sized(size.unwrap_or(u64::MAX))
    }

    fn sized(size: u64) -> Self {
        Self {
            size,
            reading: None,
            complete: None,
        }
    }

    /// Reading begins, or goes on, at the moment `now_ns`.
    pub(super) fn begin(&mut self, now_ns: u64) {
        self.reading.get_or_insert((now_ns, 0));
    }

    /// A record of `len` bytes has come.
    pub(super) fn passed(&mut self, len: usize) {
        if let Some((_, bytes)) = &mut self.reading {
            *bytes += HEAD + (len as u64).next_multiple_of(HEAD);
            if *bytes >= self.size {
                self.emptied();
            }
        }
    }

    /// Nothing is left of what was there.
    pub(super) fn emptied(&mut self) {
        if let Some((since_ns, _)) = self.reading.take() {
            self.complete = Some(since_ns);
        }
    }

    /// The latest moment up to which everything has come, once.
    pub(super) fn complete(&mut self) -> Option<u64> {
        self.complete.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_buffer_has_given_everything() {
        let mut front = Front::sized(64);
        assert_eq!(front.complete(), None);
        front.begin(5);
        front.passed(10);
        assert_eq!(front.complete(), None);
        // The reading goes on: what was there at 5 is what is waited for.
        front.begin(7);
        front.emptied();
        assert_eq!((front.complete(), front.complete()), (Some(5), None));
    }

    #[test]
    fn one_that_is_never_empty_has_when_as_much_has_passed_as_it_holds() {
        let mut front = Front::sized(64);
        front.begin(5);
        for _ in 0..3 {
            front.passed(8);
            assert_eq!(front.complete(), None);
        }
        front.passed(1);
        assert_eq!(front.complete(), Some(5));
        // What follows in the same drain belongs to the next moment, which is not known yet.
        front.passed(100);
        assert_eq!(front.complete(), None);
        front.begin(9);
        front.passed(56);
        assert_eq!(front.complete(), Some(9));
    }
}
