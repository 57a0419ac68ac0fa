//! What follows from this kernel for verdicts.

use super::btf::Types;
use super::btrfs::Build;
use crate::event::Facts;

/// The facts, from types, the table and `has_tracepoint`; what none can tell is `None`.
pub fn read(
    types: Option<&Types>,
    build: Option<&Build>,
    has_tracepoint: impl Fn(&str) -> Option<bool>,
) -> Facts {
    let btrfs = types.filter(|t| t.has_struct("btrfs_ordered_extent"));
    Facts {
        // The bit that lets a folio go while its ordered extent finishes came with the change.
        ordered_blocks_release: btrfs
            .map(|t| t.enumerator("EXTENT_FINISHING_ORDERED").is_none())
            .or(build.map(|b| b.ordered_blocks_release)),
        // iomap got these tracepoints and took to kiocb_invalidate_pages(), which also returns
        // write-back errors, in the same release.
        writeback_error_fires: has_tracepoint("iomap_dio_rw_begin"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_stays_unknown() {
        assert_eq!(read(None, None, |_| None), Facts::default());
        let facts = read(None, None, |name| Some(name == "iomap_dio_rw_begin"));
        assert_eq!(facts.writeback_error_fires, Some(true));
        assert_eq!(facts.ordered_blocks_release, None);
        let facts = read(None, Some(crate::kernel::btrfs::first_build()), |_| None);
        assert_eq!(facts.ordered_blocks_release, Some(true));
    }
}
