//! The types that aya wants to see for fentry and fexit, made small.
//!
//! aya asks the types of vmlinux for one thing: the id of a function. Its own reading of them keeps
//! every type in memory, 20 MiB and more, and takes as long as ours: it is given types in which
//! nothing stands but those functions, each with its id.

use aya::{Btf, Endianness};
use std::collections::BTreeMap;

use super::hook::{Hook, Kind};
use crate::kernel::Types;

/// `BTF_MAGIC`, `struct btf_header` and `BTF_KIND_*` (include/uapi/linux/btf.h).
const MAGIC: u16 = 0xeb9f;
const VERSION: u8 = 1;
const HEADER_BYTES: u32 = 24;
const KIND_FWD: u32 = 7 << 24;
const KIND_FUNC: u32 = 12 << 24;

/// Functions of vmlinux, by their ids.
#[derive(Clone, Debug, Default)]
pub struct Functions {
    ids: BTreeMap<u32, &'static str>,
}

impl Functions {
    /// Those of `names` that tracing may attach to.
    pub fn find(types: &Types, names: impl IntoIterator<Item = &'static str>) -> Self {
        let found = |name| Some((types.vmlinux_function(name)?, name));
        Self {
            ids: names.into_iter().filter_map(found).collect(),
        }
    }

    /// The types.
    ///
    /// # Errors
    /// When aya does not understand them, in one line.
    pub fn btf(&self) -> Result<Btf, String> {
        Btf::parse(&self.bytes(), Endianness::default()).map_err(|e| e.to_string())
    }

    /// A type of twelve bytes for each id up to the last: one without a name where there is no
    /// function.
    fn bytes(&self) -> Vec<u8> {
        let mut strings = vec![0];
        let mut types = Vec::new();
        let last = self.ids.keys().next_back().copied().unwrap_or_default();
        types.reserve_exact(last as usize * 12);
        for id in 1..=last {
            let (name, info) = match self.ids.get(&id) {
                Some(name) => {
                    let at = strings.len() as u32;
                    strings.extend(name.bytes().chain([0]));
                    (at, KIND_FUNC)
                }
                None => (0, KIND_FWD),
            };
            for word in [name, info, 0] {
                types.extend(word.to_ne_bytes());
            }
        }
        let (types_len, strings_len) = (types.len() as u32, strings.len() as u32);
        let mut bytes = Vec::with_capacity(HEADER_BYTES as usize + types.len() + strings.len());
        bytes.extend(MAGIC.to_ne_bytes());
        bytes.extend([VERSION, 0]);
        for word in [HEADER_BYTES, 0, types_len, types_len, strings_len] {
            bytes.extend(word.to_ne_bytes());
        }
        bytes.append(&mut types);
        bytes.append(&mut strings);
        bytes
    }
}

/// The functions that programs for fentry and fexit of `hooks` go to.
pub fn targets(hooks: &'static [Hook]) -> impl Iterator<Item = &'static str> {
    let attaches = hooks.iter().flat_map(Hook::attaches);
    attaches
        .filter(|attach| matches!(attach.kind, Kind::Fentry | Kind::Fexit))
        .map(|attach| attach.target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Roots;
    use crate::probe::hooks::HOOKS;

    #[test]
    fn a_function_has_its_id_and_nothing_else_a_name() {
        let functions = Functions {
            ids: BTreeMap::from([(3, "three"), (7, "seven")]),
        };
        let read = btf_rs::Btf::from_bytes(&functions.bytes()).unwrap();
        assert_eq!(read.resolve_ids_by_name("three").unwrap(), [3]);
        assert_eq!(read.resolve_ids_by_name("seven").unwrap(), [7]);
        assert_eq!(read.base().type_id_range().1, 7);
        let three = read.resolve_type_by_id(3).unwrap();
        assert!(matches!(three, btf_rs::Type::Func(_)));
        assert!(functions.btf().is_ok());
    }

    #[test]
    fn none_is_valid_too() {
        assert!(Functions::default().btf().is_ok());
    }

    #[test]
    fn the_running_kernel_has_the_essential_one() {
        let Ok(types) = Types::load(&Roots::default()) else {
            println!("skipped: this kernel has no type information");
            return;
        };
        let functions = Functions::find(&types, targets(HOOKS));
        let real = btf_rs::Btf::from_file("/sys/kernel/btf/vmlinux").unwrap();
        assert!(
            functions
                .ids
                .values()
                .any(|n| *n == "invalidate_inode_pages2_range")
        );
        for (id, name) in &functions.ids {
            let ids = real.resolve_ids_by_name(name).unwrap();
            let is_function =
                |id: &&u32| matches!(real.resolve_type_by_id(**id), Ok(btf_rs::Type::Func(_)));
            assert_eq!(ids.iter().find(is_function), Some(id), "{name}");
        }
        assert!(functions.btf().is_ok());
    }
}
