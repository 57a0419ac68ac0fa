//! Where a log's bytes go.

use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// Something that takes bytes and can be cut off again.
pub trait Sink: Write {
    /// Cuts it to `len` bytes.
    ///
    /// # Errors
    /// Those of `ftruncate(2)`; always, when it is no regular file.
    fn cut(&mut self, len: u64) -> io::Result<()>;

    /// Sees to it that a write error that the system put off is reported now.
    ///
    /// # Errors
    /// Those of `fdatasync(2)`.
    fn settle(&mut self) -> io::Result<()>;
}

impl Sink for File {
    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)?;
        // A write that failed half way has moved the offset.
        io::Seek::seek(self, io::SeekFrom::Start(len)).map(drop)
    }

    fn settle(&mut self) -> io::Result<()> {
        match self.sync_data() {
            // Pipes and character devices keep nothing that could be lost.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EROFS)) => {
                Ok(())
            }
            other => other,
        }
    }
}

/// Creates the file, or empties it if it is there. Never follows a symbolic link in the last
/// component: the tool runs as root, perhaps in a directory of somebody else's.
pub(super) fn create(path: &Path) -> io::Result<File> {
    let flags =
        OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = File::from(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?);
    if file.metadata()?.is_file() {
        file.set_len(0)?;
    }
    Ok(file)
}
