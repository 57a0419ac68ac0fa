//! Kernel stacks, without the frames of tracing and BPF, whose names are not reliable.

use crate::event::Text;

/// Functions in which a failure is seen, innermost first.
pub const FAILING: &[&str] = &[
    "invalidate_inode_pages2_range",
    "dio_warn_stale_pagecache",
    "iomap_dio_complete",
    "__iomap_dio_rw",
];
/// Functions that set bits in an extent io tree, by their names of 5.10 to 7.3 (fs/btrfs/extent_io.c,
/// extent-io-tree.c).
pub const LOCKING: &[&str] = &[
    "__set_extent_bit",
    "set_extent_bit",
    "lock_extent_bits",
    "lock_extent",
    "__lock_extent",
    "try_lock_extent",
    "__try_lock_extent",
    "btrfs_set_extent_bit",
    "btrfs_lock_extent",
    "btrfs_lock_extent_bits",
    "btrfs_try_lock_extent",
    "btrfs_try_lock_extent_bits",
];

/// The frames from the last one of `functions` outwards; all of them when there is none.
pub fn from(mut stack: Vec<String>, functions: &[&str]) -> Vec<String> {
    let last = functions
        .iter()
        .find_map(|function| stack.iter().rposition(|frame| name(frame) == *function));
    stack.drain(..last.unwrap_or(0));
    stack
}

/// The function that called the lock: in the stack, the one above the last that sets bits.
pub fn locker(stack: &[String]) -> Option<Text> {
    let lock = stack
        .iter()
        .rposition(|frame| LOCKING.contains(&name(frame)))?;
    let caller = name(stack.get(lock + 1)?);
    (!caller.starts_with("0x")).then(|| caller.into())
}

/// The function's name, without offset, module and compiler's suffix.
fn name(frame: &str) -> &str {
    frame.split(['+', ' ', '.']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_locker_is_the_caller_of_the_lock() {
        let locker = |stack: &[&str]| {
            let stack: Vec<String> = stack.iter().map(|s| (*s).to_owned()).collect();
            locker(&stack)
        };
        let stack = [
            "__tracepoint_btrfs_transaction_start+0x9f2 [btrfs]",
            "bpf_trace_run4+0x5",
            "set_extent_bit+0x9 [btrfs]",
            "btrfs_lock_extent_bits+0x3 [btrfs]",
            "lock_extents_for_read.constprop.0+0x12 [btrfs]",
            "btrfs_readahead+0x1 [btrfs]",
        ];
        assert_eq!(locker(&stack).as_deref(), Some("lock_extents_for_read"));
        assert_eq!(locker(&stack[..4]), None);
        assert_eq!(locker(&["bpf_trace_run4+0x5", "extent_fiemap+0x1"]), None);
        assert_eq!(locker(&[]), None);
    }

    #[test]
    fn frames_of_tracing_are_left_out() {
        let stack =
            |frames: &[&str]| -> Vec<String> { frames.iter().map(|f| (*f).to_owned()).collect() };
        let all = [
            "0xffffffffc0034588",
            "virtcons_probe.cold+0x76ec [virtio_console]",
            "invalidate_inode_pages2_range+0x5",
            "__iomap_dio_rw+0x432",
        ];
        assert_eq!(from(stack(&all), FAILING), stack(&all[2..]));
        assert_eq!(from(stack(&all[..2]), FAILING), stack(&all[..2]));
        assert_eq!(from(stack(&[]), LOCKING), stack(&[]));
    }
}
