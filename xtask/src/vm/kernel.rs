//! The kernels: Debian's cloud kernels, fetched into the cache, or one of the user's own.

use super::tools::Tools;
use crate::private_apt::{self, PrivateApt};
use crate::util;
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// A series of kernels that Debian has.
pub struct Series {
    /// `6.12`.
    pub name: &'static str,
    /// The suite that has it.
    pub suite: &'static str,
}

/// The kernels that this project supports: one before and one after each change that matters.
pub const SERIES: &[Series] = &[
    Series {
        name: "5.10",
        suite: "bullseye",
    },
    Series {
        name: "6.1",
        suite: "bookworm",
    },
    Series {
        name: "6.12",
        suite: "trixie",
    },
    Series {
        name: "7.2",
        suite: "forky",
    },
    Series {
        name: "7.3",
        suite: "trixie-backports",
    },
];

const META: &str = "linux-image-cloud-amd64";
const VERSION_FILE: &str = "package-version";

/// A kernel that can be booted.
#[derive(Debug)]
pub struct Kernel {
    /// How messages call it.
    pub name: String,
    /// The exact version of the package.
    pub version: String,
    /// The bootable image.
    pub image: PathBuf,
    /// `lib/modules/RELEASE`, which has a `modules.dep`; `None` when everything is built in.
    pub modules: Option<PathBuf>,
}

impl Kernel {
    /// The series called `name`, from the cache or else fetched; the newest one of its suite when
    /// `update` is true.
    ///
    /// # Errors
    /// When there is no such series, or it cannot be fetched.
    pub fn debian(name: &str, update: bool, tools: &Tools) -> Result<Self> {
        let Some(series) = SERIES.iter().find(|series| series.name == name) else {
            let known: Vec<_> = SERIES.iter().map(|series| series.name).collect();
            let known = known.join(", ");
            bail!("no kernel {name}: there are {known}, or the image of your own with --modules");
        };
        let root = util::cache_dir()?.join("kernels").join(name);
        if update || !root.is_dir() {
            fetch(series, &root, tools).with_context(|| format!("cannot fetch kernel {name}"))?;
        }
        Self::in_root(name, &root)
            .with_context(|| format!("{} is damaged; remove it", root.display()))
    }

    /// A kernel of the user's own: its image and the directory that `make modules_install` filled
    /// (or `lib/modules/RELEASE` below it).
    ///
    /// # Errors
    /// When one of the two is not there, or `depmod` has not run.
    pub fn own(image: &Path, modules: Option<&Path>) -> Result<Self> {
        ensure!(image.is_file(), "there is no kernel {}", image.display());
        let modules = modules.map(modules_of).transpose()?;
        Ok(Self {
            name: image.display().to_string(),
            version: "your own".to_owned(),
            image: image.to_path_buf(),
            modules,
        })
    }

    fn in_root(name: &str, root: &Path) -> Result<Self> {
        let modules = modules_of(root)?;
        let release = modules.file_name().unwrap_or_default().to_string_lossy();
        let version = fs::read_to_string(root.join(VERSION_FILE))?;
        let image = [format!("boot/vmlinuz-{release}"), "vmlinuz".to_owned()]
            .into_iter()
            .zip([root, &*modules])
            .map(|(file, dir)| dir.join(file))
            .find(|file| file.is_file())
            .context("it has no image of the kernel")?;
        Ok(Self {
            name: name.to_owned(),
            version: version.trim().to_owned(),
            image,
            modules: Some(modules),
        })
    }
}

/// The one directory of modules at or below `dir` for which `depmod` has run.
fn modules_of(dir: &Path) -> Result<PathBuf> {
    let below = |sub: &str| {
        let entries = fs::read_dir(dir.join(sub)).into_iter().flatten();
        entries.filter_map(|entry| Some(entry.ok()?.path()))
    };
    let candidates = [dir.to_path_buf()].into_iter();
    let mut candidates: Vec<_> = candidates.chain(below("lib/modules")).collect();
    candidates.retain(|dir| dir.join("modules.dep").is_file());
    match &candidates[..] {
        [one] => Ok(one.clone()),
        [] => bail!("{} has no modules.dep: run depmod", dir.display()),
        _ => bail!("{} has modules of several kernels", dir.display()),
    }
}

/// Downloads the newest kernel of the series and unpacks it into `root`, unless it is there.
fn fetch(series: &Series, root: &Path, tools: &Tools) -> Result<()> {
    // Not `with_extension`, for which the 12 of 6.12 is one.
    let part = root.with_file_name(format!("{}.part", series.name));
    let _ = fs::remove_dir_all(&part);
    eprintln!(
        "looking for a kernel {} in Debian {}",
        series.name, series.suite
    );
    let apt = PrivateApt::new(&part.join("apt"))?;
    apt.select(series.suite)?;
    let version = apt.candidate(META)?;
    ensure!(
        is_of(&version, series.name),
        "Debian {} has {version} now",
        series.suite
    );
    let cached = fs::read_to_string(root.join(VERSION_FILE)).unwrap_or_default();
    if cached.trim() == version {
        eprintln!("{version} is the newest, and is there");
    } else {
        eprintln!("downloading {version}");
        let mut debs = Vec::new();
        for package in apt.closure(META)?.iter().filter(|name| has_files(name)) {
            debs.push(apt.download(package)?);
        }
        let unpacked = part.join("root");
        private_apt::unpack(&debs, &unpacked)?;
        index_modules(&unpacked, tools)?;
        fs::write(unpacked.join(VERSION_FILE), format!("{version}\n"))?;
        Kernel::in_root(series.name, &unpacked)?;
        let _ = fs::remove_dir_all(root);
        fs::rename(&unpacked, root).with_context(|| format!("cannot make {}", root.display()))?;
    }
    let _ = fs::remove_dir_all(&part);
    Ok(())
}

/// Debian runs `depmod` when a kernel is installed; this one is only unpacked.
fn index_modules(root: &Path, tools: &Tools) -> Result<()> {
    // Newer packages have lib below usr only.
    if !root.join("lib").exists() {
        symlink("usr/lib", root.join("lib"))?;
    }
    let modules = root.join("lib/modules");
    let mut releases = fs::read_dir(&modules)
        .with_context(|| format!("the package has no {}", modules.display()))?;
    let release = releases.next().context("the package has no modules")??;
    let mut depmod = tools.command("depmod")?;
    util::output(depmod.arg("-b").arg(root).arg(release.file_name())).map(drop)
}

/// True for `6.12.107-1` and `6.12`, not for `6.1`.
fn is_of(version: &str, series: &str) -> bool {
    let rest = version.strip_prefix(series);
    rest.is_some_and(|rest| rest.starts_with(['.', '-', '~', '+']))
}

/// True for the packages that hold a kernel or its modules, not for what they pull in beside.
fn has_files(package: &str) -> bool {
    // linux-base-VERSION has the list of what is built in, linux-base is something else.
    ["image", "binary", "modules", "base"]
        .map(|part| format!("linux-{part}-"))
        .iter()
        .filter_map(|prefix| package.strip_prefix(prefix.as_str()))
        .any(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_not_the_prefix_of_another() {
        assert!(is_of("6.12.107-1", "6.12"));
        assert!(is_of("7.3.4-1~bpo13+1", "7.3"));
        assert!(!is_of("6.12.107-1", "6.1"));
        assert!(!is_of("7.4.1-1", "7.3"));
    }

    #[test]
    fn only_packages_with_files_are_taken() {
        assert!(has_files("linux-image-6.12.107+deb13-cloud-amd64"));
        assert!(has_files("linux-binary-7.3.4+deb13-cloud-amd64"));
        assert!(!has_files("linux-image-cloud-amd64"));
        assert!(!has_files("linux-base"));
    }

    #[test]
    fn an_unknown_series_is_named_with_the_known_ones() {
        let error = Kernel::debian("4.19", false, &Tools::System).unwrap_err();
        assert!(error.to_string().contains("5.10, 6.1, 6.12, 7.2, 7.3"));
    }
}
