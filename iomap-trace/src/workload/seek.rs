//! SEEK_DATA and SEEK_HOLE: btrfs locks from the offset to the end of the file while it looks.

use std::fs::File;
use std::io;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

/// Walks `file` from offset `from` in bytes to its end, from data to hole to data. Returns the
/// number of calls. Moves the descriptor's offset.
pub(super) fn walk(file: &File, from: u64) -> io::Result<usize> {
    let mut pos = from;
    let mut calls = 0;
    loop {
        calls += 1;
        match seek(file, SeekFrom::Data(pos)) {
            Ok(data) => pos = seek(file, SeekFrom::Hole(data))?,
            // No data behind `pos`: the end of the file.
            Err(Errno::NXIO) => return Ok(calls),
            Err(error) => return Err(error.into()),
        }
        calls += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn walks_to_the_end_whatever_the_file_holds() {
        let file = tempfile::tempfile_in(".").unwrap();
        assert_eq!(walk(&file, 0).unwrap(), 1);
        file.write_all_at(&[7; 4096], 1 << 20).unwrap();
        assert_eq!(walk(&file, 0).unwrap(), 3);
        assert_eq!(walk(&file, (1 << 20) + 100).unwrap(), 3);
        assert_eq!(walk(&file, 1 << 30).unwrap(), 1);
    }
}
