//! Types built by hand, then the running kernel's own where it has them.

use super::*;
use std::path::Path;

/// Builds BTF: types in order, the first has id `first`.
struct Builder {
    types: Vec<u8>,
    strings: Vec<u8>,
    string_base: u32,
    next: u32,
}

const INT: u32 = 1;
const PTR: u32 = 2;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const ENUM: u32 = 6;
const TYPEDEF: u32 = 8;

impl Builder {
    fn base() -> Self {
        Self {
            types: Vec::new(),
            strings: vec![0],
            string_base: 0,
            next: 1,
        }
    }

    fn split(base: &Self) -> Self {
        Self {
            types: Vec::new(),
            strings: vec![0],
            string_base: base.strings.len() as u32,
            next: base.next,
        }
    }

    fn name(&mut self, name: &str) -> u32 {
        if name.is_empty() {
            return 0;
        }
        let at = self.string_base + self.strings.len() as u32;
        self.strings.extend(name.bytes().chain([0]));
        at
    }

    fn words(&mut self, words: &[u32]) {
        self.types
            .extend(words.iter().flat_map(|w| w.to_le_bytes()));
    }

    fn head(&mut self, name: &str, kind: u32, flag: bool, len: usize, size: u32) -> u32 {
        let name = self.name(name);
        self.words(&[name, u32::from(flag) << 31 | kind << 24 | len as u32, size]);
        self.next += 1;
        self.next - 1
    }

    fn int(&mut self, name: &str, size: u32) -> u32 {
        let id = self.head(name, INT, false, 0, size);
        self.words(&[size * 8]);
        id
    }

    fn refer(&mut self, kind: u32, name: &str, to: u32) -> u32 {
        self.head(name, kind, false, 0, to)
    }

    fn array(&mut self, of: u32, len: u32) -> u32 {
        let id = self.head("", ARRAY, false, 0, 0);
        self.words(&[of, of, len]);
        id
    }

    /// Members: name, type, bit offset (with a bit field's size in the upper byte).
    fn fields(&mut self, kind: u32, name: &str, size: u32, members: &[(&str, u32, u32)]) -> u32 {
        let flag = members.iter().any(|m| m.2 >> 24 != 0);
        let id = self.head(name, kind, flag, members.len(), size);
        for (name, ty, at) in members {
            let name = self.name(name);
            self.words(&[name, *ty, *at]);
        }
        id
    }

    fn list(&mut self, name: &str, members: &[(&str, i32)]) -> u32 {
        let signed = members.iter().any(|m| m.1 < 0);
        let id = self.head(name, ENUM, signed, members.len(), 4);
        for (name, value) in members {
            let name = self.name(name);
            self.words(&[name, value.cast_unsigned()]);
        }
        id
    }

    fn write(&self, path: &Path) {
        let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
        let mut out = 0xeb9f_u16.to_le_bytes().to_vec();
        out.extend([1, 0]);
        for word in [24, 0, types, types, strings] {
            out.extend(u32::to_le_bytes(word));
        }
        out.extend(&self.types);
        out.extend(&self.strings);
        std::fs::write(path, out).unwrap();
    }
}

fn load(base: &Builder, module: Option<&Builder>) -> Types {
    let dir = tempfile::tempdir().unwrap();
    base.write(&dir.path().join("vmlinux"));
    if let Some(module) = module {
        module.write(&dir.path().join("btrfs"));
    }
    let roots = Roots {
        btf: dir.path().to_owned(),
        ..Roots::default()
    };
    Types::load(&roots).unwrap()
}

#[test]
fn members_of_anonymous_unions_are_found() {
    let mut b = Builder::base();
    let long = b.int("long", 8);
    let flags = b.fields(STRUCT, "", 8, &[("f", long, 0)]);
    let flags = b.refer(TYPEDEF, "memdesc_flags_t", flags);
    let inner = b.fields(STRUCT, "", 16, &[("flags", flags, 0), ("index", long, 64)]);
    let outer = b.fields(UNION, "", 16, &[("", inner, 0), ("page", long, 0)]);
    let tail = b.fields(STRUCT, "", 16, &[("x", long, 0), ("_nr_pages", long, 64)]);
    let tail = b.fields(UNION, "", 16, &[("", tail, 0)]);
    b.fields(STRUCT, "folio", 32, &[("", outer, 0), ("", tail, 128)]);
    let types = load(&b, None);
    assert_eq!(types.offset_of("folio.index"), Some(8));
    assert_eq!(types.offset_of("folio.flags"), Some(0));
    assert_eq!(types.offset_of("folio.flags.f"), Some(0));
    assert_eq!(types.offset_of("folio._nr_pages"), Some(24));
    assert_eq!(types.size_of("folio"), Some(32));
    assert_eq!(types.size_of("memdesc_flags_t"), Some(8));
    let why = |path| types.offset(path).unwrap_err().0;
    assert_eq!(why("folio.nothing"), "`struct folio` has no `nothing`");
    assert_eq!(
        why("folio.index.x"),
        "`index` is not a struct in `folio.index.x`"
    );
    assert_eq!(why("page.flags"), "no `struct page`");
}

#[test]
fn bit_fields_are_refused() {
    let mut b = Builder::base();
    let int = b.int("int", 4);
    let members = [
        ("plain", int, 0),
        ("bits", int, 32 | 3 << 24),
        ("odd", int, 35 | 5 << 24),
    ];
    b.fields(STRUCT, "s", 8, &members);
    let types = load(&b, None);
    assert_eq!(types.offset_of("s.plain"), Some(0));
    assert_eq!(
        types.offset("s.bits").unwrap_err().0,
        "`bits` is a bit field in `s.bits`"
    );
    assert_eq!(types.offset_of("s.odd"), None);
}

#[test]
fn duplicates_must_agree() {
    let mut b = Builder::base();
    let int = b.int("int", 4);
    let mut m = Builder::split(&b);
    m.fields(
        STRUCT,
        "btrfs_inode",
        8,
        &[("root", int, 32), ("moved", int, 0)],
    );
    m.fields(
        STRUCT,
        "btrfs_inode",
        8,
        &[("root", int, 32), ("moved", int, 32)],
    );
    m.fields(STRUCT, "btrfs_inode", 4, &[("other", int, 0)]);
    m.list("", &[("EXTENT_LOCKED", 2), ("EXTENT_MINUS", -1)]);
    let types = load(&b, Some(&m));
    assert_eq!(types.offset_of("btrfs_inode.root"), Some(4));
    assert_eq!(types.offset_of("btrfs_inode.other"), Some(0));
    let why = types.offset("btrfs_inode.moved").unwrap_err().0;
    assert_eq!(why, "definitions of `btrfs_inode.moved` disagree (0, 4)");
    assert_eq!(types.size_of("btrfs_inode"), None);
    assert_eq!(types.enumerator("EXTENT_LOCKED"), Some(2));
    assert_eq!(types.enumerator("EXTENT_MINUS"), Some(-1));
    assert_eq!(types.enumerator("EXTENT_DIRTY"), None);
    assert_eq!(
        types.objects().collect::<Vec<_>>(),
        [("vmlinux", 1), ("btrfs", 4)]
    );
}

#[test]
fn arrays_and_pointers() {
    let mut b = Builder::base();
    let long = b.int("long", 8);
    let slots = b.array(long, 64);
    let inode = b.fields(STRUCT, "inode", 8, &[("i_ino", long, 0)]);
    let pointer = b.refer(PTR, "", inode);
    b.fields(
        STRUCT,
        "s",
        520,
        &[("inode", pointer, 0), ("slots", slots, 64)],
    );
    b.list("pageflags", &[("PG_locked", 0), ("PG_dirty", 4)]);
    let types = load(&b, None);
    assert_eq!(types.array_len("s.slots"), Ok(64));
    assert_eq!(
        types.array_len("s.inode").unwrap_err().0,
        "`s.inode` is not an array"
    );
    assert_eq!(types.member_points_to("s.inode").as_deref(), Some("inode"));
    assert_eq!(types.member_points_to("s.slots"), None);
    let flags = types.enumerators_of("pageflags");
    assert!(flags.contains(&("PG_dirty".to_owned(), 4)));
    assert_eq!(types.enum_with("PG_dirty")[0].0, "PG_locked");
}

#[test]
fn damaged_objects_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let roots = Roots {
        btf: dir.path().to_owned(),
        ..Roots::default()
    };
    let why = Types::load(&roots).err().unwrap().0;
    assert!(why.ends_with("vmlinux: does not exist"), "{why}");
    let mut b = Builder::base();
    let int = b.int("int", 4);
    b.fields(STRUCT, "s", 8, &[("a", int, 0), ("b", int, 32)]);
    let path = dir.path().join("vmlinux");
    b.write(&path);
    let whole = std::fs::read(&path).unwrap();
    for len in 0..whole.len() {
        std::fs::write(&path, &whole[..len]).unwrap();
        // Must not panic; a cut in the string table may go unnoticed until a name is wanted.
        _ = Types::load(&roots);
    }
    std::fs::write(&path, &whole).unwrap();
    std::fs::write(dir.path().join("btrfs"), b"no").unwrap();
    let types = Types::load(&roots).unwrap();
    assert_eq!(types.unread()[0].0, "btrfs");
}

#[test]
fn types_of_the_running_kernel() {
    let roots = Roots::default();
    if !roots.btf.join("vmlinux").exists() {
        println!("skipped: this kernel has no /sys/kernel/btf/vmlinux");
        return;
    }
    let types = Types::load(&roots).unwrap();
    for path in [
        "inode.i_ino",
        "address_space.i_pages.xa_head",
        "kiocb.ki_filp",
    ] {
        assert!(types.offset(path).is_ok(), "{path}");
    }
    assert_eq!(types.array_len("xa_node.slots"), Ok(64));
    assert_eq!(
        types.member_points_to("inode.i_sb").as_deref(),
        Some("super_block")
    );
    assert_eq!(types.enumerator("PG_locked"), Some(0));
    assert!(types.has_function("invalidate_inode_pages2_range"));
}
