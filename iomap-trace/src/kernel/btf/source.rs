//! A file of type information to a parsed object: fast, and with little memory.

use btf_rs::{Backend, Btf};
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::path::Path;

/// Parses stand-alone BTF.
///
/// The mapped backend indexes vmlinux in milliseconds where the cached one takes over 100, and needs
/// a tenth of its memory. sysfs supports mapping from 6.16 on only (`btf_sysfs_vmlinux_mmap`):
/// before, the bytes go to an anonymous file first.
///
/// # Errors
/// When the file cannot be read, or is no BTF.
pub fn parse(path: &Path) -> Result<Btf, btf_rs::Error> {
    let mut file = File::open(path)?;
    if let Ok(mapped) = Btf::from_file_with_backend(path, Backend::Mmap) {
        return Ok(mapped);
    }
    match anonymous(&mut file) {
        Ok(copy) => Btf::from_file_with_backend(name(&copy), Backend::Mmap),
        // No memfd or no procfs: slower, the same answers.
        Err(_) => Btf::from_file(path),
    }
}

/// A copy in memory that can be mapped.
fn anonymous(from: &mut File) -> std::io::Result<File> {
    use rustix::fs::{MemfdFlags, memfd_create};
    let mut file = File::from(memfd_create("btf", MemfdFlags::CLOEXEC)?);
    from.seek(SeekFrom::Start(0))?;
    std::io::copy(from, &mut file)?;
    std::fs::metadata(name(&file))?;
    Ok(file)
}

fn name(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_says_the_same() {
        let Ok(mut file) = File::open("/sys/kernel/btf/vmlinux") else {
            println!("skipped: this kernel has no type information");
            return;
        };
        let copy = Btf::from_file_with_backend(name(&anonymous(&mut file).unwrap()), Backend::Mmap);
        let there = parse(Path::new("/sys/kernel/btf/vmlinux")).unwrap();
        let range = |btf: &Btf| btf.base().type_id_range();
        assert_eq!(range(&copy.unwrap()), range(&there));
    }

    #[test]
    fn what_is_no_btf_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vmlinux");
        assert!(parse(&path).is_err());
        for bytes in [&b""[..], b"no types here, and nothing else"] {
            std::fs::write(&path, bytes).unwrap();
            assert!(parse(&path).is_err());
        }
    }
}
