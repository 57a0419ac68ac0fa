//! The hook table: what we want to see, and in each plan the programs that can show it.

use super::choice::Plan;
use super::hook::{Attach, Hook, Kind, Part, Standby, Want, Way};

/// Name of a hook that post failures hang on.
pub const DIO: &str = "dio";
/// Name of the hook that tells of post failures.
pub const STALE_WARN: &str = "stale-warn";
/// The hook without which there is nothing to trace.
pub const ESSENTIAL: &str = "invalidate";

const ALL: &[Plan] = &[Plan::Fexit, Plan::Kprobe, Plan::Tracepoint];

const INVALIDATE: &str = "invalidate_inode_pages2_range";
const GENERIC: &str = "generic_file_direct_write";
/// Since 6.5, and in the stable series 6.1.
const POST: &str = "kiocb_invalidate_post_direct_write";

const fn at(kind: Kind, program: &'static str, target: &'static str) -> Attach {
    Attach {
        kind,
        program,
        target,
    }
}

const fn raw(program: &'static str, tracepoint: &'static str) -> Attach {
    at(Kind::RawTp, program, tracepoint)
}

const fn fentry(program: &'static str, function: &'static str) -> Attach {
    at(Kind::Fentry, program, function)
}

const fn fexit(program: &'static str, function: &'static str) -> Attach {
    at(Kind::Fexit, program, function)
}

const fn kprobe(program: &'static str, function: &'static str) -> Attach {
    at(Kind::Kprobe, program, function)
}

const fn kretprobe(program: &'static str, function: &'static str) -> Attach {
    at(Kind::Kretprobe, program, function)
}

const fn part(choices: &'static [&'static [Attach]]) -> Part {
    Part {
        choices,
        optional: false,
        standby: Standby::Waits,
    }
}

const fn optional(choices: &'static [&'static [Attach]]) -> Part {
    Part {
        choices,
        optional: true,
        standby: Standby::Waits,
    }
}

/// A part that tells of failures itself.
const fn telling(part: Part) -> Part {
    part.in_standby(Standby::Stays)
}

const DIO_COMPLETE_NOTE: Attach = raw("dio_complete_note", "iomap_dio_complete");
/// The kernel's tracepoints for direct I/O, since 6.5.
const DIO_TRACEPOINTS: &[Attach] = &[
    raw("dio_complete", "iomap_dio_complete"),
    raw("dio_begin", "iomap_dio_rw_begin"),
];
const ORDERED_ADD: Part = optional(&[&[raw("ordered_add", "btrfs_ordered_extent_add")]]);
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

/// Evidence first, failures last: when the first failure is seen, its evidence is there. Of a direct
/// write the end comes first, and its begin last: what is known of a write that is over would be
/// believed of the next one of its task.
pub const HOOKS: &[Hook] = &[
    Hook {
        name: "dirty",
        ways: &[Way {
            plans: ALL,
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
    },
    Hook {
        name: "cached",
        ways: &[Way {
            plans: ALL,
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
    },
    Hook {
        name: "writeback-error",
        ways: &[Way {
            plans: ALL,
            parts: &[telling(part(&[&[raw("wb_error", "filemap_set_wb_err")]]))],
            needs: &[],
            wants: &[],
            limit: None,
        }],
        filesystem: None,
        without: "",
    },
    Hook {
        name: "extent-lock",
        ways: &[Way {
            plans: ALL,
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
    },
    Hook {
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
                plans: ALL,
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
    },
    Hook {
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
    },
    Hook {
        name: DIO,
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
                parts: &[
                    part(&[DIO_TRACEPOINTS]).in_standby(Standby::StoodInFor(&[DIO_COMPLETE_NOTE]))
                ],
                needs: DIO_NEEDS,
                wants: &[],
                limit: None,
            },
        ],
        filesystem: None,
        without: "",
    },
    Hook {
        name: STALE_WARN,
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
    },
    Hook {
        name: ESSENTIAL,
        ways: &[
            Way {
                plans: &[Plan::Fexit],
                parts: &[
                    telling(part(&[&[fexit("fexit_invalidate", INVALIDATE)]])),
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
                        kretprobe("kretprobe_invalidate", INVALIDATE),
                        kprobe("kprobe_invalidate", INVALIDATE),
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
    },
];

const INVALIDATE_NEEDS: &[&str] = &["inode_i_mapping", "inode_i_ino", "inode_i_sb", "sb_s_dev"];

/// Programs sorted by this are in the order in which they are to be detached: first the hooks that tell
/// of failures, which without the others would tell them wrongly, and of a hook the end of a write
/// before its begin, as it tells, too. What the table does not have comes last.
pub fn detached_at(program: &str) -> (usize, usize) {
    let program = spared(program);
    let of_hook = |hook: &Hook| hook.attaches().position(|attach| attach.program == program);
    let mut hooks = HOOKS.iter().rev().enumerate();
    hooks
        .find_map(|(at, hook)| Some((at, of_hook(hook)?)))
        .unwrap_or((HOOKS.len(), 0))
}

/// The program that a spare stands in for, or the program itself.
pub fn spared(program: &str) -> &str {
    program.strip_suffix("_spare").unwrap_or(program)
}

/// The hooks for which a program runs; none for a program that the table does not have.
pub fn hook_of(program: &str) -> &'static [&'static str] {
    let has = |hook: &&Hook| hook.attaches().any(|attach| attach.program == program);
    HOOKS
        .iter()
        .find(has)
        .map_or(&[], |hook| std::slice::from_ref(&hook.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_correlator_knows_the_same_hooks() {
        let mut here: Vec<&str> = HOOKS.iter().map(|hook| hook.name).collect();
        let mut there = crate::correlate::HOOKS.to_vec();
        here.sort_unstable();
        there.sort_unstable();
        assert_eq!(here, there);
    }

    #[test]
    fn every_slot_that_a_hook_needs_exists() {
        let slots: Vec<_> = iomap_trace_ebpf::FIELDS.iter().map(|f| f.slot).collect();
        for hook in HOOKS {
            for need in hook.ways.iter().flat_map(|way| way.needs) {
                assert!(slots.contains(need), "{} needs {need}", hook.name);
            }
        }
        assert_eq!(HOOKS.last().map(|h| h.name), Some(ESSENTIAL));
    }

    #[test]
    fn what_tells_of_failures_is_detached_first() {
        let mut programs = [
            "page_dirtied",
            "dio_begin_spare",
            "dio_complete",
            "fentry_post_note",
            "fentry_stale_warn",
            "fexit_invalidate",
            "dio_begin",
            "invalidate_fail",
            "fentry_post",
        ];
        programs.sort_by_key(|program| detached_at(program));
        assert_eq!(
            programs,
            [
                "fexit_invalidate",
                "invalidate_fail",
                "fentry_stale_warn",
                "dio_complete",
                "fentry_post",
                "dio_begin_spare",
                "dio_begin",
                "page_dirtied",
                "fentry_post_note",
            ]
        );
    }

    #[test]
    fn the_end_of_a_write_is_seen_before_its_begin() {
        let generic = |attach: &Attach| attach.target == GENERIC;
        // Of which the first ends what the others begin.
        let ends = ["complete", "exit_generic", "kretprobe_generic"];
        let begins = ["dio_begin", "dio_rw", "entry_generic", "kprobe_generic"];
        let dio = HOOKS.iter().find(|hook| hook.name == DIO).unwrap();
        for way in dio.ways {
            let first_other = way.attaches().position(|attach| !generic(attach));
            let last_generic = way
                .attaches()
                .enumerate()
                .filter(|(_, a)| generic(a))
                .last();
            assert!(last_generic.is_none_or(|(at, _)| Some(at) < first_other));
            for choice in way.parts.iter().flat_map(|part| part.choices) {
                let at = |words: &[&str]| {
                    let is = |word: &&str| choice.iter().position(|a| a.program.ends_with(word));
                    words.iter().find_map(is)
                };
                assert_eq!(at(&ends), Some(0), "{choice:?}");
                let posts = at(&["_post", "entry_complete", "kprobe_complete"]);
                let begin = at(&begins);
                assert!(begin.is_none_or(|at| at + 1 == choice.len()), "{choice:?}");
                assert!(begin.is_none() || posts < begin, "{choice:?}");
            }
        }
    }

    #[test]
    fn a_plan_without_a_way_has_a_reason() {
        for (hook, plan) in HOOKS.iter().flat_map(|h| ALL.iter().map(move |p| (h, p))) {
            let has_way = hook.ways.iter().any(|way| way.plans.contains(plan));
            assert!(has_way || !hook.without.is_empty(), "{} {plan}", hook.name);
        }
    }

    #[test]
    fn tracepoints_alone_use_nothing_else() {
        let ways = HOOKS.iter().flat_map(|hook| hook.ways);
        let ways = ways.filter(|way| way.plans.contains(&Plan::Tracepoint));
        for attach in ways.flat_map(Way::attaches) {
            assert_eq!(attach.kind, Kind::RawTp, "{}", attach.program);
        }
    }
}
