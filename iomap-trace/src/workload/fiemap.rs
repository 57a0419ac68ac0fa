//! FIEMAP over the file, as `filefrag` asks for it: btrfs keeps the range locked while it looks.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use rustix::ioctl::opcode;

/// Extents per call. A file of more takes several calls, each with the lock taken anew.
const EXTENTS: usize = 1024;
/// `FIEMAP_FLAG_SYNC`: write dirty pages back first.
const SYNC: u32 = 1;
/// `FIEMAP_EXTENT_LAST`: the extent is the last one of the file.
const LAST: u32 = 1;

/// `struct fiemap` of `linux/fiemap.h` without the array at its end.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Head {
    start: u64,
    length: u64,
    flags: u32,
    mapped_extents: u32,
    extent_count: u32,
    reserved: u32,
}

/// `struct fiemap_extent` of `linux/fiemap.h`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Extent {
    logical: u64,
    physical: u64,
    length: u64,
    reserved64: [u64; 2],
    flags: u32,
    reserved: [u32; 3],
}

/// The whole argument of the call.
#[repr(C)]
struct Request {
    head: Head,
    extents: [Extent; EXTENTS],
}

const _: () = assert!(size_of::<Head>() == 32 && size_of::<Extent>() == 56);

/// Asks for the extents of one file again and again.
pub(super) struct Fiemap {
    request: Box<Request>,
}

impl Fiemap {
    /// A request with room for the answer.
    pub(super) fn new() -> Self {
        Self {
            request: Box::new(Request {
                head: Head::default(),
                extents: [Extent::default(); EXTENTS],
            }),
        }
    }

    /// Asks for all extents of `file` from offset `from` in bytes on, after writing dirty pages
    /// back if `sync` says so. Returns how many there are.
    ///
    /// Fails with `EOPNOTSUPP` or `ENOTTY` where the filesystem has no FIEMAP.
    pub(super) fn walk(&mut self, file: &File, from: u64, sync: bool) -> io::Result<usize> {
        let mut start = from;
        let mut count = 0;
        loop {
            let extents = self.ask(file, start, sync)?;
            count += extents.len();
            match extents.last() {
                Some(last) if last.flags & LAST == 0 && last.logical + last.length > start => {
                    start = last.logical + last.length;
                }
                _ => return Ok(count),
            }
        }
    }

    /// One call: the extents from `start` on for which there is room.
    fn ask(&mut self, file: &File, start: u64, sync: bool) -> io::Result<&[Extent]> {
        self.request.head = Head {
            start,
            length: u64::MAX - start,
            flags: if sync { SYNC } else { 0 },
            extent_count: EXTENTS as u32,
            ..Head::default()
        };
        // SAFETY: the kernel reads the head, writes it back and writes at most `extent_count`
        // extents behind it, which `request` has room for.
        let ret = unsafe {
            libc::ioctl(
                file.as_raw_fd(),
                opcode::read_write::<Head>(b'f', 11) as _,
                &raw mut *self.request,
            )
        };
        if ret != 0 {
            return Err(io::Error::last_os_error());
        }
        let mapped = (self.request.head.mapped_extents as usize).min(EXTENTS);
        Ok(&self.request.extents[..mapped])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn finds_the_extents_of_a_file_with_holes() {
        let file = tempfile::tempfile_in(".").unwrap();
        for pos in [0u64, 1 << 20, 2 << 20] {
            file.write_all_at(&[7; 4096], pos).unwrap();
        }
        let mut fiemap = Fiemap::new();
        let all = match fiemap.walk(&file, 0, true) {
            Ok(all) => all,
            Err(error) => {
                let errno = error.raw_os_error();
                assert!(
                    matches!(errno, Some(libc::EOPNOTSUPP | libc::ENOTTY)),
                    "{error}"
                );
                return;
            }
        };
        assert_eq!(all, 3);
        assert_eq!(fiemap.walk(&file, 1 << 20, false).unwrap(), 2);
        assert_eq!(fiemap.walk(&file, 3 << 20, false).unwrap(), 0);
    }
}
