//! The hook table: what we want to see, and the probes that can show it.

/// A program and the tracepoint it goes to; of several names the first that exists is taken.
#[derive(Debug)]
pub struct Attach {
    /// Name of the program in the object.
    pub program: &'static str,
    /// Tracepoints, newest name first.
    pub tracepoints: &'static [&'static str],
}

/// A probe that would show more than a tracepoint.
#[derive(Debug)]
pub struct Better {
    /// Kind.
    pub via: &'static str,
    /// Function.
    pub symbol: &'static str,
}

/// A hook.
#[derive(Debug)]
pub struct Hook {
    /// Name.
    pub name: &'static str,
    /// Raw tracepoint programs; all must attach. Empty: no tracepoint shows it.
    pub raw_tp: &'static [Attach],
    /// Layout slots without which the programs see nothing.
    pub needs: &'static [&'static str],
    /// Settings without which they see nothing.
    pub wants: &'static [Want],
    /// Only where this filesystem is present.
    pub filesystem: Option<&'static str>,
    /// Better probes.
    pub better: &'static [Better],
    /// What the tracepoints cannot tell, or why there are none.
    pub limit: Option<&'static str>,
}

/// A constant of the kernel that a hook wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// `EXTENT_LOCKED` and `IO_TREE_INODE_IO`.
    ExtentBits,
    /// The address of `finish_ordered_fn` and the type of `btrfs_ordered_extent.inode`.
    FinishOrdered,
}

const INVALIDATE: &str = "invalidate_inode_pages2_range";

/// Evidence first, failures last: when the first failure is seen, its evidence is there.
pub const HOOKS: &[Hook] = &[
    Hook {
        name: "dirty",
        raw_tp: &[Attach {
            program: "page_dirtied",
            tracepoints: &["writeback_dirty_folio", "writeback_dirty_page"],
        }],
        needs: &["folio_index"],
        wants: &[],
        filesystem: None,
        better: &[],
        limit: None,
    },
    Hook {
        name: "cached",
        raw_tp: &[Attach {
            program: "page_cached",
            tracepoints: &["mm_filemap_add_to_page_cache"],
        }],
        needs: &["folio_index", "folio_mapping"],
        wants: &[],
        filesystem: None,
        better: &[],
        limit: None,
    },
    Hook {
        name: "writeback-error",
        raw_tp: &[Attach {
            program: "wb_error",
            tracepoints: &["filemap_set_wb_err"],
        }],
        needs: &[],
        wants: &[],
        filesystem: None,
        better: &[],
        limit: None,
    },
    Hook {
        name: "extent-lock",
        raw_tp: &[
            Attach {
                program: "extent_unlock",
                tracepoints: &["btrfs_clear_extent_bit"],
            },
            Attach {
                program: "extent_lock",
                tracepoints: &["btrfs_set_extent_bit"],
            },
        ],
        needs: &[
            "io_tree_owner",
            "io_tree_inode",
            "btrfs_inode_vfs",
            "inode_i_data",
        ],
        wants: &[Want::ExtentBits],
        filesystem: Some("btrfs"),
        better: &[],
        limit: None,
    },
    Hook {
        name: "ordered",
        raw_tp: &[
            Attach {
                program: "work_end",
                tracepoints: &["btrfs_all_work_done"],
            },
            Attach {
                program: "work_begin",
                tracepoints: &["btrfs_work_sched"],
            },
        ],
        needs: &[
            "ordered_work",
            "ordered_inode",
            "ordered_file_offset",
            "btrfs_work_func",
            "inode_i_data",
        ],
        wants: &[Want::FinishOrdered],
        filesystem: Some("btrfs"),
        better: &[],
        limit: None,
    },
    Hook {
        name: "release",
        raw_tp: &[],
        needs: &[],
        wants: &[],
        filesystem: None,
        better: &[
            Better {
                via: "fexit",
                symbol: "folio_unmap_invalidate",
            },
            Better {
                via: "kprobe",
                symbol: "btrfs_release_folio",
            },
        ],
        limit: Some("no tracepoint for it: the page cache is walked instead"),
    },
    Hook {
        name: "stale-warn",
        raw_tp: &[],
        needs: &[],
        wants: &[],
        filesystem: None,
        better: &[
            Better {
                via: "fentry",
                symbol: "dio_warn_stale_pagecache",
            },
            Better {
                via: "kprobe",
                symbol: "dio_warn_stale_pagecache",
            },
        ],
        limit: Some("no tracepoint for it: left folios and wb_err tell"),
    },
    Hook {
        name: "dio",
        raw_tp: &[
            Attach {
                program: "dio_complete",
                tracepoints: &["iomap_dio_complete"],
            },
            Attach {
                program: "dio_begin",
                tracepoints: &["iomap_dio_rw_begin"],
            },
        ],
        needs: &[
            "kiocb_ki_filp",
            "kiocb_ki_pos",
            "kiocb_ki_complete",
            "file_f_mapping",
            "iov_iter_data_source",
            "iov_iter_count",
            "mapping_host",
            "mapping_wb_err",
        ],
        wants: &[],
        filesystem: None,
        better: &[],
        limit: None,
    },
    Hook {
        name: "invalidate",
        raw_tp: &[Attach {
            program: "invalidate_fail",
            tracepoints: &["iomap_dio_invalidate_fail"],
        }],
        needs: &["inode_i_mapping", "inode_i_ino", "inode_i_sb", "sb_s_dev"],
        wants: &[],
        filesystem: None,
        better: &[
            Better {
                via: "fexit",
                symbol: INVALIDATE,
            },
            Better {
                via: "kprobe",
                symbol: INVALIDATE,
            },
        ],
        limit: Some("sees filesystems on iomap only, and not the errno"),
    },
];

/// The hook without which there is nothing to trace.
pub const ESSENTIAL: &str = "invalidate";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_that_a_hook_needs_exists() {
        let slots: Vec<_> = iomap_trace_ebpf::FIELDS.iter().map(|f| f.slot).collect();
        for hook in HOOKS {
            for need in hook.needs {
                assert!(slots.contains(need), "{} needs {need}", hook.name);
            }
            assert!(
                !hook.raw_tp.is_empty() || hook.limit.is_some(),
                "{} gives no reason",
                hook.name
            );
        }
        assert_eq!(HOOKS.last().map(|h| h.name), Some(ESSENTIAL));
    }
}
