//! Names of the bits of this kernel: folio flags, buffer heads, ordered extents.

use std::collections::BTreeMap;

use super::Text;

/// Bit numbers to names, read from the kernel's type information.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlagNames {
    /// `enum pageflags`, without the `PG_` prefix, lower case.
    pub folio: BTreeMap<u32, String>,
    /// `enum bh_state_bits`, without the `BH_` prefix, lower case.
    pub buffer: BTreeMap<u32, String>,
    /// `BTRFS_ORDERED_*`, lower case with dashes.
    pub ordered: BTreeMap<u32, String>,
}

impl FlagNames {
    /// Names of the bits set in `word` that `names` knows, lowest first.
    pub fn of(names: &BTreeMap<u32, String>, word: u64) -> Vec<Text> {
        names
            .iter()
            .filter(|(bit, _)| **bit < 64 && word >> **bit & 1 == 1)
            .map(|(_, name)| name.into())
            .collect()
    }
}
