//! Constants of this kernel that the BPF programs need, each absent when it is not certain.

use super::btf::Types;
use super::btrfs::Build;
use super::kallsyms::Symbols;

/// Values for the programs' settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Constants {
    /// Bit of `EXTENT_LOCKED` in an extent state.
    pub extent_locked: Option<u64>,
    /// `IO_TREE_INODE_IO`.
    pub io_tree_inode_io: Option<u32>,
    /// Bit number of `PG_head`.
    pub pg_head: Option<u32>,
    /// `btrfs_ordered_extent.inode` is a `struct inode *` (before 6.7), not a `btrfs_inode *`.
    pub ordered_inode_is_vfs: Option<bool>,
    /// `extent_io_tree`'s inode is a `struct inode *` (before 6.2), not a `btrfs_inode *`.
    pub io_tree_inode_is_vfs: Option<bool>,
    /// A read may give its extent lock up in another task (before 6.12).
    pub foreign_unlocks: Option<bool>,
}

/// `EXTENT_LOCKED` where it is a macro and no enumerator: `(1U << 2)` in fs/btrfs/extent-io-tree.h,
/// 5.4 to 6.1, when `extent_io_tree` had a `private_data`.
const EXTENT_LOCKED_MACRO: u64 = 1 << 2;

/// Looks the constants up in the types, and those of btrfs in the table where there is a build.
pub fn read(types: &Types, build: Option<&Build>) -> Constants {
    let number = |name: &str| types.enumerator(name);
    // Two pointers that became one to the struct around it, each in a release of its own.
    let is_vfs = |member: &str| match types.member_points_to(member).as_deref() {
        Some("inode") => Some(true),
        Some("btrfs_inode") => Some(false),
        _ => None,
    };
    // It points to nothing with a name, but to a `struct inode` all the same: 5.4 to 6.1.
    let private_data = types.offset_of("extent_io_tree.private_data").is_some();
    let extent_locked = number("EXTENT_LOCKED").and_then(|v| u64::try_from(v).ok());
    Constants {
        extent_locked: extent_locked
            .or(private_data.then_some(EXTENT_LOCKED_MACRO))
            .or(build.map(|b| b.extent_locked)),
        io_tree_inode_io: number("IO_TREE_INODE_IO")
            .and_then(|v| u32::try_from(v).ok())
            .or(build.map(|b| b.io_tree_inode_io)),
        pg_head: number("PG_head").and_then(|v| u32::try_from(v).ok()),
        ordered_inode_is_vfs: is_vfs("btrfs_ordered_extent.inode")
            .or(build.map(|b| b.ordered_inode_is_vfs)),
        io_tree_inode_is_vfs: is_vfs("extent_io_tree.inode")
            .or(private_data.then_some(true))
            .or(build.map(|b| b.io_tree_inode_is_vfs)),
        // Reads keep the range locked until they complete; then came a lock of its own for them.
        foreign_unlocks: types
            .has_struct("extent_io_tree")
            .then(|| number("EXTENT_DIO_LOCKED").is_none())
            .or(build.map(|b| b.foreign_unlocks)),
    }
}

/// Offset of a task's saved user registers from `task_struct.stack`, in bytes: the top of the
/// kernel stack, less the padding that FRED reserves, less `struct pt_regs`.
///
/// The stack's size is in no type: four pages on x86-64, eight with KASAN, as
/// arch/x86/include/asm/page_64_types.h has it. `None` on other architectures, or when symbols
/// cannot tell.
pub fn pt_regs_at(arch: &str, types: &Types, symbols: &Symbols) -> Option<u64> {
    if arch != "x86_64" || symbols.is_empty() {
        return None;
    }
    let stack = if symbols.has("kasan_report") {
        32768
    } else {
        16384
    };
    let padding = if symbols.has("asm_fred_entrypoint_user") {
        16
    } else {
        0
    };
    let registers = u64::try_from(types.size_of("pt_regs")?).ok()?;
    Some(stack - padding - registers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Roots;

    #[test]
    fn the_running_kernel() {
        let Ok(types) = Types::load(&Roots::default()) else {
            println!("skipped: this kernel has no type information");
            return;
        };
        let constants = read(&types, None);
        assert!(constants.pg_head.is_some());
        let btrfs = types.has_struct("extent_io_tree");
        assert_eq!(constants.io_tree_inode_is_vfs.is_some(), btrfs);
        assert_eq!(constants.foreign_unlocks.is_some(), btrfs);
        assert_eq!(constants.extent_locked.is_some(), btrfs);
        let plain = Symbols::parse(b"ffffffff81000000 T _text\n");
        let fred = Symbols::parse(b"ffffffff81000000 T asm_fred_entrypoint_user\n");
        let at = |symbols| pt_regs_at("x86_64", &types, symbols);
        if let Some(at_plain) = at(&plain) {
            assert_eq!(at(&fred), Some(at_plain - 16));
        }
        assert_eq!(at(&Symbols::parse(b"")), None);
        assert_eq!(pt_regs_at("riscv64", &types, &plain), None);
    }
}
