//! Who else may be at a folio: what a failure's other party is named by.

use super::super::choice::Plan;
use super::super::hook::{
    Hook, Part, Want, Way, fentry, fexit, kprobe, kretprobe, optional, part, raw, telling,
};

const ORDERED_ADD: Part = optional(&[&[raw("ordered_add", "btrfs_ordered_extent_add")]]);

/// Who dirties a page.
pub const DIRTY: Hook = Hook {
    name: "dirty",
    ways: &[Way {
        plans: Plan::ALL,
        parts: &[part(&[
            &[raw("page_dirtied", "writeback_dirty_folio")],
            &[raw("page_dirtied", "writeback_dirty_page")],
        ])],
        needs: &["folio_index"],
        wants: &[],
        limit: None,
    }],
    filesystem: None,
    without: "",
};

/// Who brings a page into the cache.
pub const CACHED: Hook = Hook {
    name: "cached",
    ways: &[Way {
        plans: Plan::ALL,
        parts: &[part(&[&[raw(
            "page_cached",
            "mm_filemap_add_to_page_cache",
        )]])],
        needs: &["folio_index", "folio_mapping"],
        wants: &[],
        limit: None,
    }],
    filesystem: None,
    without: "",
};

/// Write-back that failed.
pub const WRITEBACK_ERROR: Hook = Hook {
    name: "writeback-error",
    ways: &[Way {
        plans: Plan::ALL,
        parts: &[telling(part(&[&[raw("wb_error", "filemap_set_wb_err")]]))],
        needs: &[],
        wants: &[],
        limit: None,
    }],
    filesystem: None,
    without: "",
};

/// btrfs's locks of ranges of a file.
pub const EXTENT_LOCK: Hook = Hook {
    name: "extent-lock",
    ways: &[Way {
        plans: Plan::ALL,
        parts: &[part(&[&[
            raw("extent_unlock", "btrfs_clear_extent_bit"),
            raw("extent_lock", "btrfs_set_extent_bit"),
        ]])],
        needs: &[
            "io_tree_owner",
            "io_tree_inode",
            "btrfs_inode_vfs",
            "inode_i_data",
        ],
        wants: &[Want::ExtentBits],
        limit: None,
    }],
    filesystem: Some("btrfs"),
    without: "",
};

/// Ordered I/O that completes.
pub const ORDERED: Hook = Hook {
    name: "ordered",
    ways: &[
        Way {
            plans: &[Plan::Kprobe],
            parts: &[
                part(&[
                    &[
                        kretprobe("kretprobe_ordered", "btrfs_finish_one_ordered"),
                        kprobe("kprobe_ordered", "btrfs_finish_one_ordered"),
                    ],
                    &[
                        kretprobe("kretprobe_ordered", "btrfs_finish_ordered_io"),
                        kprobe("kprobe_ordered", "btrfs_finish_ordered_io"),
                    ],
                ]),
                ORDERED_ADD,
                // What the return of the function does not tell the end of the work does.
                optional(&[&[raw("work_end", "btrfs_all_work_done")]]),
            ],
            needs: &[
                "ordered_inode",
                "ordered_file_offset",
                "ordered_num_bytes",
                "inode_i_data",
            ],
            wants: &[Want::OrderedInode],
            limit: None,
        },
        Way {
            plans: Plan::ALL,
            parts: &[
                part(&[&[
                    raw("work_end", "btrfs_all_work_done"),
                    raw("work_begin", "btrfs_work_sched"),
                ]]),
                ORDERED_ADD,
            ],
            needs: &[
                "ordered_work",
                "ordered_inode",
                "ordered_file_offset",
                "ordered_num_bytes",
                "btrfs_work_func",
                "inode_i_data",
            ],
            wants: &[Want::FinishOrdered, Want::OrderedInode],
            limit: None,
        },
    ],
    filesystem: Some("btrfs"),
    without: "",
};

/// Folios that are refused, and when that was asked for.
pub const RELEASE: Hook = Hook {
    name: "release",
    ways: &[
        Way {
            plans: &[Plan::Fexit],
            parts: &[part(&[
                &[
                    fexit("fexit_unmap", "folio_unmap_invalidate"),
                    fentry("fentry_release", "folio_unmap_invalidate"),
                ],
                &[
                    fexit("fexit_release", "filemap_release_folio"),
                    fentry("fentry_release", "filemap_release_folio"),
                ],
                &[
                    fexit("fexit_release", "try_to_release_page"),
                    fentry("fentry_release", "try_to_release_page"),
                ],
            ])],
            needs: &["folio_mapping", "folio_index", "mapping_host"],
            wants: &[],
            limit: None,
        },
        Way {
            plans: &[Plan::Kprobe],
            parts: &[
                part(&[
                    &[
                        kretprobe("kretprobe_unmap", "folio_unmap_invalidate"),
                        kprobe("kprobe_unmap", "folio_unmap_invalidate"),
                    ],
                    &[
                        kretprobe("kretprobe_release", "filemap_release_folio"),
                        kprobe("kprobe_release", "filemap_release_folio"),
                    ],
                    &[
                        kretprobe("kretprobe_release", "try_to_release_page"),
                        kprobe("kprobe_release", "try_to_release_page"),
                    ],
                ]),
                optional(&[
                    &[
                        kretprobe("kretprobe_btrfs_release", "btrfs_release_folio"),
                        kprobe("kprobe_btrfs_release", "btrfs_release_folio"),
                    ],
                    &[
                        kretprobe("kretprobe_btrfs_release", "btrfs_releasepage"),
                        kprobe("kprobe_btrfs_release", "btrfs_releasepage"),
                    ],
                ]),
            ],
            needs: &["folio_mapping", "folio_index", "mapping_host"],
            wants: &[],
            limit: None,
        },
    ],
    filesystem: None,
    without: "no tracepoint for it: the page cache is walked instead",
};
