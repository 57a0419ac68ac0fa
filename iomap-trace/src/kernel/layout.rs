//! Offsets for the BPF programs: looked up by name in the running kernel, never guessed.

use iomap_trace_ebpf::{FIELDS, LAYOUT_LEN, Layout, MISSING};
use std::collections::BTreeMap;

use super::btf::Types;
use super::btrfs::{self, Source};

/// Slots of an xarray node that the programs' page-cache walk expects (`XA_CHUNK_SIZE`).
const XA_SLOTS: usize = 64;

/// The layout of this kernel, and what it lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Offsets in bytes, [`MISSING`] where there is none.
    pub layout: Layout,
    /// Slots without an offset, each with the reason.
    pub missing: Vec<(&'static str, String)>,
    /// Slots whose offset is from the table of known builds, not from type information.
    pub from_table: Vec<&'static str>,
}

impl Resolved {
    /// A layout of which nothing is known, for the reason given.
    pub fn unknown(why: &str) -> Self {
        Self {
            layout: Layout::UNKNOWN,
            missing: FIELDS.iter().map(|f| (f.slot, why.to_owned())).collect(),
            from_table: Vec::new(),
        }
    }

    /// The offsets by the name of their slot, without those that are missing.
    pub fn named(&self) -> BTreeMap<String, u32> {
        let offsets = self.layout.to_offsets();
        let slots = FIELDS.iter().map(|f| f.slot.to_owned()).zip(offsets);
        slots.filter(|(_, offset)| *offset != MISSING).collect()
    }

    /// Why a slot has no offset; `None` when it has one.
    pub fn why_missing(&self, slot: &str) -> Option<&str> {
        let found = self.missing.iter().find(|(name, _)| *name == slot);
        found.map(|(_, why)| why.as_str())
    }

    /// Takes what is missing from a build's table.
    fn fill(&mut self, build: &btrfs::Build) {
        let mut offsets = self.layout.to_offsets();
        for (field, offset) in FIELDS.iter().zip(&mut offsets) {
            let known = build.offsets.iter().find(|(slot, _)| *slot == field.slot);
            if let (MISSING, Some((slot, known))) = (*offset, known) {
                *offset = *known;
                self.from_table.push(slot);
            }
        }
        self.layout = Layout::from_offsets(offsets);
        self.missing
            .retain(|(slot, _)| !self.from_table.contains(slot));
    }

    /// One reason for all that is missing of btrfs.
    fn explain(&mut self, why: &str) {
        for (slot, reason) in &mut self.missing {
            let field = FIELDS.iter().find(|field| field.slot == *slot);
            if field.is_some_and(|field| field.paths.iter().any(|path| btrfs::is_ours(path))) {
                why.clone_into(reason);
            }
        }
    }
}

/// Looks every member of the layout up in the types, and those of btrfs where `source` says.
pub fn resolve(types: &Types, source: &Source) -> Resolved {
    let mut resolved = from_types(types);
    match source {
        Source::Types => {}
        Source::Table(build) => resolved.fill(build),
        Source::Unknown(why) => resolved.explain(why),
    }
    resolved
}

fn from_types(types: &Types) -> Resolved {
    let mut offsets = [MISSING; LAYOUT_LEN];
    let mut missing = Vec::new();
    for (offset, field) in offsets.iter_mut().zip(FIELDS) {
        // The reason given is that of the newest spelling, which comes first.
        let mut why = None;
        for path in field.paths {
            match types.offset(path) {
                Ok(found) => {
                    *offset = found;
                    break;
                }
                Err(e) => why = why.or(Some(e.0)),
            }
        }
        if field.slot == "xa_node_slots" && *offset != MISSING {
            let len = types.array_len("xa_node.slots");
            if len != Ok(XA_SLOTS) {
                *offset = MISSING;
                why = Some(match len {
                    Ok(len) => format!("`xa_node.slots` has {len} slots, not {XA_SLOTS}"),
                    Err(e) => e.0,
                });
            }
        }
        if *offset == MISSING {
            missing.push((field.slot, why.unwrap_or_default()));
        }
    }
    Resolved {
        layout: Layout::from_offsets(offsets),
        missing,
        from_table: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Roots;

    #[test]
    fn an_unknown_layout_says_why() {
        let unknown = Resolved::unknown("no types");
        assert!(unknown.named().is_empty());
        assert_eq!(unknown.why_missing("inode_i_ino"), Some("no types"));
    }

    #[test]
    fn the_table_fills_what_is_missing_and_nothing_else() {
        let build = btrfs::first_build();
        let mut resolved = Resolved::unknown("no types");
        resolved.layout.btrfs_inode_root = 8;
        resolved
            .missing
            .retain(|(slot, _)| *slot != "btrfs_inode_root");
        resolved.fill(build);
        assert_eq!(resolved.layout.btrfs_inode_root, 8);
        assert_eq!(resolved.layout.btrfs_root_anon_dev, 0x3e0);
        assert_eq!(resolved.why_missing("btrfs_root_anon_dev"), None);
        assert_eq!(resolved.why_missing("inode_i_ino"), Some("no types"));
        assert_eq!(resolved.from_table.len(), build.offsets.len() - 1);
        assert_eq!(resolved.named().len(), build.offsets.len());
    }

    #[test]
    fn one_reason_for_all_of_btrfs() {
        let mut resolved = Resolved::unknown("no types");
        resolved.explain("no module");
        assert_eq!(resolved.why_missing("io_tree_inode"), Some("no module"));
        assert_eq!(resolved.why_missing("inode_i_ino"), Some("no types"));
    }

    #[test]
    fn the_running_kernel_has_the_basics() {
        let Ok(types) = Types::load(&Roots::default()) else {
            println!("skipped: this kernel has no type information");
            return;
        };
        let resolved = from_types(&types);
        let named = resolved.named();
        assert_eq!(named.len() + resolved.missing.len(), LAYOUT_LEN);
        assert_eq!(named["kiocb_ki_filp"], 0);
        for slot in [
            "inode_i_ino",
            "mapping_xa_head",
            "folio_flags",
            "xa_node_slots",
        ] {
            assert!(named.contains_key(slot), "{:?}", resolved.why_missing(slot));
        }
    }
}
