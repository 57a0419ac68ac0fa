//! The directory entry of the file under test: created new, removed at the end.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use super::options::Options;
use super::stop;
use crate::text::printable;

/// The directory entry, removed on drop.
#[derive(Debug)]
pub(super) struct Entry {
    dir: OwnedFd,
    name: CString,
    /// Absolute path at creation.
    pub(super) path: PathBuf,
    /// The file, open for reading and writing through the page cache.
    pub(super) file: File,
    keep: bool,
}

impl Entry {
    /// Creates the file of `options`, never an existing one.
    pub(super) fn create(options: &Options) -> Result<Self> {
        let shown = options.shown_dir();
        let dir_flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::openat(CWD, &options.dir, dir_flags, Mode::empty()).map_err(|e| {
            anyhow!(
                "cannot open the directory {shown}: {}; give --dir an existing one",
                io::Error::from(e)
            )
        })?;
        let name = CString::new(options.name.as_bytes())?;
        // Never an existing file: it would be overwritten and removed.
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file: File = rustix::fs::openat(&dir, &name, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|e| create_error(e, options))?
            .into();
        let path = std::path::absolute(&options.dir)
            .unwrap_or_else(|_| options.dir.clone())
            .join(&options.name);
        if !options.keep {
            stop::remember(dir.as_raw_fd(), file.as_raw_fd(), &name);
        }
        Ok(Self {
            dir,
            name,
            path,
            file,
            keep: options.keep,
        })
    }

    /// Opens the file once more.
    pub(super) fn open(&self, flags: OFlags) -> Result<File, Errno> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        rustix::fs::openat(&self.dir, &self.name, flags, Mode::empty()).map(File::from)
    }

    /// Makes a second file in the same directory that has no name, so that nothing of it can stay.
    ///
    /// Fails with `EOPNOTSUPP` where the filesystem makes no such files.
    pub(super) fn nameless(&self) -> Result<File, Errno> {
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        rustix::fs::openat(&self.dir, c".", flags, Mode::RUSR | Mode::WUSR).map(File::from)
    }

    /// Removes the file under its first name or, if it was renamed meanwhile, under its present
    /// one; another file of that name stays.
    fn remove(&self) {
        if self.unlink_if_ours(
            &self.dir,
            Path::new(OsStr::from_bytes(self.name.to_bytes())),
        ) {
            return;
        }
        let link = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        if let Ok(now) = std::fs::read_link(link) {
            self.unlink_if_ours(CWD, &now);
        }
    }

    fn unlink_if_ours(&self, dir: impl AsFd, name: &Path) -> bool {
        let Ok(ours) = self.file.metadata() else {
            return false;
        };
        let Ok(there) = rustix::fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW) else {
            return false;
        };
        if (there.st_dev, there.st_ino) != (ours.dev(), ours.ino()) {
            return false;
        }
        match rustix::fs::unlinkat(&dir, name, AtFlags::empty()) {
            Ok(()) => true,
            Err(error) => {
                eprintln!(
                    "warning: cannot remove {}: {}",
                    printable(&self.path.to_string_lossy()),
                    io::Error::from(error)
                );
                true
            }
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if !self.keep {
            self.remove();
            stop::forget();
        }
    }
}

fn create_error(errno: Errno, options: &Options) -> anyhow::Error {
    let dir = options.shown_dir();
    let name = options.name.display();
    match errno {
        Errno::EXIST => {
            anyhow!("{name:?} exists in {dir} and is left alone: choose another --name")
        }
        Errno::ROFS => anyhow!("{dir} is on a read-only filesystem: choose another --dir"),
        Errno::ACCESS | Errno::PERM => {
            anyhow!("no permission to create a file in {dir}: run as root or choose another --dir")
        }
        Errno::NOSPC | Errno::DQUOT => no_space(options),
        Errno::NAMETOOLONG => anyhow!("the file name is too long for {dir}: use a shorter --name"),
        other => anyhow!("cannot create a file in {dir}: {}", io::Error::from(other)),
    }
}

/// The error for a full filesystem or an exhausted quota.
pub(super) fn no_space(options: &Options) -> anyhow::Error {
    anyhow!(
        "not enough space in {} for {} bytes: free some or use a smaller --file-size",
        options.shown_dir(),
        options.file_size
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn options(dir: &Path) -> Options {
        Options::new(crate::workload::Mode::Mmap, dir)
    }

    #[test]
    fn the_file_goes_even_after_a_rename() {
        let dir = tempfile::tempdir().unwrap();
        let entry = Entry::create(&options(dir.path())).unwrap();
        fs::rename(&entry.path, dir.path().join("elsewhere")).unwrap();
        // Somebody else's file under the old name must survive.
        fs::write(&entry.path, b"not ours").unwrap();
        let path = entry.path.clone();
        drop(entry);
        assert!(path.exists());
        assert!(!dir.path().join("elsewhere").exists());
    }

    #[test]
    fn unlinked_meanwhile_is_no_error_and_keep_keeps() {
        let dir = tempfile::tempdir().unwrap();
        let gone = Entry::create(&options(dir.path())).unwrap();
        fs::remove_file(&gone.path).unwrap();
        drop(gone);
        let mut kept = options(dir.path());
        kept.keep = true;
        let entry = Entry::create(&kept).unwrap();
        let path = entry.path.clone();
        drop(entry);
        assert!(path.exists());
    }
}
