//! The file under test: created for this run alone, written out in full, and gone at the end.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, anyhow};
use rustix::fs::{Advice, IFlags, OFlags};

use super::buffer::AlignedBuf;
use super::entry::{Entry, no_space};
use super::identity::{self, FileInfo};
use super::options::{Mode, Options, Range};
use super::rng::Rng;
use super::stamp;

/// Bytes per write while the file is filled.
const CHUNK: u64 = 1 << 20;

/// The file, open in the ways the threads need it. Dropping it removes it, unless it is kept.
#[derive(Debug)]
pub(crate) struct WorkFile {
    /// Opened with O_DIRECT.
    pub(crate) direct: File,
    /// For fsync alone: a descriptor reports each error once, so it has one of its own.
    pub(crate) sync: File,
    /// What a test needs to recognise it.
    pub(crate) info: FileInfo,
    /// On btrfs, and without checksums and copy-on-write.
    pub(super) nocow: bool,
    entry: Entry,
}

impl WorkFile {
    /// Creates the file, makes btrfs write it in place, and fills the working range on disk with
    /// nothing of it cached. `stop` ends the filling early.
    ///
    /// Fails where the name exists, the directory cannot be written to, there is not enough space,
    /// or the filesystem has no direct I/O; nothing is left behind then.
    pub(crate) fn create(options: &Options, stop: &AtomicBool) -> Result<Self> {
        let entry = Entry::create(options)?;
        let buffered = &entry.file;
        let fs = identity::filesystem(buffered).unwrap_or_else(|| "unknown".to_owned());
        let nocow = fs == "btrfs" && !options.cow;
        if nocow {
            set_nocow(buffered).with_context(
                || "cannot set NOCOW on the file (btrfs): use --cow to test it with checksums",
            )?;
        }
        let direct = entry.open(OFlags::RDWR | OFlags::DIRECT).map_err(|e| {
            anyhow!(
                "{} ({fs}) does not open files for direct I/O: {}; \
                 use --dir on ext4, xfs or btrfs",
                options.shown_dir(),
                io::Error::from(e)
            )
        })?;
        fill(&direct, options, stop)
            .map_err(|e| fill_error(&e, options))
            .and_then(|()| {
                buffered.sync_all().context("cannot write the file out")?;
                // What a direct write left to the page cache (no filesystem but btrfs with
                // checksums) goes too: the threads start with nothing cached.
                rustix::fs::fadvise(buffered, 0, None, Advice::DontNeed)
                    .context("cannot drop the file's page cache")
            })?;
        let sync = entry
            .open(OFlags::RDWR)
            .context("cannot open the file again")?;
        let info = FileInfo::of(buffered, &entry.path)?;
        Ok(Self {
            direct,
            sync,
            info,
            nocow,
            entry,
        })
    }

    /// The file, open for reading and writing through the page cache.
    pub(crate) const fn buffered(&self) -> &File {
        &self.entry.file
    }

    /// The file once more, with an offset and readahead of its own.
    pub(crate) fn open(&self, flags: OFlags) -> io::Result<File> {
        Ok(self.entry.open(flags)?)
    }

    /// A second, empty file beside it that vanishes with its descriptor, for reflinks: btrfs clones
    /// between files only if both or neither are NOCOW.
    pub(super) fn second(&self) -> io::Result<File> {
        let second: File = self.entry.nameless()?;
        if self.nocow {
            set_nocow(&second)?;
        }
        Ok(second)
    }
}

/// Sets FS_NOCOW_FL, which btrfs takes on an empty file only: writes go in place, without checksums.
fn set_nocow(file: &File) -> io::Result<()> {
    let flags = rustix::fs::ioctl_getflags(file)?;
    Ok(rustix::fs::ioctl_setflags(file, flags | IFlags::NOCOW)?)
}

/// Writes the whole range with O_DIRECT, so that later direct writes overwrite in place.
fn fill(direct: &File, options: &Options, stop: &AtomicBool) -> io::Result<()> {
    let range = options.range();
    // One block first, at an odd block: a block size the device refuses shows here and nowhere else.
    write_initial(direct, range.pos + range.block, range.block)?;
    let pieces = match options.mode {
        Mode::Lockers => scattered(range, &mut Rng::for_thread(options.seed, stamp::INITIAL)),
        _ => in_order(range),
    };
    for (pos, len) in pieces {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        write_initial(direct, pos, len)?;
    }
    Ok(())
}

/// The range in large pieces: offset and length of each, in bytes.
fn in_order(range: Range) -> Vec<(u64, u64)> {
    let step = (CHUNK / range.block).max(1) * range.block;
    let starts = (0..range.len).step_by(step as usize);
    starts
        .map(|start| (range.pos + start, step.min(range.len - start)))
        .collect()
}

/// The range in small pieces in random order: neighbours in the file then lie apart on the disk,
/// in extents of their own, and whoever walks the extents under a lock holds it longer.
fn scattered(range: Range, rng: &mut Rng) -> Vec<(u64, u64)> {
    let mut pieces: Vec<(u64, u64)> = (0..range.len)
        .step_by(range.block as usize)
        .map(|start| (range.pos + start, range.block))
        .collect();
    for last in (1..pieces.len()).rev() {
        pieces.swap(last, rng.below(last as u64 + 1) as usize);
    }
    pieces
}

fn write_initial(direct: &File, pos: u64, len: u64) -> io::Result<()> {
    let mut buf = AlignedBuf::new(len as usize);
    stamp::fill(&mut buf, stamp::INITIAL, 0, pos);
    direct.write_all_at(&buf, pos)
}

fn fill_error(error: &io::Error, options: &Options) -> anyhow::Error {
    let dir = options.shown_dir();
    match error.raw_os_error() {
        Some(libc::ENOSPC | libc::EDQUOT) => no_space(options),
        Some(libc::EINVAL) => anyhow!(
            "{dir} refuses direct writes of {} bytes: \
             --block must be a multiple of the device's sector",
            options.block
        ),
        Some(libc::EFBIG) => anyhow!(
            "a file in {dir} cannot hold {} bytes at {}: use a smaller --offset or --file-size",
            options.file_size,
            options.offset
        ),
        _ => anyhow!("cannot write the file in {dir}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Mode as RunMode;
    use std::fs;
    use std::path::Path;

    static RUN: AtomicBool = AtomicBool::new(false);

    fn options(dir: &Path) -> Options {
        let mut options = Options::new(RunMode::Mmap, dir);
        options.file_size = 256 << 10;
        options
    }

    #[test]
    fn an_existing_file_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let options = options(dir.path());
        let path = dir.path().join(&options.name);
        fs::write(&path, b"precious").unwrap();
        let error = WorkFile::create(&options, &RUN).unwrap_err();
        assert!(error.to_string().contains("exists"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }

    #[test]
    fn a_missing_directory_is_one_line() {
        let error = WorkFile::create(&options(Path::new("/nonexistent/x")), &RUN).unwrap_err();
        let line = format!("{error:#}");
        assert!(
            line.contains("/nonexistent/x") && !line.contains('\n'),
            "{line}"
        );
    }

    #[test]
    fn filled_with_stamps_where_direct_io_works() {
        let dir = tempfile::tempdir_in(".").unwrap();
        let mut options = options(dir.path());
        options.offset = 5 << 30;
        let file = match WorkFile::create(&options, &RUN) {
            Ok(file) => file,
            Err(error) => {
                // A filesystem without direct I/O: the clear line is all there is to test.
                assert!(format!("{error:#}").contains("direct"), "{error:#}");
                assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
                return;
            }
        };
        assert_eq!(file.info.size, options.offset + options.file_size);
        let mut sector = [0; stamp::SECTOR];
        let last = options.offset + options.file_size - stamp::SECTOR as u64;
        file.buffered().read_exact_at(&mut sector, last).unwrap();
        let stamp = stamp::Stamp::read(&sector).unwrap();
        assert_eq!((stamp.thread, stamp.pos), (stamp::INITIAL, last));
        drop(file);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
