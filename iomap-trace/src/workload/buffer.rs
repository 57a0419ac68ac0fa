//! Page-aligned memory, as direct I/O asks for it.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// Alignment of every buffer in bytes: no device asks for more.
const ALIGN: usize = 4096;

/// Zeroed bytes that start on a page boundary.
#[derive(Debug)]
pub struct AlignedBuf {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: the memory belongs to this value alone.
unsafe impl Send for AlignedBuf {}

impl AlignedBuf {
    /// `len` zeroed bytes; `len` must not be 0.
    ///
    /// # Panics
    /// When `len` is 0 or larger than an allocation can be.
    pub fn new(len: usize) -> Self {
        assert!(len > 0, "an aligned buffer cannot be empty");
        #[allow(
            clippy::expect_used,
            reason = "fails only above isize::MAX bytes; sizes are validated far below that"
        )]
        let layout = Layout::from_size_align(len, ALIGN).expect("buffer size below isize::MAX");
        // SAFETY: the layout's size is not zero.
        let start = unsafe { alloc_zeroed(layout) };
        match NonNull::new(start) {
            Some(start) => Self { start, layout },
            None => handle_alloc_error(layout),
        }
    }
}

impl Drop for AlignedBuf {
    fn drop(&mut self) {
        // SAFETY: `start` was allocated with this very layout and is freed once.
        unsafe { dealloc(self.start.as_ptr(), self.layout) }
    }
}

impl Deref for AlignedBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `start` points to `size()` initialised bytes that live as long as `self`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.layout.size()) }
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.layout.size()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_aligned_zeroed_and_writable() {
        for len in [512, 4096, 16384 + 512] {
            let mut buf = AlignedBuf::new(len);
            assert_eq!(buf.as_ptr() as usize % ALIGN, 0);
            assert!(buf.iter().all(|b| *b == 0));
            buf[len - 1] = 7;
            assert_eq!(buf.len(), len);
        }
    }
}
