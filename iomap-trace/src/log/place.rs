//! Where a log lies: a directory that is looked up once, and a name in it.

use rustix::fs::{AtFlags, Dir, Mode, OFlags, RenameFlags};
use rustix::fs::{openat, renameat_with, statat, unlinkat};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::{Path, PathBuf};

use super::owner::Owner;

/// A file by its directory and name. The directory stays the one that it was when this was made,
/// whatever its path leads to later.
#[derive(Debug)]
pub struct Place {
    dir: OwnedFd,
    name: OsString,
    shown: PathBuf,
    owner: Option<Owner>,
}

impl Place {
    /// The place that `path` names. Files created there are given to `owner`.
    ///
    /// # Errors
    /// When the directory cannot be opened; [`io::ErrorKind::InvalidInput`] for a path that ends
    /// in no name.
    pub fn of(path: &Path, owner: Option<Owner>) -> io::Result<Self> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self {
            dir: rustix::fs::open(parent, flags, Mode::empty())?,
            name: name.to_owned(),
            shown: path.to_owned(),
            owner,
        })
    }

    /// The path as the user gave it.
    pub fn path(&self) -> &Path {
        &self.shown
    }

    /// Whether files are given to somebody.
    pub(super) fn has_owner(&self) -> bool {
        self.owner.is_some()
    }

    /// Whether the name asks for compression: it ends in `.zst`.
    pub(super) fn compressed(&self) -> bool {
        self.shown.extension().is_some_and(|end| end == "zst")
    }

    /// Name in the directory.
    pub(super) fn name(&self) -> &OsStr {
        &self.name
    }

    /// Creates the file, readable by its owner only, or empties it if it is there. Never follows a
    /// symbolic link in the last component, and never touches a file that has another name as
    /// well: the tool runs as root, perhaps in a directory of somebody else's.
    ///
    /// # Errors
    /// Those of `open(2)`; `EMLINK` for a file of several names.
    pub fn create(&self) -> io::Result<File> {
        let file = self.open(OFlags::CREATE)?;
        let status = file.metadata()?;
        if status.is_file() {
            if status.nlink() > 1 {
                return Err(io::Error::from_raw_os_error(libc::EMLINK));
            }
            self.give(&file)?;
            file.set_len(0)?;
        }
        Ok(file)
    }

    /// Creates the file where there is none, or takes an empty one.
    ///
    /// # Errors
    /// Those of `open(2)`; `EEXIST` when there is one that is not empty.
    pub(super) fn create_anew(&self) -> io::Result<File> {
        match self.open(OFlags::CREATE | OFlags::EXCL) {
            Ok(file) => {
                self.give(&file)?;
                Ok(file)
            }
            // logrotate's `create` has made one.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let file = self.open(OFlags::empty())?;
                let status = file.metadata()?;
                if status.is_file() && (status.len() > 0 || status.nlink() > 1) {
                    return Err(error);
                }
                Ok(file)
            }
            Err(error) => Err(error),
        }
    }

    fn open(&self, how: OFlags) -> io::Result<File> {
        let flags = how | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY;
        let mode = Mode::RUSR | Mode::WUSR;
        Ok(openat(&self.dir, &self.name, flags, mode)?.into())
    }

    fn give(&self, file: &File) -> io::Result<()> {
        match self.owner {
            Some(owner) => fchown(file, Some(owner.uid), Some(owner.gid)),
            None => Ok(()),
        }
    }

    /// Whether this process may make names in the directory, with the rights that it has now.
    ///
    /// # Errors
    /// Why not.
    pub fn writable(&self) -> io::Result<()> {
        use rustix::fs::{Access, accessat};
        // An O_PATH descriptor has no permissions of its own: `.` in it has those of the directory.
        let access = Access::WRITE_OK | Access::EXEC_OK;
        Ok(accessat(&self.dir, ".", access, AtFlags::EACCESS)?)
    }

    /// Whether the name leads to `file`.
    pub(super) fn holds(&self, file: &File) -> bool {
        let Ok(there) = statat(&self.dir, &self.name, AtFlags::SYMLINK_NOFOLLOW) else {
            return false;
        };
        file.metadata()
            .is_ok_and(|here| (here.dev(), here.ino()) == (there.st_dev, there.st_ino))
    }

    /// Whether there is a regular file that is not empty.
    pub(super) fn has_content(&self) -> bool {
        let there = statat(&self.dir, &self.name, AtFlags::SYMLINK_NOFOLLOW);
        there.is_ok_and(|file| {
            rustix::fs::FileType::from_raw_mode(file.st_mode).is_file() && file.st_size > 0
        })
    }

    /// Renames one name of the directory, never over another.
    ///
    /// # Errors
    /// Those of `renameat2(2)`; `EEXIST` when `to` is there.
    pub(super) fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        let flags = RenameFlags::NOREPLACE;
        Ok(renameat_with(&self.dir, from, &self.dir, to, flags)?)
    }

    /// Removes a name of the directory.
    ///
    /// # Errors
    /// Those of `unlinkat(2)`.
    pub(super) fn remove(&self, name: &OsStr) -> io::Result<()> {
        Ok(unlinkat(&self.dir, name, AtFlags::empty())?)
    }

    /// All names in the directory.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub(super) fn names(&self) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        for entry in Dir::new(openat(&self.dir, ".", flags, Mode::empty())?)? {
            names.push(OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned());
        }
        Ok(names)
    }
}
