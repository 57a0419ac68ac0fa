//! Where a log's bytes go.

use std::cell::RefCell;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::rc::Rc;

use super::parts::name_of;
use super::place::Place;

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

/// Creates the file, or empties it if it is there, see [`Place::create`].
pub(super) fn create(path: &Path) -> io::Result<File> {
    Place::of(path, None)?.create()
}

/// The finished parts of a log, of which the oldest makes room on a full disk.
#[derive(Debug)]
pub(super) struct Room {
    place: Rc<Place>,
    freed: RefCell<Vec<OsString>>,
}

impl Room {
    pub(super) fn new(place: Rc<Place>) -> Self {
        Self {
            place,
            freed: RefCell::default(),
        }
    }

    /// Removes the oldest part, if the error says that the disk is full, and there is one.
    pub(super) fn made(&self, error: &io::Error) -> bool {
        let full = matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT));
        let oldest = || self.place.parts().ok()?.first().copied();
        let Some(oldest) = full.then(oldest).flatten() else {
            return false;
        };
        let name = name_of(self.place.name(), oldest);
        let removed = self.place.remove(&name).is_ok();
        if removed {
            self.freed.borrow_mut().push(name);
        }
        removed
    }

    /// Names of the parts removed since this was asked last.
    pub(super) fn freed(&self) -> Vec<OsString> {
        self.freed.take()
    }
}

/// A log's file.
#[derive(Debug)]
pub(super) struct LogFile {
    pub(super) file: File,
    /// Where an error of a full disk is not the last word.
    pub(super) room: Option<Rc<Room>>,
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.file.write(bytes) {
                Err(error) if self.room.as_ref().is_some_and(|room| room.made(&error)) => {}
                other => return other,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Sink for LogFile {
    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.file.cut(len)
    }

    fn settle(&mut self) -> io::Result<()> {
        self.file.settle()
    }
}
