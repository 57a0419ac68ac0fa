//! The filters of the command line: most work in the kernel, paths below a directory here.

use anyhow::{Context, Result, ensure};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::event::{Dev, Failure};
use crate::kernel::mountinfo::{self, MountLine};
use crate::text::unescape_path;

/// `TASK_COMM_LEN` (include/linux/sched.h), with the zero at the end.
const COMM_LEN: usize = 16;

/// What to keep. Everything that is set must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    /// Process of the writer.
    pub pid: Option<u32>,
    /// Command name of the writer.
    pub comm: Option<String>,
    /// Device of the filesystem, as in mountinfo or as `stat` gives it.
    pub dev: Option<Dev>,
    /// Inode number.
    pub ino: Option<u64>,
    /// cgroup v2 id of the writer.
    pub cgroup: Option<u64>,
    /// Files below a directory.
    pub path: Option<PathFilter>,
    /// Inodes that a descendant of this process writes or dirties.
    pub descendants_of: Option<u32>,
}

/// A directory, or a path that does not exist yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathFilter {
    path: PathBuf,
    /// Devices of the filesystems on which the path, and what is mounted below it, is.
    devices: Vec<Dev>,
}

impl PathFilter {
    /// Whether the failure's path is this one, or below it. A failure without a path is kept when
    /// its filesystem fits: to leave it out would be to say that there was none.
    pub fn keeps(&self, failure: &Failure) -> bool {
        let Some(path) = &failure.path else {
            return self.devices.contains(&failure.dev);
        };
        let escaped = failure.flags.iter().any(|flag| flag == "path-escaped");
        let bytes = if escaped {
            unescape_path(path)
        } else {
            path.as_bytes().to_vec()
        };
        Path::new(OsStr::from_bytes(&bytes)).starts_with(&self.path)
    }
}

impl Filters {
    /// Narrows to a path: a file by its inode, a directory by the paths of the failures.
    ///
    /// # Errors
    /// When the path is relative and the current directory is gone.
    pub fn set_path(&mut self, path: &Path, mounts: &[MountLine]) -> Result<()> {
        if let Ok(found) = std::fs::metadata(path)
            && found.is_file()
        {
            let dev = found.dev();
            self.dev = Some(Dev {
                major: libc::major(dev),
                minor: libc::minor(dev),
            });
            self.ino = Some(found.ino());
            return Ok(());
        }
        let whole = std::path::absolute(path).context("the path filter cannot be resolved")?;
        let path = std::fs::canonicalize(&whole).unwrap_or(whole);
        let devices = mounts
            .iter()
            .filter(|mount| mount.at.starts_with(&path))
            .chain(mountinfo::over(mounts, &path))
            .map(|mount| mount.dev)
            .collect();
        self.path = Some(PathFilter { path, devices });
        Ok(())
    }

    /// Takes a command name.
    ///
    /// # Errors
    /// When it is longer than the kernel keeps names: it could not match.
    pub fn set_comm(&mut self, comm: &str) -> Result<()> {
        ensure!(
            comm.len() < COMM_LEN,
            "no command name has more than {} bytes: cut `{comm}` to that",
            COMM_LEN - 1
        );
        self.comm = Some(comm.to_owned());
        Ok(())
    }

    /// Takes a cgroup by its id, or by its directory in the cgroup v2 hierarchy.
    ///
    /// # Errors
    /// When it is neither a number nor a directory.
    pub fn set_cgroup(&mut self, cgroup: &str) -> Result<()> {
        self.cgroup = Some(match cgroup.parse() {
            Ok(id) => id,
            Err(_) => std::fs::metadata(cgroup)
                .with_context(|| format!("cgroup `{cgroup}` is neither an id nor a directory"))?
                .ino(),
        });
        Ok(())
    }

    /// Whether the filters that work in user space keep this failure.
    pub fn keeps(&self, failure: &Failure) -> bool {
        self.path.as_ref().is_none_or(|path| path.keeps(failure))
    }
}
