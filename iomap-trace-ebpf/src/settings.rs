//! What user space tells the programs before they are loaded: constants of this kernel, and filters.

/// Read-only in the programs, so a filter that is off costs nothing: the verifier prunes it.
///
/// A filter of zero (an empty `comm`) is off.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Bit of `EXTENT_LOCKED` in an extent state (fs/btrfs/extent-io-tree.h).
    pub extent_locked: u64,
    /// Address of `finish_ordered_fn`, 0 when unknown.
    pub finish_ordered_fn: u64,
    /// Address that ends the kernel stack of a task, relative to `task_struct.stack`, less
    /// `sizeof(struct pt_regs)`; 0 when unknown.
    pub pt_regs_at: u64,
    /// Keep only failures of inodes whose super block has this device (`s_dev`).
    pub dev: u64,
    /// Keep only failures of this inode number.
    pub ino: u64,
    /// Keep only failures of this cgroup v2 id.
    pub cgroup: u64,
    /// Keep only failures of writers with this command name, zero-padded.
    pub comm: [u8; 16],
    /// Keep only failures of this process.
    pub tgid: u32,
    /// Keep only inodes that a descendant of this process writes or dirties.
    pub descendants_of: u32,
    /// `IO_TREE_INODE_IO` (fs/btrfs/extent-io-tree.h).
    pub io_tree_inode_io: u32,
    /// Bit number of `PG_head`.
    pub pg_head: u32,
    /// 1 when `btrfs_ordered_extent.inode` is a `struct inode *` (before 6.7), else 0.
    pub ordered_inode_is_vfs: u32,
    /// 1 when `extent_io_tree`'s inode is a `struct inode *` (before 6.2), else 0.
    pub io_tree_inode_is_vfs: u32,
    /// 1 when an extent lock may be given up by another task than the one that took it (direct
    /// and buffered reads before 6.12), else 0.
    pub foreign_unlocks: u32,
    /// `PLAN_*`: which programs are attached beside the tracepoints.
    pub plan: u32,
    /// 1 to collect kernel stacks of failures.
    pub stacks: u32,
    /// Id of `struct pt_regs` in the types of vmlinux, whose first members are words without a
    /// meaning of their own; 0 where [`CAST_CALL`] is no call.
    pub cast_type: u32,
    /// 1 when only what tells of a failure is attached at first, and who is in the way not followed
    /// before there was one.
    pub standby: u32,
    /// Zero.
    pub pad: u32,
}

/// In the object this number of a helper, which no kernel has, stands for `bpf_rdonly_cast`
/// (kernel/bpf/helpers.c, since 6.2): user space makes each a call of it, or takes it out.
pub const CAST_CALL: u32 = 0x0fca_57ed;

/// [`Settings::plan`]: nothing but tracepoints, so that results of invalidations are inferred.
pub const PLAN_TRACEPOINT: u32 = 0;
/// [`Settings::plan`]: fentry and fexit see the functions themselves.
pub const PLAN_FEXIT: u32 = 1;
/// [`Settings::plan`]: kprobes and kretprobes do, and a return can be missed.
pub const PLAN_KPROBE: u32 = 2;

impl Settings {
    /// Nothing known, nothing filtered.
    pub const NONE: Self = Self {
        extent_locked: 0,
        finish_ordered_fn: 0,
        pt_regs_at: 0,
        dev: 0,
        ino: 0,
        cgroup: 0,
        comm: [0; 16],
        tgid: 0,
        descendants_of: 0,
        io_tree_inode_io: 0,
        pg_head: 0,
        ordered_inode_is_vfs: 0,
        io_tree_inode_is_vfs: 0,
        foreign_unlocks: 0,
        plan: PLAN_TRACEPOINT,
        stacks: 0,
        cast_type: 0,
        standby: 0,
        pad: 0,
    };
}

const _: () = assert!(size_of::<Settings>() == 112);
const _: () = assert!(core::mem::offset_of!(Settings, standby) == 104);
