//! Reflinks of the checked file into a second one. Cloning *from* a file leaves its data alone.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use rustix::ioctl::opcode;

use super::options::Range;
use super::rng::Rng;

/// Ranges cloned for each clone of everything.
const RANGES: u64 = 15;
/// Most bytes in a cloned range.
const MAX_LEN: u64 = 256 << 10;

/// `struct file_clone_range` of `linux/fs.h`.
#[repr(C)]
#[derive(Debug)]
struct CloneRange {
    src_fd: i64,
    src_offset: u64,
    src_length: u64,
    dest_offset: u64,
}

const _: () = assert!(size_of::<CloneRange>() == 32);

/// Clones parts of one file into another.
#[derive(Debug)]
pub(super) struct Cloner<'a> {
    from: &'a File,
    into: File,
    range: Range,
    step: u64,
    calls: u64,
}

impl<'a> Cloner<'a> {
    /// Clones parts of `range` of `from`, which must reach to the end of the file, into the same
    /// place of `into`.
    ///
    /// Fails where the filesystem cannot be asked for its block size.
    pub(super) fn new(from: &'a File, into: File, range: Range) -> io::Result<Self> {
        Ok(Self {
            from,
            into,
            range,
            step: rustix::fs::fstatvfs(from)?.f_bsize.max(1),
            calls: 0,
        })
    }

    /// Clones everything now and then, a range otherwise. Returns the number of bytes asked for.
    ///
    /// Fails with `EOPNOTSUPP` or `ENOTTY` where the filesystem has no reflinks.
    pub(super) fn clone_some(&mut self, rng: &mut Rng) -> io::Result<usize> {
        let whole = self.calls.is_multiple_of(RANGES + 1);
        self.calls += 1;
        if whole {
            return self.clone_all();
        }
        let end = self.range.pos + self.range.len;
        let offset = rng.below(self.range.len / self.step) * self.step;
        let pos = self.range.pos + offset;
        let len = MAX_LEN.next_multiple_of(self.step).min(end - pos);
        self.clone_range(pos, len)?;
        Ok(len as usize)
    }

    /// Clones everything from the range's start on. Returns and fails as [`Cloner::clone_some`].
    pub(super) fn clone_all(&self) -> io::Result<usize> {
        // To the end: what FICLONE does when the range begins at 0.
        self.clone_range(self.range.pos, 0)?;
        Ok(self.range.len as usize)
    }

    /// Clones `len` bytes at `pos`, 0 for all to the end.
    fn clone_range(&self, pos: u64, len: u64) -> io::Result<()> {
        let request = CloneRange {
            src_fd: i64::from(self.from.as_raw_fd()),
            src_offset: pos,
            src_length: len,
            dest_offset: pos,
        };
        // SAFETY: FICLONERANGE reads the structure given and no other memory of this process.
        let ret = unsafe {
            libc::ioctl(
                self.into.as_raw_fd(),
                opcode::write::<CloneRange>(0x94, 13) as _,
                &raw const request,
            )
        };
        if ret == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn clones_are_equal_or_unsupported() {
        let (from, into) = (
            tempfile::tempfile_in(".").unwrap(),
            tempfile::tempfile_in(".").unwrap(),
        );
        let range = Range {
            pos: 0,
            len: 1 << 20,
            block: 4096,
        };
        let bytes: Vec<u8> = (0..range.len).map(|i| (i % 251) as u8).collect();
        from.write_all_at(&bytes, 0).unwrap();
        let mut cloner = Cloner::new(&from, into.try_clone().unwrap(), range).unwrap();
        let mut rng = Rng::for_thread(1, 1);
        for _ in 0..20 {
            if let Err(error) = cloner.clone_some(&mut rng) {
                let errno = error.raw_os_error();
                assert!(
                    matches!(errno, Some(libc::EOPNOTSUPP | libc::ENOTTY)),
                    "{error}"
                );
                return;
            }
        }
        let mut copy = vec![0; bytes.len()];
        into.read_exact_at(&mut copy, 0).unwrap();
        assert_eq!(copy, bytes);
    }
}
