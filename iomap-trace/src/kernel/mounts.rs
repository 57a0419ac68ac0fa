//! Mounted disk filesystems.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::mountinfo::MountLine;
use crate::event::{Dev, Mount};
use crate::text::escape_path;

/// Filesystems on local disks, whose files can be written with direct I/O.
const DISK: &[&str] = &[
    "bcachefs", "btrfs", "exfat", "ext2", "ext3", "ext4", "f2fs", "jfs", "nilfs2", "ntfs", "ntfs3",
    "reiserfs", "udf", "vfat", "xfs", "zonefs",
];

/// What else a path may lead through without any risk to wait for a server.
const PROMPT: &[&str] = &[
    "devtmpfs", "erofs", "overlay", "ramfs", "rootfs", "squashfs", "sysfs", "tmpfs",
];

/// Of each disk filesystem among `lines` the first mount whose path can be asked without a risk to
/// wait for a server, or none, in the order of their first mounts.
pub fn promptly(lines: &[MountLine]) -> Vec<(&MountLine, Option<&Path>)> {
    let mut found: Vec<(&MountLine, Option<&Path>)> = Vec::new();
    for line in lines.iter().filter(|l| DISK.contains(&l.fs.as_str())) {
        let path = || is_prompt(line, lines).then_some(line.at.as_path());
        match found.iter_mut().find(|(first, _)| first.dev == line.dev) {
            None => found.push((line, path())),
            Some((_, none @ None)) => *none = path(),
            Some(_) => {}
        }
    }
    found
}

/// The mounts of disk filesystems among `lines`, in their order.
pub fn disks(lines: &[MountLine]) -> Vec<Mount> {
    disks_with(lines, block_size)
}

fn disks_with(lines: &[MountLine], block_size: impl Fn(&Path) -> Option<u64>) -> Vec<Mount> {
    let disk = |line: &&MountLine| DISK.contains(&line.fs.as_str());
    let mut sizes: BTreeMap<Dev, u64> = BTreeMap::new();
    for line in lines.iter().filter(disk) {
        if !sizes.contains_key(&line.dev)
            && is_prompt(line, lines)
            && let Some(size) = block_size(&line.at)
        {
            sizes.insert(line.dev, size);
        }
    }
    let mounts = lines.iter().filter(disk).map(|line| Mount {
        dev: line.dev,
        fs: line.fs.clone(),
        at: escape_path(line.at.as_os_str().as_bytes()).0,
        options: merge(&line.options, &line.super_options),
        block_size: sizes.get(&line.dev).copied().unwrap_or(0),
    });
    mounts.collect()
}

/// Whether the path of a mount leads to it, and through no filesystem that could keep us waiting.
fn is_prompt(line: &MountLine, lines: &[MountLine]) -> bool {
    let by_id: BTreeMap<u64, &MountLine> = lines.iter().map(|l| (l.id, l)).collect();
    let mut chain = Vec::new();
    let mut current = line;
    loop {
        chain.push(current.id);
        let quick = [DISK, PROMPT].concat().contains(&current.fs.as_str());
        // A loop is impossible, except for a root that is its own parent.
        if !quick || chain.len() > lines.len() {
            return false;
        }
        match by_id.get(&current.parent) {
            Some(parent) if parent.id != current.id => current = parent,
            _ => break,
        }
    }
    // Another mount on the way hides this one.
    !lines
        .iter()
        .any(|other| !chain.contains(&other.id) && line.at.starts_with(&other.at))
}

/// Block size of the filesystem at `at` in bytes.
pub fn block_size(at: &Path) -> Option<u64> {
    rustix::fs::statvfs(at).ok().map(|stat| stat.f_bsize)
}

/// Options of the mount, then those of the super block that add something.
fn merge(mount: &str, super_block: &str) -> String {
    let known: Vec<&str> = mount.split(',').collect();
    let mut out = mount.to_owned();
    let access = ["rw", "ro"];
    for option in super_block.split(',') {
        if !option.is_empty() && !known.contains(&option) && !access.contains(&option) {
            out.push(',');
            out.push_str(option);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::mountinfo::parse;

    const TEXT: &[u8] = b"\
1 0 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
2 1 0:21 / /proc rw - proc proc rw
3 1 0:50 / /nfs rw - nfs4 server:/ rw
4 3 7:0 / /nfs/img rw - xfs /dev/loop0 rw
5 1 7:1 / /mnt/a rw - xfs /dev/loop1 rw,noquota
6 5 0:51 / /mnt/a rw - fuse.sshfs x rw
7 1 0:44 /sub /mnt/b\\040c ro - btrfs /dev/loop2 rw,subvolid=5
8 1 0:44 / /mnt/\xff rw - btrfs /dev/loop2 rw
9 1 7:3 / /gone rw - vfat /dev/loop3 rw
";

    #[test]
    fn only_disks_and_never_through_a_server() {
        let asked = std::cell::RefCell::new(Vec::new());
        let mounts = disks_with(&parse(TEXT), |path| {
            asked.borrow_mut().push(path.to_owned());
            (path != Path::new("/gone")).then_some(4096)
        });
        let paths: Vec<&str> = mounts.iter().map(|m| m.at.as_str()).collect();
        let all = ["/", "/nfs/img", "/mnt/a", "/mnt/b c", "/mnt/\\xff", "/gone"];
        assert_eq!(paths, all);
        let asked = asked.into_inner();
        assert_eq!(asked, ["/", "/mnt/b c", "/gone"].map(Path::new));
        let sizes: Vec<u64> = mounts.iter().map(|m| m.block_size).collect();
        assert_eq!(sizes, [4096, 0, 0, 4096, 4096, 0]);
        assert_eq!(mounts[0].options, "rw,relatime,discard");
        assert_eq!(mounts[3].options, "ro,subvolid=5");
        assert_eq!(mounts[3].dev.to_string(), "0:44");
    }
}
