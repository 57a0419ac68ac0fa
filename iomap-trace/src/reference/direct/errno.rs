//! An error number, as the kernel returns it.

use serde::{Serialize, Serializer};
use std::fmt;
use std::io;

/// A negative error number (`-28` is ENOSPC), serialised as that number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Errno(i32);

impl Errno {
    /// EBUSY: what `invalidate_inode_pages2_range()` returns when a folio stays.
    pub const BUSY: Self = Self(-libc::EBUSY);
    /// EINTR: a signal came before anything was done.
    pub const INTR: Self = Self(-libc::EINTR);
    /// EINVAL: an argument that is not aligned.
    pub const INVAL: Self = Self(-libc::EINVAL);
    /// EIO: the device failed, or the page cache may be stale.
    pub const IO: Self = Self(-libc::EIO);

    /// From an error number of either sign.
    pub const fn new(errno: i32) -> Self {
        if errno > 0 { Self(-errno) } else { Self(errno) }
    }

    /// The negative number.
    pub const fn raw(self) -> i32 {
        self.0
    }

    /// The name, such as `ENOSPC`, or `errno N` for one that file I/O does not give.
    pub fn name(self) -> String {
        crate::workload::tally::errno_name(&self.into())
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl std::error::Error for Errno {}

impl From<rustix::io::Errno> for Errno {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::new(errno.raw_os_error())
    }
}

impl From<Errno> for io::Error {
    fn from(errno: Errno) -> Self {
        Self::from_raw_os_error(-errno.0)
    }
}

impl Serialize for Errno {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i32(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_negative_and_has_a_name() {
        assert_eq!(Errno::new(libc::ENOSPC), Errno::new(-libc::ENOSPC));
        assert_eq!(Errno::new(libc::ENOSPC).raw(), -28);
        assert_eq!(Errno::new(libc::ENOSPC).to_string(), "ENOSPC");
        assert_eq!(serde_json::to_string(&Errno::IO).unwrap(), "-5");
        assert_eq!(Errno::from(rustix::io::Errno::BUSY), Errno::BUSY);
    }
}
