//! The file that a bundle goes to, and files without a name for its parts.

use anyhow::{Context, Result, ensure};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use std::fs::File;
use std::io::{self, Seek};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};

const OWNER: Mode = Mode::RUSR.union(Mode::WUSR);

/// A file that gets its name once it is whole: a program that is killed leaves nothing behind.
#[derive(Debug)]
pub struct Target {
    path: PathBuf,
    /// The file.
    pub file: File,
    /// It has its name already, for want of `O_TMPFILE`; it is removed unless it is kept.
    named: bool,
}

impl Target {
    /// A file readable by its owner only, to be called `path`.
    ///
    /// # Errors
    /// When something of that name is there, even a symbolic link that leads nowhere; when the file
    /// cannot be made.
    pub fn create(path: &Path) -> Result<Self> {
        ensure!(
            path.symlink_metadata().is_err(),
            "{} is there already and is not overwritten: choose another file with -o",
            path.display()
        );
        let (file, named) = match nameless(directory(path)) {
            Ok(file) => (file, false),
            Err(_) => {
                let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                let file = rustix::fs::open(path, flags, OWNER).with_context(|| {
                    format!(
                        "{} cannot be created: choose another file with -o",
                        path.display()
                    )
                })?;
                (File::from(file), true)
            }
        };
        Ok(Self {
            path: path.to_owned(),
            file,
            named,
        })
    }

    /// The file is whole: it gets its name.
    ///
    /// # Errors
    /// When it cannot be written to disk, or something of that name has come meanwhile.
    pub fn keep(mut self) -> Result<()> {
        let path = self.path.display().to_string();
        self.file
            .sync_all()
            .with_context(|| format!("{path} cannot be written"))?;
        if !self.named {
            let from = format!("/proc/self/fd/{}", self.file.as_raw_fd());
            // Fails if the name is taken, whatever it is.
            rustix::fs::linkat(CWD, &from, CWD, &self.path, AtFlags::SYMLINK_FOLLOW).with_context(
                || format!("{path} cannot be created: choose another file with -o"),
            )?;
        }
        self.named = false;
        Ok(())
    }

    /// Where it will be.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if self.named {
            // An error has been told already.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// A file that goes when it is closed, beside `path` if that filesystem can, or else in `/tmp`.
///
/// # Errors
/// When neither can.
pub fn scratch(path: &Path) -> Result<File> {
    nameless(directory(path))
        .or_else(|_| nameless(&std::env::temp_dir()))
        .context("no temporary file can be made (O_TMPFILE): choose another directory with -o")
}

fn nameless(directory: &Path) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(directory, flags, OWNER)?))
}

/// A path by which an open file can be opened again.
pub fn reopened(file: &impl AsFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_fd().as_raw_fd()))
}

/// Length of a file, which is then read from its beginning.
pub fn rewound(file: &mut File) -> io::Result<u64> {
    let len = file.seek(io::SeekFrom::End(0))?;
    file.rewind()?;
    Ok(len)
}
