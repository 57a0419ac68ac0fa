//! The reference's direct write path on real filesystems: every policy against every state of the
//! page cache, and injected faults, which it must survive with nothing lost that was acknowledged.
//!
//! These tests need root, the mkfs tools, strace and zram (`cargo xtask setup`), and run one at a
//! time: `cargo xtask test --only direct`, or
//! `cargo test -p iomap-trace --test reference -- --ignored --test-threads=1`.
//! `IOMAP_TRACE_MNT` names a directory with filesystems that are mounted already, each in a directory
//! of its name: in a virtual machine the tests of `cache`, `limit` and `threads` use these.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail")]

#[path = "live/harness/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "the live tests need more of it than these"
)]
mod harness;

#[path = "reference/cache.rs"]
mod cache;
#[path = "reference/device.rs"]
mod device;
#[path = "reference/full.rs"]
mod full;
#[path = "reference/ground.rs"]
mod ground;
#[path = "reference/limit.rs"]
mod limit;
#[path = "reference/mapped.rs"]
mod mapped;
#[path = "reference/signals.rs"]
mod signals;
#[path = "reference/strace.rs"]
mod strace;
#[path = "reference/threads.rs"]
mod threads;
#[path = "reference/zram.rs"]
mod zram;
