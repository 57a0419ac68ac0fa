//! Packages of other Debian suites, without touching the machine's own package lists: apt with a
//! configuration of its own, which checks signatures as ever.

use crate::util;
use anyhow::{Context, Result, anyhow, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// apt with its own lists and cache below `dir`.
pub struct PrivateApt {
    dir: PathBuf,
    archive: String,
}

impl PrivateApt {
    /// Uses the archive that this machine itself installs Debian's packages from.
    ///
    /// # Errors
    /// When this is no Debian system, or it has no archive.
    pub fn new(dir: &Path) -> Result<Self> {
        if util::which("apt-get").is_none() || !Path::new(KEYRING).is_file() {
            bail!("this is not a Debian system (no apt-get, or no {KEYRING})");
        }
        let mut targets = Command::new("apt-get");
        targets.args(["indextargets", "--format"]);
        targets.args(["$(CREATED_BY) $(CODENAME) $(REPO_URI) $(ORIGIN)"]);
        let archive = archive(&util::output(&mut targets)?)
            .context("apt knows no archive of Debian; run `apt-get update`")?;
        for sub in ["state/lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(dir.join(sub))
                .with_context(|| format!("cannot make {}", dir.display()))?;
        }
        Ok(Self {
            dir: dir.to_path_buf(),
            archive,
        })
    }

    /// Looks in `suite` from now on: fetches its lists.
    ///
    /// # Errors
    /// When there is no such suite, its signature is wrong, or it cannot be fetched.
    pub fn select(&self, suite: &str) -> Result<()> {
        let list = format!("deb [signed-by={KEYRING}] {} {suite} main\n", self.archive);
        fs::write(self.dir.join("sources.list"), list)?;
        util::output(self.command("apt-get").arg("update")).map(drop)
    }

    /// Downloads `package` of the upstream version `upstream` from the first suite that has it.
    ///
    /// # Errors
    /// When no suite has it, or the download fails.
    pub fn download_upstream(
        &self,
        package: &str,
        upstream: &str,
        suites: &[&str],
    ) -> Result<PathBuf> {
        let mut last = None;
        for suite in suites {
            match self.download_from(package, upstream, suite) {
                Ok(deb) => return Ok(deb),
                Err(error) => {
                    eprintln!("{suite}: {error:#}");
                    last = Some(error);
                }
            }
        }
        Err(last.unwrap_or_else(|| anyhow!("no suite to look in")))
    }

    fn download_from(&self, package: &str, upstream: &str, suite: &str) -> Result<PathBuf> {
        eprintln!("looking for {package} {upstream} in Debian {suite}");
        self.select(suite)?;
        let known = util::output(self.command("apt-cache").args(["madison", package]))?;
        let version =
            version(&known, upstream).with_context(|| format!("no {package} {upstream} there"))?;
        eprintln!("downloading {package} {version}");
        self.download(&format!("{package}={version}"))
    }

    /// Downloads `package` (or `package=version`) of the selected suite, without what it needs.
    ///
    /// # Errors
    /// When the suite has no such package, or the download fails.
    pub fn download(&self, package: &str) -> Result<PathBuf> {
        let dir = self.dir.join("download");
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let mut download = self.command("apt-get");
        util::output(download.current_dir(&dir).args(["download", package]))?;
        let [deb] = &debs(&dir)?[..] else {
            bail!("apt-get did not download {package}");
        };
        let kept = self.dir.join(deb.file_name().unwrap_or_default());
        fs::rename(deb, &kept)?;
        Ok(kept)
    }

    /// Downloads `packages` of the selected suite and all that they need, down to the C library.
    ///
    /// # Errors
    /// When the suite lacks one, or a download fails.
    pub fn download_with_dependencies(&self, packages: &[&str]) -> Result<Vec<PathBuf>> {
        let mut install = self.command("apt-get");
        install.args(["install", "--download-only", "--yes"]);
        util::output(install.arg("--no-install-recommends").args(packages))?;
        debs(&self.dir.join("cache/archives"))
    }

    /// `package` and all that it needs in the selected suite, by name.
    ///
    /// # Errors
    /// When the suite has no such package.
    pub fn closure(&self, package: &str) -> Result<Vec<String>> {
        let mut depends = self.command("apt-cache");
        depends.args(["depends", "--recurse", "--important", package]);
        let tree = util::output(&mut depends)?;
        let names = tree.lines().filter(|line| !line.starts_with([' ', '<']));
        Ok(names.map(str::to_owned).collect())
    }

    /// The version of `package` in the selected suite.
    ///
    /// # Errors
    /// When the suite has no such package.
    pub fn candidate(&self, package: &str) -> Result<String> {
        let mut show = self.command("apt-cache");
        let record = util::output(show.args(["show", "--no-all-versions", package]))?;
        let version = record
            .lines()
            .find_map(|line| line.strip_prefix("Version: "));
        version
            .map(|version| version.trim().to_owned())
            .with_context(|| format!("apt knows no version of {package}"))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("LC_ALL", "C").arg("-qq");
        let at = |sub: &str| self.dir.join(sub).display().to_string();
        for option in [
            format!("Dir::Etc::sourcelist={}", at("sources.list")),
            "Dir::Etc::sourceparts=/dev/null".to_owned(),
            format!("Dir::State={}", at("state")),
            "Dir::State::status=/dev/null".to_owned(),
            format!("Dir::Cache={}", at("cache")),
            "Acquire::Languages=none".to_owned(),
            // The directory belongs to this user; apt's own user may not enter it.
            "APT::Sandbox::User=".to_owned(),
        ] {
            command.args(["-o", &option]);
        }
        command
    }
}

/// Unpacks packages into `root`.
///
/// # Errors
/// When one cannot be unpacked.
pub fn unpack(debs: &[PathBuf], root: &Path) -> Result<()> {
    for deb in debs {
        util::output(Command::new("dpkg-deb").arg("-x").args([deb, root]))?;
    }
    Ok(())
}

/// The packages in `dir`, sorted.
fn debs(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut debs: Vec<_> = fs::read_dir(dir)
        .with_context(|| format!("cannot read {}", dir.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "deb"))
        .collect();
    debs.sort();
    Ok(debs)
}

/// The address of Debian's main archive in the lines `created-by codename uri origin`: neither the
/// security archive nor somebody else's.
fn archive(targets: &str) -> Option<String> {
    targets
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .find_map(|words| match words[..] {
            ["Packages", codename, uri, "Debian"] if !codename.contains('-') => {
                Some(uri.to_owned())
            }
            _ => None,
        })
}

/// The version of Debian whose upstream part is `upstream`, in what `apt-cache madison` printed.
fn version<'a>(madison: &'a str, upstream: &str) -> Option<&'a str> {
    madison
        .lines()
        .filter_map(|line| line.split('|').nth(1).map(str::trim))
        .find(|version| {
            let rest = version.strip_prefix(upstream);
            rest.is_some_and(|rest| rest.starts_with(['+', '-', '~']) || rest.is_empty())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_main_archive() {
        let targets = "\
Packages bookworm-security http://a.example/debian-security/ Debian
Packages nodistro https://b.example/node_20.x/ . nodistro
Translations bookworm http://c.example/debian/ Debian
Packages bookworm http://d.example/debian/ Debian";
        assert_eq!(
            archive(targets).as_deref(),
            Some("http://d.example/debian/")
        );
        assert_eq!(
            archive("Packages noble http://e.example/ubuntu/ Ubuntu"),
            None
        );
    }

    #[test]
    fn takes_the_upstream_version_exactly() {
        let madison = "\
rust-src | 1.95.1+dfsg1-1 | http://d.example/debian sid/main
rust-src | 1.95.0+dfsg1-2~bpo13+1 | http://d.example/debian trixie-backports/main";
        assert_eq!(version(madison, "1.95.0"), Some("1.95.0+dfsg1-2~bpo13+1"));
        assert_eq!(version(madison, "1.95"), None);
        assert_eq!(version("", "1.95.0"), None);
    }
}
