//! Bytes of type information to a parsed object, fast.

use btf_rs::{Backend, Btf};
use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;

/// Parses stand-alone BTF.
///
/// The mapped backend indexes vmlinux in milliseconds where the cached one takes over 100, but
/// sysfs supports mapping from 6.16 on only: so the bytes go to an anonymous file first.
pub fn parse(bytes: &[u8]) -> Result<Btf, btf_rs::Error> {
    match anonymous(bytes) {
        Ok(file) => {
            let path = format!("/proc/self/fd/{}", file.as_raw_fd());
            Btf::from_file_with_backend(path, Backend::Mmap)
        }
        // No memfd or no procfs: slower, the same answers.
        Err(_) => Btf::from_bytes(bytes),
    }
}

fn anonymous(bytes: &[u8]) -> std::io::Result<File> {
    use rustix::fs::{MemfdFlags, memfd_create};
    let mut file = File::from(memfd_create("btf", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    std::fs::metadata(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    Ok(file)
}
