//! BPF objects that the kernel has, by their numbers, and who holds them.

use std::collections::BTreeSet;
use std::fs;

/// Kinds of objects: the name in `fdinfo`, and the command of bpf(2) that goes from one number to
/// the next (`enum bpf_cmd` in uapi/linux/bpf.h).
const KINDS: &[(&str, libc::c_int)] = &[
    ("prog_id", 11), // BPF_PROG_GET_NEXT_ID
    ("map_id", 12),  // BPF_MAP_GET_NEXT_ID
    ("btf_id", 23),  // BPF_BTF_GET_NEXT_ID
    ("link_id", 31), // BPF_LINK_GET_NEXT_ID
];

/// An object: its kind, and its number, which is never given again.
pub type Id = (&'static str, u32);

/// What `BPF_*_GET_NEXT_ID` takes: the struct of that name in `union bpf_attr`.
#[repr(C)]
#[derive(Default)]
struct NextId {
    start: u32,
    next: u32,
    open_flags: u32,
}

/// All objects of the kernel.
pub fn all() -> BTreeSet<Id> {
    let mut ids = BTreeSet::new();
    for (kind, command) in KINDS {
        let mut attr = NextId::default();
        loop {
            // SAFETY: the attributes are valid for reads and writes of the size that is said.
            let failed = unsafe {
                libc::syscall(
                    libc::SYS_bpf,
                    *command,
                    &raw mut attr,
                    size_of::<NextId>() as u32,
                )
            };
            // ENOENT behind the last one; EINVAL where the kernel does not know the kind.
            if failed != 0 {
                break;
            }
            ids.insert((*kind, attr.next));
            attr.start = attr.next;
        }
    }
    ids
}

/// Objects to which a living process has a descriptor.
pub fn held() -> BTreeSet<Id> {
    let descriptors = super::leaks::processes().into_iter().filter_map(|pid| {
        // A process that has just ended holds nothing.
        fs::read_dir(format!("/proc/{pid}/fdinfo")).ok()
    });
    descriptors
        .flatten()
        .filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok())
        .flat_map(|info| in_fdinfo(&info))
        .collect()
}

/// The objects that a descriptor's `fdinfo` names: a link's names its program as well.
fn in_fdinfo(info: &str) -> Vec<Id> {
    let object = |line: &str| {
        let (name, number) = line.split_once(':')?;
        let (kind, _) = KINDS.iter().find(|(kind, _)| *kind == name)?;
        Some((*kind, number.trim().parse().ok()?))
    };
    info.lines().filter_map(object).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_name_their_objects() {
        let link = "pos:\t0\nflags:\t02000000\nlink_type:\traw_tracepoint\nlink_id:\t7\n\
            prog_tag:\tabc\nprog_id:\t39\n";
        assert_eq!(in_fdinfo(link), [("link_id", 7), ("prog_id", 39)]);
        assert_eq!(in_fdinfo("pos:\t0\nino:\t1038\n"), []);
    }
}
