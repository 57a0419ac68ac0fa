//! One BTF object (vmlinux or a module) with an index of its names.

use btf_rs::{Btf, BtfType, Struct, Type};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Chains of typedefs and qualifiers are short; malformed data must not loop.
const MAX_CHAIN: usize = 64;

/// A BTF object. The index holds hashes: eight bytes a name, checked against the name on lookup.
pub struct Section {
    /// `vmlinux` or the module's name.
    pub name: String,
    /// The types; those of a module include the base.
    pub btf: Btf,
    /// Number of types of its own.
    pub types: usize,
    names: Vec<(u32, u32)>,
    enumerators: Vec<(u32, u32)>,
}

impl Section {
    /// Indexes `btf`.
    pub fn new(name: &str, btf: Btf) -> Result<Self, btf_rs::Error> {
        let (first, last) = btf.split().unwrap_or(btf.base()).type_id_range();
        let (mut names, mut enumerators) = (Vec::new(), Vec::new());
        for id in first..=last {
            let ty = btf.resolve_type_by_id(id)?;
            match &ty {
                Type::Struct(_) | Type::Union(_) | Type::Typedef(_) | Type::Func(_) => {}
                Type::Enum(list) => {
                    for member in &list.members {
                        enumerators.push((hash(&btf.resolve_name(member)?), id));
                    }
                }
                Type::Enum64(list) => {
                    for member in &list.members {
                        enumerators.push((hash(&btf.resolve_name(member)?), id));
                    }
                }
                _ => continue,
            }
            let name = name_of(&btf, &ty);
            if !name.is_empty() {
                names.push((hash(&name), id));
            }
        }
        names.sort_unstable();
        enumerators.sort_unstable();
        Ok(Self {
            name: name.to_owned(),
            types: (last + 1).saturating_sub(first.max(1)) as usize,
            btf,
            names,
            enumerators,
        })
    }

    /// Own structs, unions, enums, typedefs and functions of that name.
    pub fn named(&self, name: &str) -> impl Iterator<Item = Type> {
        ids(&self.names, hash(name))
            .filter_map(|id| self.btf.resolve_type_by_id(id).ok())
            .filter(move |ty| name_of(&self.btf, ty) == name)
    }

    /// Id of the first own function of that name.
    pub fn function(&self, name: &str) -> Option<u32> {
        self.first(name, |ty| matches!(ty, Type::Func(_)))
    }

    /// Id of the first own struct of that name.
    pub fn structure(&self, name: &str) -> Option<u32> {
        self.first(name, |ty| matches!(ty, Type::Struct(_)))
    }

    /// Ids of one name are in order.
    fn first(&self, name: &str, wanted: impl Fn(&Type) -> bool) -> Option<u32> {
        ids(&self.names, hash(name)).find(|id| {
            let ty = self.btf.resolve_type_by_id(*id).ok();
            ty.is_some_and(|ty| wanted(&ty) && name_of(&self.btf, &ty) == name)
        })
    }

    /// Own enums, named or not, that have this enumerator: all their members, in order.
    pub fn enums_with(&self, enumerator: &str) -> impl Iterator<Item = Vec<(String, i64)>> {
        ids(&self.enumerators, hash(enumerator))
            .filter_map(|id| self.btf.resolve_type_by_id(id).ok())
            .map(|ty| self.members(&ty))
            .filter(move |members| members.iter().any(|(name, _)| name == enumerator))
    }

    /// Members of an enum in the order of their declaration; of anything else, none.
    pub fn members(&self, ty: &Type) -> Vec<(String, i64)> {
        let name = |member: &dyn BtfType| self.btf.resolve_name(member).unwrap_or_default();
        match ty {
            Type::Enum(list) => {
                let value = |raw: u32| match list.is_signed() {
                    true => i64::from(raw.cast_signed()),
                    false => i64::from(raw),
                };
                let members = list.members.iter();
                members.map(|m| (name(m), value(m.val()))).collect()
            }
            Type::Enum64(list) => {
                let members = list.members.iter();
                members.map(|m| (name(m), m.val().cast_signed())).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The type behind typedefs and qualifiers.
    pub fn strip(&self, mut ty: Type) -> Option<Type> {
        for _ in 0..MAX_CHAIN {
            let next = match &ty {
                Type::Typedef(t) => self.btf.resolve_chained_type(t),
                Type::Const(t) | Type::Volatile(t) | Type::Restrict(t) => {
                    self.btf.resolve_chained_type(t)
                }
                Type::TypeTag(t) => self.btf.resolve_chained_type(t),
                _ => return Some(ty),
            };
            ty = next.ok()?;
        }
        None
    }

    /// The stripped type that `ty` refers to.
    pub fn target(&self, ty: &dyn BtfType) -> Option<Type> {
        self.strip(self.btf.resolve_chained_type(ty).ok()?)
    }

    /// The struct or union behind a type.
    pub fn aggregate(&self, ty: Type) -> Option<Struct> {
        match self.strip(ty)? {
            Type::Struct(inner) | Type::Union(inner) => Some(inner),
            _ => None,
        }
    }

    /// Name of a type, empty when it has none.
    pub fn name_of(&self, ty: &Type) -> String {
        name_of(&self.btf, ty)
    }
}

fn name_of(btf: &Btf, ty: &Type) -> String {
    ty.as_btf_type()
        .and_then(|ty| btf.resolve_name(ty).ok())
        .unwrap_or_default()
}

fn hash(name: &str) -> u32 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    // Any 32 bits will do: a collision costs one comparison of names.
    hasher.finish() as u32
}

fn ids(index: &[(u32, u32)], hash: u32) -> impl Iterator<Item = u32> {
    let start = index.partition_point(|(h, _)| *h < hash);
    let found = index[start..].iter().take_while(move |(h, _)| *h == hash);
    found.map(|(_, id)| *id)
}
