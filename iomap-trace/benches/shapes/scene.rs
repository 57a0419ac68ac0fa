//! Where and when the next failure takes place, and what causes it.

use fastrand::Rng;
use iomap_trace::event::Dev;

use super::{Shape, Spec};

/// Bytes of a page.
pub const PAGE: u64 = 4096;
/// Bytes of a direct write.
pub const WRITE: u64 = 16 * PAGE;
/// The btrfs filesystem.
pub const BTRFS: Dev = Dev {
    major: 0,
    minor: 35,
};
/// The xfs filesystem.
pub const XFS: Dev = Dev {
    major: 254,
    minor: 32,
};
/// The ext4 filesystem.
pub const EXT4: Dev = Dev {
    major: 254,
    minor: 48,
};

/// Failures a second while there are any: what a busy machine shows.
pub const RATE: u64 = 5_000;
/// Inodes of [`Shape::ManyInodes`].
const INODES: u64 = 100_000;
/// Inodes of [`Shape::Mixed`], of which the first are by far the busiest.
const FILES: u64 = 200;
/// Ranges of [`Shape::DeepOverlap`] that everybody wants.
const QUEUES: u64 = 8;
/// Failures of a burst of [`Shape::Mixed`].
const BURST: u64 = 2_000;

/// What stands in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Another task holds the extent lock.
    Lock,
    /// An ordered extent is being completed.
    Ordered,
    /// Dirtied again.
    Dirty,
    /// The journal holds the buffer heads (ext4).
    Journal,
    /// Dirty after the write (xfs).
    Stale,
    /// btrfs finds the folio under the lock.
    Map,
}

/// One failure: all that is not in its records' details.
#[derive(Clone, Copy, Debug)]
pub struct Scene {
    /// When it is seen, nanoseconds since boot.
    pub ts_ns: u64,
    /// What stands in the way.
    pub cause: Cause,
    /// Filesystem and its type.
    pub dev: Dev,
    pub fs: &'static str,
    /// Inode number.
    pub ino: u64,
    /// First byte of the write.
    pub pos: u64,
    /// For how long the holder waits for the lock.
    pub waits_ns: u64,
    /// From when on the holder has the lock, before `ts_ns`, and until when, after it.
    pub held_before_ns: u64,
    pub held_after_ns: u64,
}

/// How long a holder is open, on average: what `RATE` of them a second needs for `open` at once.
pub fn open_for_ns(spec: &Spec) -> u64 {
    (spec.open.max(1) * 1_000_000_000 / RATE).max(100_000)
}

/// Time from one failure to the next, the `number`th.
pub fn pause_ns(spec: &Spec, number: u64, rng: &mut Rng) -> u64 {
    if spec.shape == Shape::Mixed && number % BURST == BURST - 1 {
        return rng.u64(30..600) * 1_000_000_000;
    }
    let mean = 1_000_000_000 / RATE;
    mean * 9 / 10 + rng.u64(0..mean / 5)
}

/// The `number`th failure.
pub fn scene(spec: &Spec, number: u64, ts_ns: u64, rng: &mut Rng) -> Scene {
    let cause = cause(spec.shape, rng);
    let (dev, fs) = match cause {
        Cause::Journal => (EXT4, "ext4"),
        Cause::Stale => (XFS, "xfs"),
        Cause::Dirty if spec.shape == Shape::Mixed && rng.bool() => (XFS, "xfs"),
        _ => (BTRFS, "btrfs"),
    };
    // A range comes again only when its last holder has long gone: locks exclude each other.
    let lanes = (2 * spec.open).max(16);
    let (ino, lane) = match spec.shape {
        Shape::ManyInodes => (1_000 + number * 7_919 % INODES, number % 16),
        Shape::HotInode => (257, number % lanes),
        Shape::DeepOverlap => (257, number % QUEUES),
        Shape::Mixed => {
            let even = rng.f64();
            (
                257 + (even * even * even * FILES as f64) as u64,
                number % lanes,
            )
        }
    };
    let open = open_for_ns(spec);
    let (waits_ns, held) = match spec.shape {
        // One after the other has the range, with a pause; each had waited.
        Shape::DeepOverlap => (
            open * 3 / 4 + rng.u64(0..open / 2),
            QUEUES * 1_000_000_000 / RATE / 2,
        ),
        _ => (0, open * 3 / 4 + rng.u64(0..open / 2)),
    };
    let held_before_ns = held / 4 + rng.u64(0..held / 2);
    Scene {
        ts_ns,
        cause,
        dev,
        fs,
        ino,
        pos: lane * WRITE,
        waits_ns,
        held_before_ns,
        held_after_ns: held - held_before_ns,
    }
}

fn cause(shape: Shape, rng: &mut Rng) -> Cause {
    let of_100 = rng.u8(0..100);
    match shape {
        Shape::Mixed => match of_100 {
            0..22 => Cause::Lock,
            22..40 => Cause::Ordered,
            40..80 => Cause::Dirty,
            80..88 => Cause::Journal,
            88..96 => Cause::Stale,
            _ => Cause::Map,
        },
        _ => match of_100 {
            0..40 => Cause::Lock,
            40..75 => Cause::Ordered,
            _ => Cause::Dirty,
        },
    }
}
