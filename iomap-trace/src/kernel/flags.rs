//! Names of folio flags, buffer-head bits and ordered-extent flags of this kernel.

use std::collections::BTreeMap;

use super::btf::Types;
use super::btrfs::Build;
use crate::event::FlagNames;

/// Page flags whose first spelling says less than another one of the same bit.
const BETTER: &[(&str, &str)] = &[("owner_priv_1", "checked")];

/// Reads the names from the kernel's enums, those of btrfs from the table where there is none;
/// what is not there stays empty.
pub fn read(types: &Types, build: Option<&Build>) -> FlagNames {
    let mut buffer = bits(&types.enumerators_of("bh_state_bits"), "BH_", lower);
    // The bits from BH_PrivateStart on belong to the filesystem: jbd2 on ext4 and ocfs2.
    for (bit, name) in bits(&types.enumerators_of("jbd_state_bits"), "BH_", lower) {
        buffer.entry(bit).or_insert(name);
    }
    let mut ordered = bits(
        &types.enum_with("BTRFS_ORDERED_NOCOW"),
        "BTRFS_ORDERED_",
        |name| lower(name).replace('_', "-"),
    );
    if let Some(build) = build {
        for (bit, name) in build.ordered_flags {
            ordered.entry(*bit).or_insert_with(|| (*name).to_owned());
        }
    }
    FlagNames {
        folio: folio(&types.enumerators_of("pageflags")),
        buffer,
        ordered,
    }
}

/// Bit numbers to names. Of several names of a bit the first declared is the general one; the
/// later ones are aliases that only some user of the page gives it.
fn folio(members: &[(String, i64)]) -> BTreeMap<u32, String> {
    let mut names = bits(members, "PG_", lower);
    for (first, better) in BETTER {
        let alias = format!("PG_{better}");
        let Some((_, bit)) = members.iter().find(|(name, _)| *name == alias) else {
            continue;
        };
        let named = u32::try_from(*bit).ok().and_then(|bit| names.get_mut(&bit));
        if let Some(name) = named.filter(|name| name == first) {
            (*better).clone_into(name);
        }
    }
    names
}

fn bits(
    members: &[(String, i64)],
    prefix: &str,
    spell: impl Fn(&str) -> String,
) -> BTreeMap<u32, String> {
    let mut names = BTreeMap::new();
    for (name, bit) in members {
        let (Some(name), Ok(bit)) = (name.strip_prefix(prefix), u32::try_from(*bit)) else {
            continue;
        };
        if !name.ends_with("PrivateStart") {
            names.entry(bit).or_insert_with(|| spell(name));
        }
    }
    names
}

fn lower(name: &str) -> String {
    name.to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Roots;

    #[test]
    fn aliases_give_way() {
        let members: Vec<(String, i64)> = [
            ("PG_locked", 0),
            ("PG_owner_priv_1", 10),
            ("PG_reclaim", 16),
            ("__NR_PAGEFLAGS", 24),
            ("PG_readahead", 16),
            ("PG_swapcache", 10),
            ("PG_checked", 10),
            ("PG_bad", -1),
        ]
        .map(|(name, bit)| (name.to_owned(), bit))
        .to_vec();
        let names = folio(&members);
        let names: Vec<_> = names.iter().map(|(b, n)| (*b, n.as_str())).collect();
        assert_eq!(names, [(0, "locked"), (10, "checked"), (16, "reclaim")]);
    }

    #[test]
    fn the_running_kernel_names_its_flags() {
        let Ok(types) = Types::load(&Roots::default()) else {
            println!("skipped: this kernel has no type information");
            return;
        };
        let names = read(&types, None);
        assert!(names.folio.values().any(|n| n == "dirty"));
        assert_eq!(names.buffer[&1], "dirty");
        if types.has_struct("btrfs_ordered_extent") {
            assert!(names.ordered.values().any(|n| n == "io-done"));
        }
    }
}
