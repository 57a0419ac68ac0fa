//! Keeps this process small: it runs for weeks beside others who need the memory.

use mimalloc as _; // `mi_collect` and `mi_option_set` are its functions.
use std::ffi::{c_int, c_long};

unsafe extern "C" {
    /// Of `mimalloc.h`: frees what this thread's heap retains, and with `force` gives memory that
    /// nobody uses back to the system at once.
    fn mi_collect(force: bool);
    /// Of `mimalloc.h`: sets an option, by its place in `mi_option_t`.
    fn mi_option_set(option: c_int, value: c_long);
}

/// `mi_option_purge_delay`, the same in mimalloc 2 and 3: milliseconds until free memory is given
/// back, if the allocator is called then.
const PURGE_DELAY: c_int = 15;

/// From now on free memory is given back at once, and there are no huge pages, in this process and
/// those that it starts: of a huge page all is resident, whatever is used of it. Where the system
/// gives them unasked one is there by now, for what is allocated before `main`.
///
/// Where the kernel refuses, the process is larger, and nothing else changes.
pub fn stay_small() {
    // SAFETY: the option exists, and takes any number; there is no other thread yet.
    unsafe { mi_option_set(PURGE_DELAY, 0) };
    // SAFETY: this option of prctl(2) takes no pointers.
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
}

/// Gives free memory back to the system: after the start, which reads all types of the kernel and
/// needs several times what the run does.
pub fn give_back() {
    // SAFETY: it may be called at any time, whichever allocator is used; it touches only memory
    // that is free.
    unsafe { mi_collect(true) };
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_in_use_stays() {
        let kept: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
        drop(vec![1_u8; 8 << 20]);
        super::give_back();
        assert!(
            kept.iter()
                .enumerate()
                .all(|(n, text)| *text == n.to_string())
        );
    }
}
