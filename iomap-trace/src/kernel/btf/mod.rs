//! Type information of the running kernel: vmlinux, and the modules of the filesystems.

mod member;
mod section;
mod source;
#[cfg(test)]
mod tests;

use btf_rs::{Btf, Type};
use std::collections::BTreeSet;
use std::fmt;

use super::Roots;
use member::{Astray, Place};
use section::Section;

/// Modules whose structures or tracepoints matter, when they are modules.
pub const MODULES: &[&str] = &["btrfs", "xfs", "ext4", "jbd2"];

/// There is no usable type information, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoBtf(pub String);

impl fmt::Display for NoBtf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoBtf {}

/// Why a name could not be looked up, one phrase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing(pub String);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Missing {}

/// Types of the kernel. Where a type is there several times, an answer counts only when all of
/// them that have one agree.
pub struct Types {
    sections: Vec<Section>,
    unread: Vec<(String, String)>,
}

impl Types {
    /// Reads `vmlinux` and, where they exist, [`MODULES`].
    pub fn load(roots: &Roots) -> Result<Self, NoBtf> {
        let path = roots.btf.join("vmlinux");
        let refuse = |why: &dyn fmt::Display| NoBtf(format!("{}: {why}", path.display()));
        let base = source::parse(&path).map_err(|e| match e {
            btf_rs::Error::IO(e) if e.kind() == std::io::ErrorKind::NotFound => {
                refuse(&"does not exist")
            }
            btf_rs::Error::IO(e) => refuse(&e),
            e => refuse(&e),
        })?;
        let mut unread = Vec::new();
        let mut modules = Vec::new();
        for &name in MODULES {
            let Ok(bytes) = std::fs::read(roots.btf.join(name)) else {
                continue;
            };
            let module = Btf::from_split_bytes(&bytes, &base);
            match module.and_then(|btf| Section::new(name, btf)) {
                Ok(section) => modules.push(section),
                Err(e) => unread.push((name.to_owned(), e.to_string())),
            }
        }
        let base = Section::new("vmlinux", base).map_err(|e| refuse(&e))?;
        let mut sections = vec![base];
        sections.append(&mut modules);
        Ok(Self { sections, unread })
    }

    /// Objects that were read, with the number of types in each.
    pub fn objects(&self) -> impl Iterator<Item = (&str, usize)> {
        self.sections.iter().map(|s| (s.name.as_str(), s.types))
    }

    /// Modules whose type information could not be read, and why.
    pub fn unread(&self) -> &[(String, String)] {
        &self.unread
    }

    /// Offset in bytes of `struct.member[.member]`.
    pub fn offset(&self, path: &str) -> Result<u32, Missing> {
        self.agreed(path, |_, place| Ok(place.offset))
    }

    /// [`Types::offset`] without the reason.
    pub fn offset_of(&self, path: &str) -> Option<u32> {
        self.offset(path).ok()
    }

    /// Number of elements of the array `struct.member`.
    pub fn array_len(&self, path: &str) -> Result<usize, Missing> {
        self.agreed(path, |_, place| match &place.ty {
            Type::Array(array) => Ok(array.len()),
            _ => Err("is not an array".to_owned()),
        })
    }

    /// Name of the struct that the pointer `struct.member` points to.
    pub fn member_points_to(&self, path: &str) -> Option<String> {
        let target = |section: &Section, place: &Place| {
            let Type::Ptr(pointer) = &place.ty else {
                return Err("is not a pointer".to_owned());
            };
            let target = section.target(pointer);
            let name = target.map(|ty| section.name_of(&ty)).unwrap_or_default();
            match name.is_empty() {
                true => Err("points to nothing with a name".to_owned()),
                false => Ok(name),
            }
        };
        self.agreed(path, target).ok()
    }

    /// Size in bytes of a struct, union or a typedef of one.
    pub fn size_of(&self, name: &str) -> Option<usize> {
        let sizes = self.aggregates(name).map(|(_, ty)| ty.size());
        only(sizes)
    }

    /// Whether a struct or union of that name is defined.
    pub fn has_struct(&self, name: &str) -> bool {
        self.aggregates(name).next().is_some()
    }

    /// Whether a function of that name is described (only those that tracing may attach to are).
    pub fn has_function(&self, name: &str) -> bool {
        let is_function = |ty: Type| matches!(ty, Type::Func(_));
        self.sections.iter().any(|s| s.named(name).any(is_function))
    }

    /// Id of a function of vmlinux that tracing may attach to: the first of that name, as the kernel
    /// and its tools take it.
    pub fn vmlinux_function(&self, name: &str) -> Option<u32> {
        let vmlinux = self.sections.first()?;
        vmlinux.function(name)
    }

    /// Id of a struct of vmlinux: the first of that name.
    pub fn vmlinux_struct(&self, name: &str) -> Option<u32> {
        self.sections.first()?.structure(name)
    }

    /// Members of the enum `name` in the order of their declaration; empty when there is none.
    pub fn enumerators_of(&self, name: &str) -> Vec<(String, i64)> {
        let lists = self.sections.iter().flat_map(|s| {
            let enums = s.named(name).map(|ty| s.members(&ty));
            enums.filter(|members| !members.is_empty())
        });
        only(lists).unwrap_or_default()
    }

    /// Members of the enum, named or not, that has this enumerator, in order.
    pub fn enum_with(&self, enumerator: &str) -> Vec<(String, i64)> {
        let lists = self.sections.iter().flat_map(|s| s.enums_with(enumerator));
        only(lists).unwrap_or_default()
    }

    /// Value of an enumerator of any enum; `None` when there is none or they disagree.
    pub fn enumerator(&self, name: &str) -> Option<i64> {
        let members = self.sections.iter().flat_map(|s| s.enums_with(name));
        only(members.flatten().filter(|(n, _)| n == name)).map(|(_, value)| value)
    }

    /// The object (`vmlinux`, `btrfs`) that defines a tracepoint.
    pub fn tracepoint_home(&self, name: &str) -> Option<&str> {
        let typedef = format!("btf_trace_{name}");
        let defines = |s: &&Section| s.named(&typedef).any(|ty| matches!(ty, Type::Typedef(_)));
        self.sections.iter().find(defines).map(|s| s.name.as_str())
    }

    fn aggregates(&self, name: &str) -> impl Iterator<Item = (&Section, btf_rs::Struct)> {
        self.sections.iter().flat_map(move |section| {
            let found = section.named(name);
            found.filter_map(move |ty| Some((section, section.aggregate(ty)?)))
        })
    }

    /// What `value` makes of the member, when every type that has the member gives the same.
    fn agreed<T: Ord + fmt::Display>(
        &self,
        path: &str,
        value: impl Fn(&Section, &Place) -> Result<T, String>,
    ) -> Result<T, Missing> {
        let mut steps = path.split('.');
        let outer = steps.next().unwrap_or_default();
        let steps: Vec<&str> = steps.collect();
        let mut found = BTreeSet::new();
        let mut unusable = None;
        let mut absent = None;
        for (section, ty) in self.aggregates(outer) {
            match member::find(section, &ty, &steps) {
                Ok(place) => match value(section, &place) {
                    Ok(value) => _ = found.insert(value),
                    Err(why) => unusable = Some(format!("`{path}` {why}")),
                },
                Err(Astray::Unusable(why)) => unusable = Some(format!("{why} in `{path}`")),
                Err(Astray::NoMember(member)) => {
                    absent = Some(format!("`struct {outer}` has no `{member}`"));
                }
            }
        }
        let many = found.len() > 1;
        match (unusable, found.pop_first(), absent) {
            (Some(why), _, _) => Err(Missing(why)),
            (None, Some(one), _) if !many => Ok(one),
            (None, Some(one), _) => {
                let rest: String = found.iter().map(|v| format!(", {v}")).collect();
                let why = format!("definitions of `{path}` disagree ({one}{rest})");
                Err(Missing(why))
            }
            (None, None, Some(why)) => Err(Missing(why)),
            (None, None, None) => Err(Missing(format!("no `struct {outer}`"))),
        }
    }
}

/// The one value that all items have.
fn only<T: PartialEq>(mut items: impl Iterator<Item = T>) -> Option<T> {
    let first = items.next()?;
    items.all(|item| item == first).then_some(first)
}
