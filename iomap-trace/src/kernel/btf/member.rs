//! Finds a member of a struct by its path, through anonymous structs and unions at any depth.

use btf_rs::{BtfType, Struct, Type};

use super::section::Section;

const MAX_DEPTH: usize = 32;

/// A member that was found.
#[derive(Clone, Debug)]
pub struct Place {
    /// Offset from the beginning of the outermost struct, in bytes.
    pub offset: u32,
    /// Its type, without typedefs and qualifiers.
    pub ty: Type,
}

/// Why a path leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Astray {
    /// No such member.
    NoMember(String),
    /// It exists, but its offset cannot be used.
    Unusable(String),
}

/// Follows `path` (`["i_pages", "xa_head"]`) from `outer`.
pub fn find(section: &Section, outer: &Struct, path: &[&str]) -> Result<Place, Astray> {
    let mut current = outer.clone();
    let mut bits: u32 = 0;
    let mut steps = path.iter().peekable();
    while let Some(name) = steps.next() {
        let (at, ty) = step(section, &current, name, 0)?
            .ok_or_else(|| Astray::NoMember((*name).to_owned()))?;
        bits = bits
            .checked_add(at)
            .ok_or_else(|| Astray::Unusable(format!("`{name}` is too far out")))?;
        if steps.peek().is_some() {
            current = section
                .aggregate(ty)
                .ok_or_else(|| Astray::Unusable(format!("`{name}` is not a struct")))?;
            continue;
        }
        if !bits.is_multiple_of(8) {
            return Err(Astray::Unusable(format!("`{name}` is a bit field")));
        }
        return Ok(Place {
            offset: bits / 8,
            ty,
        });
    }
    Err(Astray::NoMember(String::new()))
}

/// Bit offset and type of a direct member, or of one inside an anonymous member.
fn step(
    section: &Section,
    outer: &Struct,
    name: &str,
    depth: usize,
) -> Result<Option<(u32, Type)>, Astray> {
    let name_of = |m: &dyn BtfType| section.btf.resolve_name(m).unwrap_or_default();
    if let Some(member) = outer.members.iter().find(|m| name_of(*m) == name) {
        if member.bitfield_size().is_some_and(|bits| bits > 0) {
            return Err(Astray::Unusable(format!("`{name}` is a bit field")));
        }
        let ty = section
            .target(member)
            .ok_or_else(|| Astray::Unusable(format!("the type of `{name}` is damaged")))?;
        return Ok(Some((member.bit_offset(), ty)));
    }
    if depth == MAX_DEPTH {
        return Ok(None);
    }
    for member in outer.members.iter().filter(|m| name_of(*m).is_empty()) {
        let Some(inner) = section.target(member).and_then(|ty| section.aggregate(ty)) else {
            continue;
        };
        if let Some((at, ty)) = step(section, &inner, name, depth + 1)? {
            return Ok(Some((member.bit_offset().saturating_add(at), ty)));
        }
    }
    Ok(None)
}
