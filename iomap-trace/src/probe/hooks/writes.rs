//! Direct writes, and what tells that their invalidation has failed.

use super::super::choice::Plan;
use super::super::hook::{
    Attach, Hook, Part, Standby, Way, fentry, fexit, kprobe, kretprobe, optional, part, raw,
    telling,
};

const FUNCTION: &str = "invalidate_inode_pages2_range";
pub const GENERIC: &str = "generic_file_direct_write";
/// Since 6.5, and in the stable series 6.1.
const POST: &str = "kiocb_invalidate_post_direct_write";

const DIO_COMPLETE_NOTE: Attach = raw("dio_complete_note", "iomap_dio_complete");
/// The kernel's tracepoints for direct I/O, since 6.5.
const DIO_TRACEPOINTS: &[Attach] = &[
    raw("dio_complete", "iomap_dio_complete"),
    raw("dio_begin", "iomap_dio_rw_begin"),
];
const FEXIT_GENERIC: Part = optional(&[&[
    fexit("fexit_generic", GENERIC),
    fentry("fentry_generic", GENERIC),
]]);
const KPROBE_GENERIC: Part = optional(&[&[
    kretprobe("kretprobe_generic", GENERIC),
    kprobe("kprobe_generic", GENERIC),
]]);
/// What every begin of a direct write reads.
const DIO_NEEDS: &[&str] = &[
    "kiocb_ki_filp",
    "kiocb_ki_pos",
    "kiocb_ki_complete",
    "file_f_mapping",
    "iov_iter_data_source",
    "iov_iter_count",
    "mapping_host",
    "mapping_wb_err",
];

/// Direct writes: begin, second invalidation, end.
pub const DIO: Hook = Hook {
    name: super::DIO,
    ways: &[
        Way {
            plans: &[Plan::Fexit],
            parts: &[
                telling(FEXIT_GENERIC),
                part(&[
                    &[
                        raw("dio_complete", "iomap_dio_complete"),
                        fentry("fentry_post", POST),
                        raw("dio_begin", "iomap_dio_rw_begin"),
                    ],
                    // From 5.11 it has seven arguments, of which trampolines take six up to 6.5.
                    &[
                        fexit("fexit_complete", "iomap_dio_complete"),
                        fentry("fentry_complete", "iomap_dio_complete"),
                        fentry("fentry_post", POST),
                        kprobe("kprobe_dio_rw", "__iomap_dio_rw"),
                    ],
                    &[
                        fexit("fexit_complete", "iomap_dio_complete"),
                        fentry("fentry_complete", "iomap_dio_complete"),
                        fentry("fentry_dio_rw", "__iomap_dio_rw"),
                    ],
                ])
                .in_standby(Standby::StoodInFor(&[fentry("fentry_post_note", POST)])),
            ],
            needs: DIO_NEEDS,
            wants: &[],
            limit: None,
        },
        Way {
            plans: &[Plan::Fexit],
            parts: &[
                telling(FEXIT_GENERIC),
                part(&[&[
                    fexit("fexit_complete", "iomap_dio_complete"),
                    fentry("fentry_complete", "iomap_dio_complete"),
                    fentry("fentry_post", POST),
                ]])
                .in_standby(Standby::StoodInFor(&[fentry("fentry_post_note", POST)])),
            ],
            needs: DIO_NEEDS,
            wants: &[],
            limit: Some("sees no begin of a write, nor one that btrfs turns buffered itself"),
        },
        Way {
            plans: &[Plan::Kprobe],
            parts: &[
                telling(KPROBE_GENERIC),
                part(&[
                    &[
                        raw("dio_complete", "iomap_dio_complete"),
                        kprobe("kprobe_post", POST),
                        raw("dio_begin", "iomap_dio_rw_begin"),
                    ],
                    &[
                        kretprobe("kretprobe_complete", "iomap_dio_complete"),
                        kprobe("kprobe_complete", "iomap_dio_complete"),
                        kprobe("kprobe_post", POST),
                        kprobe("kprobe_dio_rw", "__iomap_dio_rw"),
                    ],
                    &[
                        kretprobe("kretprobe_complete", "iomap_dio_complete"),
                        kprobe("kprobe_complete", "iomap_dio_complete"),
                        kprobe("kprobe_dio_rw", "__iomap_dio_rw"),
                    ],
                ])
                .in_standby(Standby::StoodInFor(&[kprobe("kprobe_post_note", POST)])),
            ],
            needs: DIO_NEEDS,
            wants: &[],
            limit: None,
        },
        Way {
            plans: &[Plan::Tracepoint],
            parts: &[part(&[DIO_TRACEPOINTS]).in_standby(Standby::StoodInFor(&[DIO_COMPLETE_NOTE]))],
            needs: DIO_NEEDS,
            wants: &[],
            limit: None,
        },
    ],
    filesystem: None,
    without: "",
};

/// The kernel's warning of a post failure.
pub const STALE_WARN: Hook = Hook {
    name: super::STALE_WARN,
    ways: &[
        Way {
            plans: &[Plan::Fexit],
            parts: &[telling(part(&[&[fentry(
                "fentry_stale_warn",
                "dio_warn_stale_pagecache",
            )]]))],
            needs: &[],
            wants: &[],
            limit: None,
        },
        Way {
            plans: &[Plan::Kprobe],
            parts: &[telling(part(&[&[kprobe(
                "kprobe_stale_warn",
                "dio_warn_stale_pagecache",
            )]]))],
            needs: &[],
            wants: &[],
            limit: None,
        },
    ],
    filesystem: None,
    without: "no tracepoint for it: left folios and wb_err tell",
};

/// The invalidation that fails.
pub const INVALIDATE: Hook = Hook {
    name: super::ESSENTIAL,
    ways: &[
        Way {
            plans: &[Plan::Fexit],
            parts: &[
                telling(part(&[&[fexit("fexit_invalidate", FUNCTION)]])),
                telling(optional(&[&[raw(
                    "invalidate_fail",
                    "iomap_dio_invalidate_fail",
                )]])),
            ],
            needs: INVALIDATE_NEEDS,
            wants: &[],
            limit: None,
        },
        Way {
            plans: &[Plan::Kprobe],
            parts: &[
                telling(part(&[&[
                    kretprobe("kretprobe_invalidate", FUNCTION),
                    kprobe("kprobe_invalidate", FUNCTION),
                ]])),
                telling(optional(&[&[raw(
                    "invalidate_fail",
                    "iomap_dio_invalidate_fail",
                )]])),
            ],
            needs: INVALIDATE_NEEDS,
            wants: &[],
            limit: None,
        },
        Way {
            plans: &[Plan::Tracepoint],
            parts: &[telling(part(&[&[raw(
                "invalidate_fail",
                "iomap_dio_invalidate_fail",
            )]]))],
            needs: INVALIDATE_NEEDS,
            wants: &[],
            limit: Some("sees filesystems on iomap only, and not the errno"),
        },
    ],
    filesystem: None,
    without: "",
};

const INVALIDATE_NEEDS: &[&str] = &["inode_i_mapping", "inode_i_ino", "inode_i_sb", "sb_s_dev"];
