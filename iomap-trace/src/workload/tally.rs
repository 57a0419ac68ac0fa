//! What each thread did: operations, bytes, short writes and errors.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use serde::Serialize;

/// What a thread of the workload does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// `pwrite` on an O_DIRECT descriptor.
    DirectWriter,
    /// Stores through a shared mapping.
    MmapDirtier,
    /// `pwrite` through the page cache.
    BufferedWriter,
    /// `io_submit` on an O_DIRECT descriptor.
    AioWriter,
    /// io_uring writes on an O_DIRECT descriptor. This thread submits; the kernel may write from
    /// an `iou-wrk` thread of the same process.
    UringWriter,
    /// Calls fsync at an interval.
    Fsync,
    /// Asks for the file's extents with FIEMAP.
    Fiemap,
    /// `lseek` with SEEK_DATA and SEEK_HOLE.
    Seeker,
    /// `pread` through the page cache.
    BufferedReader,
    /// `pread` on an O_DIRECT descriptor.
    DirectReader,
    /// Clones the file, and ranges of it, into a second file.
    Cloner,
}

impl Role {
    /// The name in JSON and text.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DirectWriter => "direct-writer",
            Self::MmapDirtier => "mmap-dirtier",
            Self::BufferedWriter => "buffered-writer",
            Self::AioWriter => "aio-writer",
            Self::UringWriter => "uring-writer",
            Self::Fsync => "fsync",
            Self::Fiemap => "fiemap",
            Self::Seeker => "seeker",
            Self::BufferedReader => "buffered-reader",
            Self::DirectReader => "direct-reader",
            Self::Cloner => "cloner",
        }
    }
}

/// What one thread did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Thread id.
    pub tid: i32,
    /// What the thread does.
    pub role: Role,
    /// Operations that ended well, short ones among them: writes, reads, stores, calls of fsync,
    /// clones, or walks over the whole file with FIEMAP or lseek.
    pub ops: u64,
    /// Bytes written, read or cloned.
    pub bytes: u64,
    /// Writes and reads of less than was asked for.
    pub short: u64,
    /// Failed operations by errno name.
    pub errors: BTreeMap<String, u64>,
    /// The filesystem does not have the operation: the thread did nothing.
    pub unsupported: bool,
}

impl Tally {
    /// An empty tally of the calling thread.
    pub(super) fn new(role: Role) -> Self {
        Self {
            tid: rustix::thread::gettid().as_raw_nonzero().get(),
            role,
            ops: 0,
            bytes: 0,
            short: 0,
            errors: BTreeMap::new(),
            unsupported: false,
        }
    }

    /// Counts one write or read of `want` bytes. After an error it waits a little, so that a broken device
    /// does not make the thread spin.
    pub(super) fn count(&mut self, result: io::Result<usize>, want: usize) {
        match result {
            Ok(done) => {
                self.ops += 1;
                self.bytes += done as u64;
                self.short += u64::from(done < want);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                self.error(&error);
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    /// Counts one failed operation.
    pub(super) fn error(&mut self, error: &io::Error) {
        *self.errors.entry(errno_name(error)).or_default() += 1;
    }
}

/// The name of an error's errno (`EIO`), or `errno N` for one that file I/O does not give.
pub(crate) fn errno_name(error: &io::Error) -> String {
    let Some(errno) = error.raw_os_error() else {
        return error.kind().to_string();
    };
    let name = match errno {
        libc::EPERM => "EPERM",
        libc::ENOENT => "ENOENT",
        libc::EINTR => "EINTR",
        libc::EIO => "EIO",
        libc::EBADF => "EBADF",
        libc::EAGAIN => "EAGAIN",
        libc::ENOMEM => "ENOMEM",
        libc::EACCES => "EACCES",
        libc::EFAULT => "EFAULT",
        libc::EBUSY => "EBUSY",
        libc::ENODEV => "ENODEV",
        libc::EINVAL => "EINVAL",
        libc::EFBIG => "EFBIG",
        libc::ENOSPC => "ENOSPC",
        libc::EROFS => "EROFS",
        libc::ENOSYS => "ENOSYS",
        libc::EOPNOTSUPP => "EOPNOTSUPP",
        libc::ESTALE => "ESTALE",
        libc::EUCLEAN => "EUCLEAN",
        libc::EDQUOT => "EDQUOT",
        libc::ECANCELED => "ECANCELED",
        other => return format!("errno {other}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_short_writes_and_errors_by_name() {
        let mut tally = Tally::new(Role::DirectWriter);
        tally.count(Ok(512), 512);
        tally.count(Ok(100), 512);
        tally.count(Err(io::Error::from_raw_os_error(libc::EIO)), 512);
        tally.count(Err(io::Error::from_raw_os_error(libc::EINTR)), 512);
        tally.count(Err(io::Error::from_raw_os_error(4000)), 512);
        assert_eq!((tally.ops, tally.bytes, tally.short), (2, 612, 1));
        assert_eq!(
            serde_json::to_value(&tally.errors).unwrap(),
            serde_json::json!({"EIO": 1, "errno 4000": 1})
        );
        assert!(tally.tid > 0);
    }

    #[test]
    fn roles_have_one_name() {
        for role in [
            Role::DirectWriter,
            Role::MmapDirtier,
            Role::BufferedWriter,
            Role::AioWriter,
            Role::UringWriter,
            Role::Fsync,
            Role::Fiemap,
            Role::Seeker,
            Role::BufferedReader,
            Role::DirectReader,
            Role::Cloner,
        ] {
            assert_eq!(serde_json::to_value(role).unwrap(), role.name());
        }
    }
}
