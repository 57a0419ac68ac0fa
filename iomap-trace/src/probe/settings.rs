//! What the programs are told before they are loaded.

use iomap_trace_ebpf::{FIELDS, LAYOUT_LEN, MISSING, Settings};

use super::cast::Cast;
use super::choice::Plan;
use super::hook::Want;
use super::tracer::Options;
use crate::kernel::Kernel;

/// Pages that the walk of the page cache understands.
const WALK_PAGE_SIZE: u64 = 4096;

/// [`Settings`] that aya may copy into the object.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct PodSettings(pub Settings);

// SAFETY: `Settings` is `repr(C)`, of integers only, and has no padding (its size is asserted).
unsafe impl aya::Pod for PodSettings {}

/// The settings, and what is not known of this kernel.
pub struct Resolved {
    pub settings: PodSettings,
    pub layout: [u32; LAYOUT_LEN],
    /// How the programs read without a helper, where they can.
    pub cast: Option<Cast>,
    unknown: Vec<(Want, String)>,
}

impl Resolved {
    /// The programs read by helpers after all.
    pub fn without_cast(&mut self) {
        self.cast = None;
        self.settings.0.cast_type = 0;
    }

    /// Why a constant is not known; `None` when it is.
    pub fn why_unknown(&self, want: Want) -> Option<&str> {
        self.unknown
            .iter()
            .find(|(w, _)| *w == want)
            .map(|(_, why)| why.as_str())
    }
}

/// Settings of this kernel with these filters.
pub fn resolve(kernel: &Kernel, options: &Options, plan: Plan) -> Resolved {
    let filters = &options.filters;
    let constants = &kernel.constants;
    let mut unknown = Vec::new();
    let finish_ordered_fn = kernel
        .symbols()
        .map_err(str::to_owned)
        .and_then(|symbols| symbols.function("finish_ordered_fn").map(|s| s.address));
    if let Err(why) = &finish_ordered_fn {
        unknown.push((Want::FinishOrdered, why.clone()));
    }
    if constants.ordered_inode_is_vfs.is_none() {
        let why = "the type of `btrfs_ordered_extent.inode` is not known";
        unknown.push((Want::OrderedInode, why.to_owned()));
    }
    if constants.extent_locked.is_none() || constants.io_tree_inode_io.is_none() {
        let why = "`EXTENT_LOCKED` or `IO_TREE_INODE_IO` is not in the type information";
        unknown.push((Want::ExtentBits, why.to_owned()));
    } else if constants.io_tree_inode_is_vfs.is_none() {
        let why = "what the inode of `extent_io_tree` points to is not known";
        unknown.push((Want::ExtentBits, why.to_owned()));
    }
    let mut comm = [0; 16];
    if let Some(wanted) = &filters.comm {
        // The kernel keeps 15 bytes of a name.
        let bytes = wanted.as_bytes();
        let len = bytes.len().min(15);
        comm[..len].copy_from_slice(&bytes[..len]);
    }
    let mut layout = kernel.layout.layout.to_offsets();
    if kernel.page_size != WALK_PAGE_SIZE {
        for (field, offset) in FIELDS.iter().zip(&mut layout) {
            if field.slot == "mapping_xa_head" {
                *offset = MISSING;
            }
        }
    }
    let cast = kernel.types.as_ref().ok().and_then(Cast::find);
    let settings = Settings {
        extent_locked: constants.extent_locked.unwrap_or(0),
        finish_ordered_fn: finish_ordered_fn.unwrap_or(0),
        pt_regs_at: kernel.pt_regs_at().unwrap_or(0),
        dev: filters.dev.map_or(0, |dev| u64::from(dev.to_kernel())),
        ino: filters.ino.unwrap_or(0),
        cgroup: filters.cgroup.unwrap_or(0),
        comm,
        tgid: filters.pid.unwrap_or(0),
        descendants_of: filters.descendants_of.unwrap_or(0),
        io_tree_inode_io: constants.io_tree_inode_io.unwrap_or(0),
        // A bit that no folio has: then each counts as one page.
        pg_head: constants.pg_head.unwrap_or(63),
        ordered_inode_is_vfs: u32::from(constants.ordered_inode_is_vfs == Some(true)),
        io_tree_inode_is_vfs: u32::from(constants.io_tree_inode_is_vfs == Some(true)),
        foreign_unlocks: u32::from(constants.foreign_unlocks == Some(true)),
        plan: plan.setting(),
        stacks: u32::from(options.stacks),
        cast_type: cast.map_or(0, |cast| cast.ty),
        standby: u32::from(options.standby),
        pad: 0,
    };
    Resolved {
        settings: PodSettings(settings),
        layout,
        cast,
        unknown,
    }
}
