//! Which modules of a kernel a guest gets, in the order in which they are loaded.

use super::kernel::Kernel;
use super::tools::Tools;
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Without these a guest cannot run.
const NEEDED: &[&str] = &[
    "virtio_pci",
    "virtio_blk",
    "virtio_console",
    "loop",
    "btrfs",
    "xfs",
    "ext4",
    "vfat",
];

/// The filesystems ask for these by the name of what they do, and some kernels have them built in
/// or in other modules: taken where there are any, before those that want them.
const WANTED: &[&str] = &[
    "crc32c_generic",
    "crc32c_intel",
    "crc32c-cryptoapi",
    "xxhash_generic",
    "sha256_generic",
    "blake2b_generic",
    "nls_cp437",
    "nls_iso8859-1",
    "nls_ascii",
    "nls_utf8",
];

/// A module, uncompressed.
pub struct Module {
    /// Its file's name, which ends in `.ko`.
    pub file: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// The modules for a guest of `kernel`, those that others need first; `more` are names beside the
/// usual ones.
///
/// # Errors
/// When the kernel lacks one, or it cannot be read.
pub fn load(kernel: &Kernel, more: &[String], tools: &Tools) -> Result<Vec<Module>> {
    let Some(dir) = &kernel.modules else {
        return Ok(Vec::new());
    };
    let read = |name: &str| {
        let path = dir.join(name);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let (dep, builtin) = (read("modules.dep")?, read("modules.builtin")?);
    let known = dependencies(&dep);
    let built_in = builtin.lines().map(name_of).collect();
    let needed: Vec<_> = NEEDED
        .iter()
        .copied()
        .chain(more.iter().map(String::as_str))
        .collect();
    let order = order(&known, &built_in, &needed)
        .with_context(|| format!("the kernel {} is of no use here", kernel.version))?;
    order
        .iter()
        .map(|path| unpack(&dir.join(path), tools))
        .collect()
}

/// Path and dependencies of each module, by name.
type Known<'a> = BTreeMap<String, (&'a str, Vec<&'a str>)>;

/// Reads `modules.dep`: `path: dependency dependency`, where each module's dependencies are complete.
fn dependencies(text: &str) -> Known<'_> {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines
        .map(|(path, rest)| (name_of(path), (path, rest.split_whitespace().collect())))
        .collect()
}

/// The paths of the modules to load. `modules.dep` has what must be loaded first last.
fn order<'a>(
    known: &Known<'a>,
    built_in: &BTreeSet<String>,
    needed: &[&str],
) -> Result<Vec<&'a str>> {
    let mut order = Vec::new();
    for name in WANTED.iter().chain(needed) {
        let name = name.replace('-', "_");
        match known.get(&name) {
            Some((path, before)) => {
                for path in before.iter().rev().chain([path]) {
                    if !order.contains(path) {
                        order.push(*path);
                    }
                }
            }
            None if built_in.contains(&name) || !needed.contains(&name.as_str()) => {}
            None => bail!("it has no {name}, neither built in nor as a module"),
        }
    }
    Ok(order)
}

/// `virtio_pci` of `kernel/drivers/virtio/virtio-pci.ko.xz`.
fn name_of(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    let stem = file.split(".ko").next().unwrap_or(file);
    stem.replace('-', "_")
}

fn unpack(path: &Path, tools: &Tools) -> Result<Module> {
    let read = || fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let decompress = |program: &str| -> Result<Vec<u8>> {
        let mut command = tools.command(program)?;
        let out = command.args(["-d", "-c"]).arg(path).output()?;
        if !out.status.success() {
            let why = String::from_utf8_lossy(&out.stderr);
            bail!("cannot decompress {}: {}", path.display(), why.trim());
        }
        Ok(out.stdout)
    };
    let bytes = match path.extension().and_then(|e| e.to_str()) {
        Some("xz") => decompress("xz")?,
        Some("zst") => decompress("zstd")?,
        Some("gz") => decompress("gzip")?,
        _ => read()?,
    };
    let name = name_of(&path.display().to_string());
    Ok(Module {
        file: format!("{name}.ko"),
        bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEP: &str = "\
kernel/fs/btrfs/btrfs.ko.xz: kernel/lib/raid6/raid6_pq.ko.xz kernel/crypto/xor.ko.xz
kernel/crypto/xor.ko.xz:
kernel/lib/raid6/raid6_pq.ko.xz: kernel/crypto/xor.ko.xz
kernel/crypto/blake2b_generic.ko.xz:
kernel/drivers/block/loop.ko.xz:";

    #[test]
    fn dependencies_come_first_and_once() {
        let known = dependencies(DEP);
        let built_in = BTreeSet::from(["ext4".to_owned()]);
        let order = order(&known, &built_in, &["ext4", "loop", "btrfs"]).unwrap();
        assert_eq!(
            order,
            [
                "kernel/crypto/blake2b_generic.ko.xz",
                "kernel/drivers/block/loop.ko.xz",
                "kernel/crypto/xor.ko.xz",
                "kernel/lib/raid6/raid6_pq.ko.xz",
                "kernel/fs/btrfs/btrfs.ko.xz",
            ]
        );
    }

    #[test]
    fn a_kernel_without_a_needed_module_is_refused() {
        let error = order(&dependencies(DEP), &BTreeSet::new(), &["xfs"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "it has no xfs, neither built in nor as a module"
        );
    }

    #[test]
    fn names_do_not_depend_on_the_file() {
        assert_eq!(name_of("kernel/a/virtio-pci.ko.xz"), "virtio_pci");
        assert_eq!(name_of("kernel/a/ext4.ko"), "ext4");
    }
}
