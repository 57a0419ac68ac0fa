//! Which inode: number, device, filesystem, and on btrfs the subvolume.

use aya_ebpf::helpers::bpf_probe_read_kernel_str_bytes;
use iomap_trace_ebpf::{FAULT_IDENTITY, FAULT_ROOT, Identity};

use crate::maps::INODES;
use crate::read::{Fault, glance, member};

/// `BTRFS_SUPER_MAGIC` (include/uapi/linux/magic.h).
pub const BTRFS: u64 = 0x9123_683e;
/// `EXT4_SUPER_MAGIC`, which ext2 and ext3 share.
pub const EXT4: u64 = 0xef53;

/// Fills `identity` from a `struct inode`; returns `FAULT_*` bits.
#[inline(always)]
pub fn identify(inode: u64, identity: &mut Identity) -> u32 {
    identity.ino = 0;
    identity.root = 0;
    identity.dev = 0;
    identity.stat_dev = 0;
    identity.magic = 0;
    identity.fs = [0; 16];
    let mut faults = 0;
    if super_block(inode, identity).is_err() {
        faults |= FAULT_IDENTITY;
    }
    identity.stat_dev = identity.dev;
    if identity.magic == BTRFS && subvolume(inode, identity).is_err() {
        faults |= FAULT_ROOT;
    }
    faults
}

#[inline(always)]
fn super_block(inode: u64, identity: &mut Identity) -> Result<(), Fault> {
    identity.ino = member!(inode, inode_i_ino as u64)?;
    let sb = member!(inode, inode_i_sb as u64)?;
    identity.dev = member!(sb, sb_s_dev as u32)?;
    identity.magic = member!(sb, sb_s_magic as u64)?;
    let fs_type = member!(sb, sb_s_type as u64)?;
    let name = member!(fs_type, fs_type_name as u64)?;
    // SAFETY: the helper checks the address and ends the string within the buffer.
    unsafe { bpf_probe_read_kernel_str_bytes(name as *const u8, &mut identity.fs) }
        .map_err(|_| Fault)?;
    Ok(())
}

#[inline(always)]
fn subvolume(inode: u64, identity: &mut Identity) -> Result<(), Fault> {
    let root = member!(btrfs_of(inode)?, btrfs_inode_root as u64)?;
    identity.root = member!(root, btrfs_root_objectid as u64)?;
    identity.stat_dev = member!(root, btrfs_root_anon_dev as u32)?;
    Ok(())
}

/// The `struct btrfs_inode` around a `struct inode`.
#[inline(always)]
fn btrfs_of(inode: u64) -> Result<u64, Fault> {
    let vfs = crate::read::offset!(btrfs_inode_vfs);
    if vfs == iomap_trace_ebpf::MISSING {
        Err(Fault)
    } else {
        Ok(inode - vfs as u64)
    }
}

/// The page cache of the `struct inode` inside a `struct btrfs_inode`.
#[inline(always)]
pub fn mapping_of_btrfs(btrfs_inode: u64) -> Result<u64, Fault> {
    let vfs = crate::read::offset!(btrfs_inode_vfs);
    if vfs == iomap_trace_ebpf::MISSING {
        return Err(Fault);
    }
    mapping_of(btrfs_inode + vfs as u64)
}

/// The `struct inode` around a page cache.
#[inline(always)]
pub fn host_of(mapping: u64) -> Result<u64, Fault> {
    let data = crate::read::offset!(inode_i_data);
    if data == iomap_trace_ebpf::MISSING {
        member!(mapping, mapping_host as u64)
    } else {
        Ok(mapping.wrapping_sub(data as u64))
    }
}

/// Whether what happens to ranges of this page cache matters.
#[inline(always)]
pub fn is_followed(mapping: u64) -> bool {
    // SAFETY: a map value stays allocated.
    INODES
        .get_ptr(mapping)
        .is_some_and(|inode| unsafe { &*inode }.is_followed())
}

/// Whether a page cache is known to be empty.
#[inline(always)]
pub fn is_bare(mapping: u64) -> bool {
    glance!(mapping, mapping_nrpages as u64).is_ok_and(|pages| pages == 0)
}

/// The page cache inside a `struct inode`.
#[inline(always)]
pub fn mapping_of(inode: u64) -> Result<u64, Fault> {
    let data = crate::read::offset!(inode_i_data);
    if data == iomap_trace_ebpf::MISSING {
        Err(Fault)
    } else {
        Ok(inode + data as u64)
    }
}
