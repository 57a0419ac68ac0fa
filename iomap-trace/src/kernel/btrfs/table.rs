//! Builds whose layout is known without type information of theirs.
//!
//! Offsets are from the DWARF of the build's own debug package, and were found again in the
//! module's code (`objdump -dr btrfs.ko`), as the comments say.

use super::build::{Build, Event};

/// The builds.
pub const BUILDS: &[Build] = &[Build {
    release: "5.10.0-32-cloud-amd64",
    arch: "x86_64",
    version: "5.10.223-1",
    build_id: "47002c7a467d24358bdf1f7a44e13796e32412a6",
    offsets: &[
        // btrfs_getattr: `generic_fillattr(inode)`, then `inode[-0x230][0x3e0]` is `stat->dev`;
        // btrfs_get_root_ref hands `root + 0x3e0` to get_anon_bdev.
        ("btrfs_inode_root", 0),
        ("btrfs_inode_vfs", 0x230),
        ("btrfs_root_anon_dev", 0x3e0),
        // trace_event_raw_event_btrfs_set_extent_bit: `owner`, `ino` and `rootid` of its record.
        ("btrfs_root_objectid", 0x1df),
        ("io_tree_owner", 0x21),
        ("io_tree_inode", 0x10),
        // trace_event_raw_event_btrfs__ordered_extent: `file_offset`, `len` and `flags`.
        ("ordered_file_offset", 0),
        ("ordered_num_bytes", 0x10),
        ("ordered_flags", 0x38),
        // btrfs_finish_ordered_io: `inode = ordered[0x50]`, its root is `inode[-0x230]`.
        ("ordered_inode", 0x50),
        // finish_ordered_fn takes 0xb8 from its argument.
        ("ordered_work", 0xb8),
        // btrfs_work_helper calls what is first in the work.
        ("btrfs_work_func", 0),
    ],
    // fs/btrfs/extent-io-tree.h: EXTENT_LOCKED is (1U << 2).
    extent_locked: 0x4,
    // fs/btrfs/extent-io-tree.h: the fourth of its enum.
    io_tree_inode_io: 3,
    ordered_inode_is_vfs: true,
    io_tree_inode_is_vfs: true,
    foreign_unlocks: true,
    ordered_blocks_release: true,
    // fs/btrfs/ordered-data.h, an enum from 0 on.
    ordered_flags: &[
        (0, "io-done"),
        (1, "complete"),
        (2, "nocow"),
        (3, "compressed"),
        (4, "prealloc"),
        (5, "direct"),
        (6, "ioerr"),
        (7, "truncated"),
        (8, "regular"),
        (9, "logged"),
        (10, "logged-csum"),
        (11, "pending"),
    ],
    events: EVENTS_5_10,
}];

/// include/trace/events/btrfs.h of 5.10.
const EVENTS_5_10: &[Event] = &[
    (
        "btrfs_set_extent_bit",
        &[
            ("owner", 24, 4),
            ("ino", 32, 8),
            ("rootid", 40, 8),
            ("start", 48, 8),
            ("len", 56, 8),
            ("set_bits", 64, 4),
        ],
    ),
    (
        "btrfs_clear_extent_bit",
        &[
            ("owner", 24, 4),
            ("ino", 32, 8),
            ("rootid", 40, 8),
            ("start", 48, 8),
            ("len", 56, 8),
            ("clear_bits", 64, 4),
        ],
    ),
    (
        "btrfs_ordered_extent_add",
        &[
            ("ino", 24, 8),
            ("file_offset", 32, 8),
            ("len", 48, 8),
            ("flags", 72, 8),
            ("root_objectid", 88, 8),
        ],
    ),
    (
        "btrfs_work_sched",
        &[("work", 24, 8), ("wq", 32, 8), ("func", 40, 8)],
    ),
];
