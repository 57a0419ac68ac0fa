//! Do the page cache and the disk agree?
//!
//! The order matters. Dirty pages differ from the disk rightly, so they are written back first
//! (the fsync at the end of the run, then once more here by the direct read itself). The page cache
//! is *not* dropped: a clean page with old contents, which is what a failed invalidation leaves,
//! shows only while it is there. So each part of the range is read through the page cache as it is
//! and then with O_DIRECT, which reads past clean pages. A part that is not cached agrees without
//! saying anything; [`DataCheck::cached_bytes`] tells how much was.
//!
//! This is the state at the end. A stale page that was written or dropped again before then leaves
//! no trace here: agreement does not prove that nobody read old data during the run.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::ptr;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use serde::Serialize;

use super::buffer::AlignedBuf;
use super::options::Range;
use super::stamp::{INITIAL, SECTOR, Stamp};
use super::tally::Tally;

const CHUNK: u64 = 1 << 20;

/// What the comparison of buffered and direct reads gave.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DataCheck {
    /// Bytes compared.
    pub checked_bytes: u64,
    /// Bytes of them that were in the page cache before the comparison.
    pub cached_bytes: u64,
    /// Blocks with any difference.
    pub differing_blocks: u64,
    /// File offset in bytes of the first byte that differs.
    pub first_difference: Option<u64>,
    /// Who wrote what the page cache has there.
    pub cache_has: Option<Writer>,
    /// Who wrote what the disk has there.
    pub disk_has: Option<Writer>,
    /// Nothing differed.
    pub agree: bool,
}

/// Whose write a sector holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Writer {
    /// Thread id; absent for the first contents of the file and for a torn sector.
    pub tid: Option<i32>,
    /// Role of the thread, `initial` for the first contents, `torn` for a mixture.
    pub role: &'static str,
    /// Number of the write within its thread.
    pub seq: u64,
}

impl Writer {
    /// Names the writer of `sector`; the index in a stamp is the thread's place in `threads`.
    fn of(sector: &[u8], threads: &[Tally]) -> Self {
        let Some(stamp) = Stamp::read(sector) else {
            return Self {
                tid: None,
                role: "torn",
                seq: 0,
            };
        };
        let thread = threads.get(stamp.thread as usize);
        Self {
            tid: thread.map(|t| t.tid),
            role: match thread {
                Some(thread) => thread.role.name(),
                None if stamp.thread == INITIAL => "initial",
                None => "torn",
            },
            seq: stamp.seq,
        }
    }
}

/// Compares `range` through both descriptors. All writers must have stopped.
pub(super) fn run(
    buffered: &File,
    direct: &File,
    range: Range,
    threads: &[Tally],
) -> io::Result<DataCheck> {
    let mut check = DataCheck {
        cached_bytes: cached_bytes(buffered, range)?,
        ..DataCheck::default()
    };
    let step = (CHUNK / range.block).max(1) * range.block;
    let mut cache = AlignedBuf::new(step as usize);
    let mut disk = AlignedBuf::new(step as usize);
    let end = range.pos + range.len;
    let mut pos = range.pos;
    while pos < end {
        let want = step.min(end - pos) as usize;
        let got = read_full(buffered, &mut cache[..want], pos)?.min(read_full(
            direct,
            &mut disk[..want],
            pos,
        )?);
        check.compare(&cache[..got], &disk[..got], pos, range.block, threads);
        if got < want {
            break; // The filling was interrupted: the file ends here.
        }
        pos += got as u64;
    }
    check.agree = check.differing_blocks == 0;
    Ok(check)
}

impl DataCheck {
    fn compare(&mut self, cache: &[u8], disk: &[u8], pos: u64, block: u64, threads: &[Tally]) {
        self.checked_bytes += cache.len() as u64;
        let block = block as usize;
        for (i, (a, b)) in cache.chunks(block).zip(disk.chunks(block)).enumerate() {
            let Some(at) = a.iter().zip(b).position(|(a, b)| a != b) else {
                continue;
            };
            self.differing_blocks += 1;
            if self.first_difference.is_none() {
                self.first_difference = Some(pos + (i * block + at) as u64);
                let sector = at / SECTOR * SECTOR;
                self.cache_has = Some(Writer::of(&a[sector..], threads));
                self.disk_has = Some(Writer::of(&b[sector..], threads));
            }
        }
    }
}

/// Reads until `buf` is full or the file ends.
pub(crate) fn read_full(file: &File, buf: &mut [u8], pos: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buf.len() {
        match file.read_at(&mut buf[done..], pos + done as u64) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// How much of `range` is in the page cache, by `mincore(2)`.
fn cached_bytes(file: &File, range: Range) -> io::Result<u64> {
    let page = rustix::param::page_size();
    let len = range.len as usize;
    let mut resident = vec![0u8; len.div_ceil(page)];
    // SAFETY: a new mapping at an address of the kernel's choice, never accessed, and unmapped
    // below; `resident` has one byte for each of its pages.
    unsafe {
        let start = mmap(
            ptr::null_mut(),
            len,
            ProtFlags::READ,
            MapFlags::SHARED,
            file,
            range.pos,
        )?;
        let ret = libc::mincore(start, len, resident.as_mut_ptr());
        let result = if ret == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        };
        munmap(start, len)?;
        result?;
    }
    let pages = resident.iter().filter(|page| **page & 1 != 0).count();
    Ok(((pages * page) as u64).min(range.len))
}

#[cfg(test)]
mod tests {
    use super::super::stamp;
    use super::super::tally::Role;
    use super::*;

    const RANGE: Range = Range {
        pos: 65536,
        len: 4 * 4096,
        block: 4096,
    };

    fn contents(thread: u32) -> Vec<u8> {
        let mut bytes = vec![0; RANGE.len as usize];
        stamp::fill(&mut bytes, thread, 5, RANGE.pos);
        bytes
    }

    fn file(bytes: &[u8]) -> File {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(bytes, RANGE.pos).unwrap();
        file
    }

    #[test]
    fn equal_contents_agree() {
        let bytes = contents(INITIAL);
        let check = run(&file(&bytes), &file(&bytes), RANGE, &[]).unwrap();
        assert!(check.agree);
        assert_eq!(check.checked_bytes, RANGE.len);
        assert!(check.cached_bytes <= RANGE.len);
        assert_eq!(check.first_difference, None);
    }

    #[test]
    fn differences_are_counted_and_their_writers_named() {
        let threads = [Tally::new(Role::DirectWriter)];
        let disk = contents(0);
        let mut cache = disk.clone();
        stamp::fill(&mut cache[4096..8192], INITIAL, 0, RANGE.pos + 4096);
        cache[3 * 4096 + 600] ^= 1;
        let check = run(&file(&cache), &file(&disk), RANGE, &threads).unwrap();
        assert!(!check.agree);
        assert_eq!(check.differing_blocks, 2);
        let first = check.first_difference.unwrap();
        assert!((RANGE.pos + 4096..RANGE.pos + 4096 + 512).contains(&first));
        assert_eq!(check.cache_has.unwrap().role, "initial");
        let disk_has = check.disk_has.unwrap();
        assert_eq!(disk_has.role, "direct-writer");
        assert_eq!((disk_has.tid, disk_has.seq), (Some(threads[0].tid), 5));
    }

    #[test]
    fn a_short_file_is_checked_as_far_as_it_goes() {
        let bytes = contents(INITIAL);
        let short = file(&bytes[..4096]);
        let check = run(&short, &file(&bytes), RANGE, &[]).unwrap();
        assert_eq!((check.checked_bytes, check.agree), (4096, true));
    }
}
