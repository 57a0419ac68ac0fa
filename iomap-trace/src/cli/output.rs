//! Text for whoever reads it.

use std::io::{self, ErrorKind, Write};

/// Writes all of `text`. A reader who has gone has seen enough: there is nobody left to tell.
pub(super) fn write_all(mut out: impl Write, text: &[u8]) -> io::Result<()> {
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
