//! The system calls that rustix does not have.

use super::errno::Errno;
use super::outcome::{Pages, Span};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::ffi::c_void;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr;

/// Number of `cachestat(2)`: the same on every architecture that Linux got after 5.1, and on those
/// of before except alpha and mips.
#[cfg(not(any(
    target_arch = "mips",
    target_arch = "mips64",
    target_arch = "mips32r6",
    target_arch = "mips64r6"
)))]
const CACHESTAT: Option<libc::c_long> = Some(451);
#[cfg(any(
    target_arch = "mips",
    target_arch = "mips64",
    target_arch = "mips32r6",
    target_arch = "mips64r6"
))]
const CACHESTAT: Option<libc::c_long> = None;

/// `struct cachestat_range` of linux/mman.h.
#[repr(C)]
struct CachestatRange {
    off: u64,
    len: u64,
}

/// `struct cachestat` of linux/mman.h.
#[repr(C)]
#[derive(Default)]
struct Cachestat {
    nr_cache: u64,
    nr_dirty: u64,
    nr_writeback: u64,
    nr_evicted: u64,
    nr_recently_evicted: u64,
}

fn last_error() -> Errno {
    let error = std::io::Error::last_os_error();
    Errno::new(error.raw_os_error().unwrap_or(libc::EIO))
}

/// `sync_file_range(2)` with all three flags: waits for writeback that is under way, writes back
/// what is dirty (`WB_SYNC_ALL` since 5.2), waits for it, and reports a writeback error that this
/// descriptor has not yet seen.
pub(super) fn sync_file_range(fd: impl AsFd, span: Span) -> Result<(), Errno> {
    let all = libc::SYNC_FILE_RANGE_WAIT_BEFORE
        | libc::SYNC_FILE_RANGE_WRITE
        | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    range_flags(fd, span, all)
}

/// The writeback error that this descriptor has not yet seen (`file_check_and_advance_wb_err()`).
/// Waits for nothing: the range that it waits for is the last page that a file can have.
pub(super) fn writeback_error(fd: impl AsFd) -> Result<(), Errno> {
    let last = Span {
        pos: i64::MAX as u64,
        len: 1,
    };
    range_flags(fd, last.widened(4096), libc::SYNC_FILE_RANGE_WAIT_BEFORE)
}

fn range_flags(fd: impl AsFd, span: Span, flags: libc::c_uint) -> Result<(), Errno> {
    let (pos, len) = (signed(span.pos), signed(span.len));
    // SAFETY: the descriptor is open as long as `fd` is borrowed; no memory is passed.
    let ret = unsafe { libc::sync_file_range(fd.as_fd().as_raw_fd(), pos, len, flags) };
    if ret == 0 { Ok(()) } else { Err(last_error()) }
}

/// An offset for the C library. No span goes beyond `i64::MAX`.
fn signed(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}

/// `cachestat(2)`, since 6.5. Counts the pages of the range; a range of no bytes would be taken for
/// one that goes to the end of the file.
pub(super) fn cachestat(fd: impl AsFd, span: Span) -> Result<Pages, Errno> {
    let Some(number) = CACHESTAT else {
        return Err(Errno::new(libc::ENOSYS));
    };
    let range = CachestatRange {
        off: span.pos,
        len: span.len,
    };
    let mut found = Cachestat::default();
    // SAFETY: both structures are laid out as the kernel's and live over the call, which reads the
    // first and writes the second; the last argument (flags) must be 0.
    let ret = unsafe {
        libc::syscall(
            number,
            fd.as_fd().as_raw_fd(),
            ptr::from_ref(&range),
            ptr::from_mut(&mut found),
            0 as libc::c_uint,
        )
    };
    if ret != 0 {
        return Err(last_error());
    }
    Ok(Pages {
        cached: found.nr_cache,
        dirty: Some(found.nr_dirty),
        writeback: Some(found.nr_writeback),
    })
}

/// `mincore(2)` on a mapping made for it alone: one byte for each page of `span`, which must begin
/// at a page; bit 0 says that the page is in the page cache and up to date. Nothing is touched, so
/// the mapping itself holds no page.
pub(super) fn mincore(fd: impl AsFd, span: Span, page: u64) -> Result<Vec<u8>, Errno> {
    let overflow = |_| Errno::new(libc::EOVERFLOW);
    let len = usize::try_from(span.len).map_err(overflow)?;
    let pages = usize::try_from(span.len.div_ceil(page)).map_err(overflow)?;
    let mut seen = vec![0; pages];
    // SAFETY: a new mapping at an address of the kernel's choice touches no other memory.
    let start = unsafe {
        mmap(
            ptr::null_mut(),
            len,
            ProtFlags::READ,
            MapFlags::SHARED,
            fd,
            span.pos,
        )
    }?;
    let looked = in_core(start, len, &mut seen);
    // SAFETY: unmaps what was mapped above; nothing refers to it.
    unsafe { munmap(start, len) }?;
    looked.map(|()| seen)
}

fn in_core(start: *mut c_void, len: usize, seen: &mut [u8]) -> Result<(), Errno> {
    // SAFETY: the range is mapped, and `seen` has a byte for each of its pages.
    let ret = unsafe { libc::mincore(start, len, seen.as_mut_ptr()) };
    if ret == 0 { Ok(()) } else { Err(last_error()) }
}
