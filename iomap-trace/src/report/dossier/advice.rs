//! What the user can do now, by cause.

use serde::Serialize;

use super::kinds::Kind;
use crate::correlate::Cause;
use crate::event::{How, OutcomeKind, Phase};

/// What can be done about failures of one cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Advice {
    /// Cause.
    pub cause: Option<Cause>,
    /// Outcome, where it is about all failures with that.
    pub outcome: Option<OutcomeKind>,
    /// How many failures it is about.
    pub failures: u64,
    /// What to do.
    pub text: String,
}

/// What to do about `kinds`, the harmful ones first.
pub fn advice(kinds: &[Kind]) -> Vec<Advice> {
    let mut advice = Vec::new();
    let sum = |wanted: &dyn Fn(&Kind) -> bool| -> u64 {
        kinds
            .iter()
            .filter(|kind| wanted(kind))
            .map(|kind| kind.failures)
            .sum()
    };
    let stale = sum(&|kind| kind.phase == Phase::Post);
    if stale > 0 {
        advice.push(Advice {
            cause: None,
            outcome: Some(OutcomeKind::StaleCache),
            failures: stale,
            text: STALE.to_owned(),
        });
    }
    let fell_back = kinds
        .iter()
        .filter_map(|kind| kind.outcomes.get(&OutcomeKind::BufferedFallback));
    let fell_back: u64 = fell_back.sum();
    if fell_back > 0 {
        advice.push(Advice {
            cause: None,
            outcome: Some(OutcomeKind::BufferedFallback),
            failures: fell_back,
            text: FELL_BACK.to_owned(),
        });
    }
    let mut causes: Vec<Cause> = kinds.iter().map(|kind| kind.cause).collect();
    causes.sort_unstable();
    causes.dedup();
    for cause in causes {
        let of_cause: Vec<&Kind> = kinds.iter().filter(|kind| kind.cause == cause).collect();
        advice.push(Advice {
            cause: Some(cause),
            outcome: None,
            failures: of_cause.iter().map(|kind| kind.failures).sum(),
            text: about(cause, &of_cause),
        });
    }
    advice
}

const STALE: &str = "The data of these writes is on disk, but the page cache may hold something \
    older, or something newer that will overwrite it. Until the cached pages are gone, read these \
    files with O_DIRECT only. To drop the cached pages: stop the other party, `sync`, then \
    `posix_fadvise(POSIX_FADV_DONTNEED)` on the file (or `echo 1 > /proc/sys/vm/drop_caches`). The \
    next fsync returns EIO once: the kernel's mark for this collision, not an I/O error of the \
    device. Compare the data (a direct read against a buffered one) before you take either for good.";

const FELL_BACK: &str = "These writes are complete and consistent: they went through the page cache. \
    What is lost is directness (latency, double caching), and on filesystems that do not flush \
    behind the fallback (xfs) the data is not on the device before the next fsync.";

fn about(cause: Cause, kinds: &[&Kind]) -> String {
    let failures: u64 = kinds.iter().map(|kind| kind.failures).sum();
    let own: u64 = kinds.iter().map(|kind| kind.self_inflicted).sum();
    let by = |how| {
        kinds
            .iter()
            .filter_map(|kind| kind.how.get(&how))
            .sum::<u64>()
    };
    match cause {
        Cause::OrderedIo => {
            let who = if own == failures && own > 0 {
                "Every one followed a flush that the direct write itself had forced: somebody had \
                 left dirty pages in its range. "
            } else if own > 0 {
                "Most often the direct write's own flush makes the ordered extent that then stands \
                 in its way: somebody had left dirty pages in its range. "
            } else {
                ""
            };
            format!(
                "{who}A kernel from 6.15 on releases such folios. Until then: do not write these \
                 files buffered or through mappings beside direct I/O; where that cannot be helped, \
                 let the buffered writer fsync and drop its pages (POSIX_FADV_DONTNEED) before the \
                 direct writer comes."
            )
        }
        Cause::ExtentLock => "The other party looked at the file's extents (FIEMAP as of filefrag, \
            cp or backup programs, SEEK_DATA/SEEK_HOLE, reads, another direct write that was being \
            mapped): the pairs above name it. Keep such scans away from files under direct I/O, or \
            run them when it rests. A change of the kernel helps for reads only (6.12)."
            .to_owned(),
        Cause::Redirtied => {
            let (mapped, buffered) = (by(How::Mmap), by(How::Buffered));
            let who = match (mapped > 0, buffered > 0) {
                (true, false) => "A process stores into a shared mapping of the range",
                (false, true) => "A process writes the range buffered",
                _ => "A process dirties the range through the page cache",
            };
            format!(
                "{who} while it is written direct. No kernel makes that safe: one of the two has to \
                 stop. Let the other party use O_DIRECT as well, or let both go through the page \
                 cache (msync or fsync for durability), or give each its own range, aligned to \
                 pages."
            )
        }
        Cause::Reappeared => "A buffered read, readahead or write brought the page back between the \
            invalidation and the moment at which btrfs mapped the range. Let the reader use O_DIRECT \
            as well (netdata did that), or switch its readahead off (POSIX_FADV_RANDOM)."
            .to_owned(),
        Cause::Writeback => "The folio was being written again. Stop the other buffered writer, or \
            let it use O_DIRECT."
            .to_owned(),
        Cause::Journal => "The journal still held the folio's buffers: data=journal, or a file whose \
            data is journalled (chattr +j). Use data=ordered for files under direct I/O."
            .to_owned(),
        Cause::Buffers => "A buffer head of the folio was busy: a block size below the page size, or a \
            read of the block device itself beside the mounted filesystem. Stop the latter."
            .to_owned(),
        Cause::Launder => "The filesystem could not write the folio back during the invalidation: look \
            for errors of that filesystem (its server, for FUSE and NFS) in the kernel's log."
            .to_owned(),
        Cause::WritebackError => "Nothing collided: the flush before the write failed. Look for I/O \
            errors and a full device in the kernel's log. Where several threads write the file, the \
            error of a write that then went through the page cache can be told to another of them, \
            and a write that was acknowledged be lost (seen on btrfs, 6.18): call fsync, and take \
            its error for that of every write since the last one."
            .to_owned(),
        Cause::Unknown => "The reason of each is in the timeline and in the section on what was not \
            visible. A run with better probes (`iomap-trace doctor` says what this kernel offers), \
            with `--stacks`, or a longer one can say more."
            .to_owned(),
    }
}
