//! The programs that a virtual machine takes: QEMU, busybox, `depmod` and those that make
//! filesystems. Where the system lacks one they all come from one suite of Debian, unpacked into the
//! cache with the libraries they need: no root, and nothing on the system changes.

use crate::private_apt::{self, PrivateApt};
use crate::util;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The emulator of the only architecture that there is here.
pub const QEMU: &str = "qemu-system-x86_64";
/// Guests of 6.12 die of double faults in QEMU 7.2.
const OLDEST_QEMU: u32 = 10;
/// The suite whose QEMU is known to work with all kernels.
const SUITE: &str = "trixie";
const PACKAGES: &[&str] = &[
    "qemu-system-x86",
    "busybox-static",
    "kmod",
    "xz-utils",
    "btrfs-progs",
    "xfsprogs",
    "e2fsprogs",
    "dosfstools",
];
/// What has to be in `PATH` when nothing is unpacked.
const PROGRAMS: &[&str] = &[
    QEMU,
    "busybox",
    "depmod",
    "xz",
    "mkfs.btrfs",
    "mkfs.xfs",
    "mke2fs",
    "mkfs.fat",
];

/// Where the programs are.
pub enum Tools {
    /// In `PATH`.
    System,
    /// Below this directory, which holds all of their libraries, too.
    Unpacked(PathBuf),
}

impl Tools {
    /// The system's own, if all are there and new enough, or else those in the cache; fetches them
    /// when they are not there yet.
    ///
    /// # Errors
    /// When they cannot be had; the message says what to install.
    pub fn get() -> Result<Self> {
        let Err(lacking) = system() else {
            return Ok(Self::System);
        };
        let root = util::cache_dir()?.join(format!("vm-tools-{SUITE}"));
        if !root.is_dir() {
            eprintln!("{lacking:#}: fetching QEMU and the like from Debian {SUITE}");
            fetch(&root).with_context(|| {
                let programs = PROGRAMS.join(", ");
                format!("please install {programs} (QEMU at least {OLDEST_QEMU})")
            })?;
        }
        Ok(Self::Unpacked(root))
    }

    /// The file of a program.
    ///
    /// # Errors
    /// When it is not there.
    pub fn path(&self, program: &str) -> Result<PathBuf> {
        match self {
            Self::System => util::which(program),
            Self::Unpacked(root) => ["usr/sbin", "usr/bin"]
                .map(|dir| root.join(dir).join(program))
                .into_iter()
                .find(|path| path.is_file()),
        }
        .with_context(|| format!("there is no {program}; remove the cache and fetch again"))
    }

    /// A command that runs a program, with its own libraries and data.
    ///
    /// # Errors
    /// When it is not there.
    pub fn command(&self, program: &str) -> Result<Command> {
        let path = self.path(program)?;
        let Self::Unpacked(root) = self else {
            return Ok(Command::new(path));
        };
        let mut command = self.loader(root);
        command.arg(path);
        let libraries = root.join(LIBRARIES);
        command.env("QEMU_MODULE_DIR", libraries.join("qemu"));
        command.env("MKE2FS_CONFIG", root.join("etc/mke2fs.conf"));
        if program == QEMU {
            for dir in ["qemu", "seabios"] {
                command.arg("-L").arg(root.join("usr/share").join(dir));
            }
        }
        Ok(command)
    }

    /// The libraries that a program of these, or any other program, is linked with, the dynamic
    /// loader among them; none for a static one.
    ///
    /// # Errors
    /// When a library is missing.
    pub fn libraries(&self, program: &Path) -> Result<Vec<PathBuf>> {
        let mut list = match self {
            Self::Unpacked(root) if program.starts_with(root) => {
                let mut loader = self.loader(root);
                loader.arg("--list");
                loader
            }
            _ => Command::new("ldd"),
        };
        // Both fail for a static program, and say so.
        let out = list
            .env("LC_ALL", "C")
            .arg(program)
            .output()
            .context("cannot run ldd")?;
        let said = [out.stdout, out.stderr].concat();
        libraries(&String::from_utf8_lossy(&said))
            .with_context(|| format!("cannot run {}", program.display()))
    }

    /// The options of `mkfs.xfs` that suit the kernel `version` (`6.12`), or else those that suit
    /// all kernels; none where there are no such lists.
    pub fn xfs_options(&self, version: &str) -> Option<PathBuf> {
        let root = match self {
            Self::System => Path::new("/"),
            Self::Unpacked(root) => root,
        };
        let dir = root.join("usr/share/xfsprogs/mkfs");
        let files = [version, "5.10"].map(|version| dir.join(format!("lts_{version}.conf")));
        files.into_iter().find(|file| file.is_file())
    }

    fn loader(&self, root: &Path) -> Command {
        let mut command = Command::new(root.join("usr/lib64/ld-linux-x86-64.so.2"));
        command.arg("--library-path").arg(root.join(LIBRARIES));
        command
    }
}

/// Debian's directory of libraries.
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

/// Fails with the first program that the system lacks.
fn system() -> Result<()> {
    for program in PROGRAMS {
        util::which(program).with_context(|| format!("there is no {program}"))?;
    }
    let version = util::output(Command::new(QEMU).arg("--version"))?;
    let major = qemu_major(&version).context("QEMU does not tell its version")?;
    ensure!(
        major >= OLDEST_QEMU,
        "QEMU {major} is too old (at least {OLDEST_QEMU} is needed)"
    );
    Ok(())
}

fn fetch(root: &Path) -> Result<()> {
    let part = root.with_extension("part");
    let _ = fs::remove_dir_all(&part);
    let apt = PrivateApt::new(&part.join("apt"))?;
    apt.select(SUITE)?;
    let debs = apt.download_with_dependencies(PACKAGES)?;
    let unpacked = part.join("root");
    private_apt::unpack(&debs, &unpacked)?;
    fs::rename(&unpacked, root).with_context(|| format!("cannot make {}", root.display()))?;
    let _ = fs::remove_dir_all(&part);
    Ok(())
}

/// 10 of `QEMU emulator version 10.0.13 (Debian 1:10.0.13+ds-0+deb13u1)`.
fn qemu_major(version: &str) -> Option<u32> {
    let words = version.lines().next()?.split_whitespace();
    let number = words.skip_while(|word| *word != "version").nth(1)?;
    number.split('.').next()?.parse().ok()
}

/// The files in what `ldd` printed.
fn libraries(said: &str) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for line in said.lines() {
        ensure!(!line.contains("not found"), "{}", line.trim());
        let words = line.split_whitespace();
        if let Some(path) = words.take_while(|w| !w.starts_with("(0x")).last()
            && line.contains("(0x")
            && path.starts_with('/')
        {
            files.push(path.into());
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_version_of_qemu() {
        let said = "QEMU emulator version 10.0.13 (Debian 1:10.0.13+ds-0+deb13u1)\nCopyright";
        assert_eq!(qemu_major(said), Some(10));
        assert_eq!(qemu_major("?"), None);
    }

    #[test]
    fn reads_what_ldd_prints() {
        let said = "\tlinux-vdso.so.1 (0x00007ffe)\n\
            \tlibuuid.so.1 => /lib/libuuid.so.1 (0x00007f6b)\n\
            \t/lib64/ld-linux-x86-64.so.2 (0x00007f6c)\n";
        let files = libraries(said).unwrap();
        assert_eq!(
            files,
            ["/lib/libuuid.so.1", "/lib64/ld-linux-x86-64.so.2"].map(PathBuf::from)
        );
        assert!(
            libraries("\tnot a dynamic executable\n")
                .unwrap()
                .is_empty()
        );
        assert!(libraries("\tliba.so.1 => not found\n").is_err());
    }
}
