//! The first and the last record.

use std::collections::BTreeMap;

use iomap_trace::event::{
    Clock, End, Facts, HookReport, HookState, KernelInfo, Mount, ProgramReport, SCHEMA, Start,
};

use super::Shape;
use super::scene::{BTRFS, EXT4, XFS};

/// When the runs begin, nanoseconds since boot.
pub const BEGIN_NS: u64 = 37_718_511_719;

/// A run of the fexit plan on 6.1.
pub fn start(shape: Shape, seed: u64) -> Start {
    let mount = |dev, fs: &str, at: &str| Mount {
        dev,
        fs: fs.to_owned(),
        at: at.to_owned(),
        options: "rw,relatime".to_owned(),
        block_size: 4096,
    };
    let hook = |hook: &str, via: &str, symbol: &str| HookReport {
        hook: hook.to_owned(),
        state: HookState::Attached,
        via: Some(via.to_owned()),
        symbol: Some(symbol.to_owned()),
        reason: None,
        rejected: Vec::new(),
    };
    let program = |name: &str| ProgramReport {
        name: name.to_owned(),
        instructions: 512,
        verified: Some(9_000),
    };
    Start {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        command: vec![
            "generated".to_owned(),
            shape.to_string(),
            format!("seed {seed}"),
        ],
        kernel: KernelInfo {
            release: "6.1.0-50-amd64".to_owned(),
            build: "#1 SMP PREEMPT_DYNAMIC".to_owned(),
            arch: "x86_64".to_owned(),
        },
        hostname: None,
        page_size: super::scene::PAGE,
        boot_id: "00000000-0000-4000-8000-000000000000".to_owned(),
        clock: Clock {
            boot_ns: BEGIN_NS,
            wall_ns: 1_795_425_965_199_899_820,
        },
        mounts: vec![
            mount(BTRFS, "btrfs", "/srv"),
            mount(XFS, "xfs", "/var/lib"),
            mount(EXT4, "ext4", "/home"),
        ],
        filesystems: Vec::new(),
        plan: "fexit".to_owned(),
        hooks: vec![
            hook("invalidate", "fexit", "invalidate_inode_pages2_range"),
            hook("release", "fexit", "btrfs_release_folio"),
            hook("ordered", "raw_tp", "btrfs_ordered_extent_add"),
            hook("extent-lock", "raw_tp", "btrfs_set_extent_bit"),
            hook("dirty", "raw_tp", "writeback_dirty_folio"),
            hook("cached", "raw_tp", "mm_filemap_add_to_page_cache"),
            hook("dio", "fentry", "__iomap_dio_rw"),
            hook("writeback-error", "raw_tp", "file_check_and_advance_wb_err"),
            hook("stale-warn", "fentry", "dio_warn_stale_pagecache"),
        ],
        programs: ["fexit_invalidate", "fexit_release", "extent_lock"]
            .map(program)
            .into(),
        facts: Facts {
            ordered_blocks_release: Some(true),
            writeback_error_fires: Some(false),
        },
        layout: BTreeMap::from([("inode_i_ino".to_owned(), 64)]),
        limits: Vec::new(),
        part: None,
    }
}

/// The end, after `failures` failures, when `losses` were lost.
pub fn end(ts_ns: u64, failures: u64, losses: &BTreeMap<String, u64>) -> End {
    let seen = [("invalidate.seen", failures), ("dio.writes", failures * 9)];
    let mut counters = losses.clone();
    counters.extend(seen.map(|(name, count)| (name.to_owned(), count)));
    End {
        ts_ns,
        why: "interrupted".to_owned(),
        counters,
        losses: losses.clone(),
        cost: BTreeMap::new(),
        kernel_printed: Some(0),
        clock: None,
        process: None,
    }
}
