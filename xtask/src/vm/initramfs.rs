//! The first and only root directory of a guest.

use super::cpio::Archive;
use super::kernel::Kernel;
use super::modules;
use super::tools::Tools;
use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The first program. It is a script, and the interface to the host: see there.
const INIT: &str = include_str!("init.sh");

/// Programs for tests that make filesystems of their own; their names in the guest and here.
const PROGRAMS: &[(&str, &str)] = &[
    ("mkfs.btrfs", "mkfs.btrfs"),
    ("mkfs.xfs", "mkfs.xfs"),
    ("mkfs.ext4", "mke2fs"),
    ("mkfs.vfat", "mkfs.fat"),
];

/// What a guest consists of, beside its kernel.
pub struct Contents<'a> {
    /// Whose modules it gets.
    pub kernel: &'a Kernel,
    /// Modules beside the usual ones, by name.
    pub modules: &'a [String],
    /// Programs of the host, with their names in `/bin`; the libraries they need are in `/lib`.
    pub programs: &'a [(String, PathBuf)],
    /// The filesystems that the host has made, mounted below `/mnt`.
    pub filesystems: &'a [&'a str],
    /// The command to run; `None` for a shell on the console.
    pub command: Option<&'a [String]>,
}

/// The archive with all that.
///
/// # Errors
/// When a module or a program cannot be read.
pub fn pack(contents: &Contents<'_>, tools: &Tools) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    for dir in [
        "proc", "sys", "dev", "tmp", "out", "mnt", "run", "sbin", "etc", "root", "usr",
    ] {
        archive.directory(dir);
    }
    archive.character_device("dev/console", 5, 1);
    for (link, target) in [
        ("lib64", "lib"),
        ("usr/lib", "../lib"),
        ("usr/lib64", "../lib"),
        ("usr/bin", "../bin"),
        ("usr/sbin", "../bin"),
        ("etc/mtab", "/proc/mounts"),
    ] {
        archive.symlink(link, target);
    }
    archive.file("etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/sh\n");
    archive.file("etc/group", 0o644, b"root:x:0:\n");
    archive.file("init", 0o755, INIT.as_bytes());
    archive.file(
        "filesystems",
        0o644,
        contents.filesystems.join(" ").as_bytes(),
    );
    match contents.command {
        Some(command) => archive.file("run-me", 0o755, script(command).as_bytes()),
        None => archive.file("interactive", 0o644, b""),
    }
    let mut order = String::new();
    for module in modules::load(contents.kernel, contents.modules, tools)? {
        order.push_str(&module.file);
        order.push('\n');
        archive.file(&format!("modules/{}", module.file), 0o644, &module.bytes);
    }
    archive.file("modules/order", 0o644, order.as_bytes());

    let mut programs = vec![("busybox".to_owned(), tools.path("busybox")?)];
    for (name, program) in PROGRAMS {
        programs.push(((*name).to_owned(), tools.path(program)?));
    }
    programs.extend_from_slice(contents.programs);
    add(&mut archive, &programs, tools)?;
    Ok(archive.finish())
}

/// Adds programs, and the libraries they need, each once.
fn add(archive: &mut Archive, programs: &[(String, PathBuf)], tools: &Tools) -> Result<()> {
    let mut libraries = BTreeSet::new();
    for (name, path) in programs {
        archive.file(&format!("bin/{name}"), 0o755, &read(path)?);
        for library in tools.libraries(path)? {
            let name = file_name(&library);
            if libraries.insert(name.clone()) {
                archive.file(&format!("lib/{name}"), 0o755, &read(&library)?);
            }
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// A script that becomes the command.
fn script(command: &[String]) -> String {
    let quoted = command
        .iter()
        .map(|word| format!("'{}'", word.replace('\'', "'\\''")));
    let quoted: Vec<_> = quoted.collect();
    format!("#!/bin/sh\nexec {}\n", quoted.join(" "))
}

#[cfg(test)]
mod tests {
    use super::script;
    use std::process::Command;

    #[test]
    fn words_reach_the_guest_as_they_are() {
        let words = ["printf", "<%s>", "a b", "it's", "$HOME", ""].map(str::to_owned);
        let out = Command::new("sh")
            .args(["-c", &script(&words)])
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8(out.stdout).unwrap(),
            "<a b><it's><$HOME><>"
        );
    }
}
