//! The struct members that the programs read, by name; their offsets come from the running kernel.

/// Offset of a member that this kernel's type information does not have.
pub const MISSING: u32 = u32::MAX;

/// One member to look up: `ty.path`, with alternatives for renamed types and members.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Name of the slot in [`Layout`].
    pub slot: &'static str,
    /// `struct.member[.member]` candidates, the first that exists is taken.
    pub paths: &'static [&'static str],
}

macro_rules! layout {
    ($($slot:ident: $($path:literal)|+,)+) => {
        /// Byte offsets, or [`MISSING`]. Resolved when the tool starts, read-only in the programs.
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Layout { $(
            #[doc = concat!("Offset of `", $($path, "` `",)+ "`.")]
            pub $slot: u32,
        )+ }

        /// The members of [`Layout`], in the order of its slots.
        pub const FIELDS: &[Field] = &[$(Field { slot: stringify!($slot), paths: &[$($path),+] },)+];

        impl Layout {
            /// A layout of which nothing is known.
            pub const UNKNOWN: Self = Self { $($slot: MISSING,)+ };

            /// Offsets in the order of [`FIELDS`].
            pub const fn from_offsets(offsets: [u32; FIELDS.len()]) -> Self {
                let mut at = 0;
                $(let $slot = offsets[at]; at += 1;)+
                let _ = at;
                Self { $($slot,)+ }
            }

            /// The inverse of [`Layout::from_offsets`].
            pub const fn to_offsets(self) -> [u32; FIELDS.len()] {
                [$(self.$slot,)+]
            }
        }
    };
}

/// Number of slots in [`Layout`].
pub const LAYOUT_LEN: usize = FIELDS.len();

layout! {
    kiocb_ki_filp: "kiocb.ki_filp",
    kiocb_ki_pos: "kiocb.ki_pos",
    kiocb_ki_complete: "kiocb.ki_complete",
    kiocb_ki_flags: "kiocb.ki_flags",
    file_f_mapping: "file.f_mapping",
    // Before 5.14 the direction is bit 0 of the type.
    iov_iter_data_source: "iov_iter.data_source" | "iov_iter.type",
    iov_iter_count: "iov_iter.count",
    dio_iocb: "iomap_dio.iocb",
    dio_size: "iomap_dio.size",
    dio_error: "iomap_dio.error",
    mapping_host: "address_space.host",
    mapping_xa_head: "address_space.i_pages.xa_head",
    mapping_wb_err: "address_space.wb_err",
    mapping_flags: "address_space.flags",
    mapping_nrpages: "address_space.nrpages",
    inode_i_mapping: "inode.i_mapping",
    inode_i_data: "inode.i_data",
    inode_i_ino: "inode.i_ino",
    inode_i_sb: "inode.i_sb",
    inode_i_size: "inode.i_size",
    inode_i_generation: "inode.i_generation",
    sb_s_dev: "super_block.s_dev",
    sb_s_magic: "super_block.s_magic",
    sb_s_type: "super_block.s_type",
    fs_type_name: "file_system_type.name",
    folio_flags: "folio.flags" | "page.flags",
    folio_mapping: "folio.mapping" | "page.mapping",
    folio_index: "folio.index" | "page.index",
    folio_private: "folio.private" | "page.private",
    folio_nr_pages: "folio._nr_pages" | "folio._folio_nr_pages",
    xa_node_shift: "xa_node.shift",
    xa_node_slots: "xa_node.slots",
    bh_b_state: "buffer_head.b_state",
    bh_b_this_page: "buffer_head.b_this_page",
    bh_b_count: "buffer_head.b_count",
    task_flags: "task_struct.flags",
    task_comm: "task_struct.comm",
    task_stack: "task_struct.stack",
    task_tgid: "task_struct.tgid",
    task_real_parent: "task_struct.real_parent",
    regs_orig_ax: "pt_regs.orig_ax",
    btrfs_inode_root: "btrfs_inode.root",
    btrfs_inode_vfs: "btrfs_inode.vfs_inode",
    btrfs_inode_io_tree: "btrfs_inode.io_tree",
    btrfs_root_objectid: "btrfs_root.root_key.objectid",
    btrfs_root_anon_dev: "btrfs_root.anon_dev",
    io_tree_owner: "extent_io_tree.owner",
    io_tree_inode: "extent_io_tree.inode" | "extent_io_tree.private_data",
    ordered_file_offset: "btrfs_ordered_extent.file_offset",
    ordered_num_bytes: "btrfs_ordered_extent.num_bytes",
    ordered_flags: "btrfs_ordered_extent.flags",
    ordered_inode: "btrfs_ordered_extent.inode",
    ordered_work: "btrfs_ordered_extent.work",
    btrfs_work_func: "btrfs_work.func",
}

const _: () = assert!(size_of::<Layout>() == 4 * LAYOUT_LEN);
