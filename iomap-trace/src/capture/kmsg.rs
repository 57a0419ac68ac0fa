//! How often the kernel printed its own warning meanwhile.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;

/// The warning of `dio_warn_stale_pagecache()`; a second line names pid and file.
const WARNING: &[u8] = b"Page cache invalidation failure on direct I/O.";

/// The kernel log from the moment of opening on.
#[derive(Debug)]
pub struct KernelLog {
    file: Option<File>,
    printed: u64,
}

impl KernelLog {
    /// Opens it at its end. Where it cannot be read, nothing is known.
    pub fn open() -> Self {
        let open = || {
            let mut file = File::options()
                .read(true)
                .custom_flags(libc::O_NONBLOCK)
                .open("/dev/kmsg")?;
            file.seek(SeekFrom::End(0))?;
            Ok::<_, std::io::Error>(file)
        };
        Self {
            file: open().ok(),
            printed: 0,
        }
    }

    /// Reads on, and returns how many warnings have been printed since the opening.
    pub fn printed(&mut self) -> Option<u64> {
        let file = self.file.as_mut()?;
        let mut record = [0; 8192];
        loop {
            match file.read(&mut record) {
                Ok(0) => break,
                Ok(len) => {
                    let found = record[..len].windows(WARNING.len()).any(|w| w == WARNING);
                    self.printed += u64::from(found);
                }
                // Records were overwritten before they were read; the next read goes on after them.
                Err(e) if e.kind() == ErrorKind::BrokenPipe => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(_) => {
                    self.file = None;
                    return None;
                }
            }
        }
        Some(self.printed)
    }
}
