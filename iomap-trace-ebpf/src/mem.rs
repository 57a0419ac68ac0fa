//! Copies and zeros by words. What the compiler makes of an assignment of more than a few words is a
//! call of `memcpy` or `memset`, which are loops over single bytes here.

/// Size of a word.
const WORD: usize = size_of::<u64>();

/// Copies a value of whole words.
///
/// # Safety
/// `to` must be valid for writes, `from` for reads, both aligned, of memory that is not the same.
#[inline(always)]
pub unsafe fn copy<T: Copy>(to: *mut T, from: *const T) {
    const { assert!(size_of::<T>().is_multiple_of(WORD) && align_of::<T>() == WORD) };
    let (to, from) = (to.cast::<u64>(), from.cast::<u64>());
    for n in 0..size_of::<T>() / WORD {
        // SAFETY: inside both values. Volatile, so that the loop is not taken for a `memcpy`.
        unsafe { to.add(n).write_volatile(from.add(n).read()) };
    }
}

/// Fills a value of whole words with zeros.
///
/// # Safety
/// `to` must be valid for writes and aligned, and zeros a value of its type.
#[inline(always)]
pub unsafe fn zero<T: Copy>(to: *mut T) {
    const { assert!(size_of::<T>().is_multiple_of(WORD) && align_of::<T>() == WORD) };
    for n in 0..size_of::<T>() / WORD {
        // SAFETY: inside the value. Volatile, so that the loop is not taken for a `memset`.
        unsafe { to.cast::<u64>().add(n).write_volatile(0) };
    }
}
