//! `/proc/self/mountinfo`, kept in the kernel's order and tolerant of any path.
//!
//! (The procfs crate loses the order of options and refuses paths that are not UTF-8.)

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::Roots;
use crate::event::Dev;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountLine {
    /// Id of the mount.
    pub id: u64,
    /// Id of the mount it is mounted on.
    pub parent: u64,
    /// Device of the super block.
    pub dev: Dev,
    /// Where it is mounted.
    pub at: PathBuf,
    /// Options of the mount.
    pub options: String,
    /// Filesystem type.
    pub fs: String,
    /// Options of the super block.
    pub super_options: String,
}

/// Reads the mounts of this process.
pub fn read(roots: &Roots) -> std::io::Result<Vec<MountLine>> {
    Ok(parse(&std::fs::read(roots.proc.join("self/mountinfo"))?))
}

/// Parses mountinfo. Lines that are none are left out.
pub fn parse(text: &[u8]) -> Vec<MountLine> {
    text.split(|b| *b == b'\n').filter_map(line).collect()
}

/// The mount that a path is on: of the longest mount points the last, which covers the others.
pub fn over<'a>(mounts: &'a [MountLine], path: &Path) -> Option<&'a MountLine> {
    let path = std::fs::canonicalize(path)
        .or_else(|_| std::path::absolute(path))
        .ok()?;
    mounts
        .iter()
        .filter(|mount| path.starts_with(&mount.at))
        .max_by_key(|mount| mount.at.as_os_str().len())
}

fn line(line: &[u8]) -> Option<MountLine> {
    let mut fields = line.split(|b| *b == b' ');
    let id = text(fields.next()?).parse().ok()?;
    let parent = text(fields.next()?).parse().ok()?;
    let dev = text(fields.next()?).parse().ok()?;
    let _root = fields.next()?;
    let at = PathBuf::from(OsString::from_vec(unescape(fields.next()?)));
    let options = text(fields.next()?);
    fields.find(|f| *f == b"-")?;
    let fs = text(fields.next()?);
    let _source = fields.next()?;
    Some(MountLine {
        id,
        parent,
        dev,
        at,
        options,
        fs,
        super_options: fields.next().map(text).unwrap_or_default(),
    })
}

fn text(field: &[u8]) -> String {
    String::from_utf8_lossy(&unescape(field)).into_owned()
}

/// The kernel writes space, tab, newline, backslash and `#` as `\` and three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        match rest {
            [
                b'\\',
                a @ b'0'..=b'3',
                b @ b'0'..=b'7',
                c @ b'0'..=b'7',
                tail @ ..,
            ] => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = tail;
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escapes_and_optional_fields() {
        let text = b"27 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw,discard\n\
            30 27 0:40 /sub /mnt/a\\040b\\012\xff rw - btrfs /dev/x\\040y rw,subvol=/sub\n\
            broken line\n";
        let mounts = parse(text);
        assert_eq!(mounts.len(), 2);
        assert_eq!(mounts[0].super_options, "rw,discard");
        assert_eq!(mounts[1].dev.to_string(), "0:40");
        let at = OsString::from_vec(b"/mnt/a b\n\xff".to_vec());
        assert_eq!(mounts[1].at, PathBuf::from(at));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(text: Vec<u8>) {
            _ = parse(&text);
        }

        #[test]
        fn what_the_kernel_escapes_comes_back(bytes in "[ -~\n\t]{0,40}") {
            let escaped: String = bytes
                .bytes()
                .map(|b| match b {
                    b' ' | b'\t' | b'\n' | b'\\' | b'#' => format!("\\{b:03o}"),
                    b => char::from(b).to_string(),
                })
                .collect();
            prop_assert_eq!(unescape(escaped.as_bytes()), bytes.as_bytes());
        }
    }

    #[test]
    fn the_innermost_and_last_mount_counts() {
        let mounts = parse(
            b"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n\
              2 1 0:5 / /proc rw - proc proc rw\n\
              3 1 0:6 / /proc rw - tmpfs none rw\n",
        );
        let fs = |path: &str| over(&mounts, Path::new(path)).map(|mount| mount.fs.as_str());
        assert_eq!(fs("/proc/nothing/here"), Some("tmpfs"));
        assert_eq!(fs("/procedure"), Some("ext4"));
        assert_eq!(over(&[], Path::new("/")), None);
    }
}
