//! A page of a file that is mapped, dirty and locked in memory: POSIX_FADV_DONTNEED leaves it.

use crate::ground::PAGE;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mlock, mmap, munlock, munmap};
use std::fs::File;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

/// One page.
#[derive(Debug)]
pub struct Mapped(*mut libc::c_void);

// SAFETY: the mapping belongs to this value alone, and is only stored to, atomically.
unsafe impl Send for Mapped {}
// SAFETY: as above.
unsafe impl Sync for Mapped {}

impl Mapped {
    /// Maps and locks the page at `pos`.
    pub fn new(file: &File, pos: usize) -> Self {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice touches no other memory.
        let start = unsafe {
            mmap(
                ptr::null_mut(),
                PAGE,
                access,
                MapFlags::SHARED,
                file,
                pos as u64,
            )
        };
        let mapped = Self(start.unwrap());
        // SAFETY: locks the mapping alone.
        unsafe { mlock(mapped.0, PAGE) }.unwrap();
        mapped
    }

    /// Makes the page dirty: its first word is `value` now.
    pub fn store(&self, value: u64) {
        // SAFETY: inside the mapping and aligned; the file has this page.
        let place = unsafe { AtomicU64::from_ptr(self.0.cast()) };
        place.store(value, Ordering::Relaxed);
    }
}

impl Mapped {
    /// Unlocks it and takes it out of the page table, so that it can be dropped; a store brings it
    /// back.
    pub fn unmap(&self) {
        // SAFETY: the mapping is shared and stays; its contents come from the file again.
        unsafe {
            munlock(self.0, PAGE).unwrap();
            madvise(self.0, PAGE, Advice::LinuxDontNeed).unwrap();
        }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: unmaps what was mapped; nothing refers to it any more.
        let _ = unsafe { munmap(self.0, PAGE) };
    }
}
