//! Random schedules, with and without concurrency.

use crate::harness::{Fs, Image, skip};
use iomap_trace::reference::compare::{Column, Comparison, Mix, Place, Schedule, minimal};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

static GO_ON: AtomicBool = AtomicBool::new(false);

/// A column that takes longer has met a device that is far too slow.
const TIME: Duration = Duration::from_secs(20);

fn number(name: &str, default: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.map_or(default, |n| n.parse().expect("it is a number"))
}

/// The mix of a seed: few or many threads, small files where all meet and larger ones, one third of
/// them without concurrency.
fn mix(seed: u64) -> Mix {
    let mut rng = fastrand::Rng::with_seed(seed);
    let block = 4096;
    Mix {
        threads: [
            rng.u32(1..=3),
            rng.u32(0..=2),
            rng.u32(0..=2),
            rng.u32(0..=1),
            rng.u32(0..=1),
        ],
        ops: rng.u32(10..=60),
        rounds: 1,
        file_size: block * rng.u64(8..=256),
        block,
        blocks: rng.u64(1..=16),
        fsync: rng.u64(0..=30),
        pause: rng.u64(2..=40),
        pause_us: rng.u64(1..=1000),
        serial: seed.is_multiple_of(3),
        cow: seed.is_multiple_of(5),
    }
}

/// Runs the schedules of a filesystem, all columns of each, untraced.
fn random(fs: Fs) {
    // SAFETY: takes and changes nothing.
    if unsafe { libc::geteuid() } != 0 {
        return skip("needs root, to mount a filesystem");
    }
    let image = Image::new(fs);
    let place = Place {
        dir: image.mnt(),
        time: Some(TIME),
    };
    let first = number("COMPARE_SEED", 1);
    let mut direct = 0;
    for seed in first..first + number("COMPARE_SCHEDULES", 20) {
        let schedule = mix(seed).schedule(seed).unwrap();
        let run = Comparison::run(&schedule, &Column::all(), &place, None, &GO_ON, &mut |_| {});
        let comparison = run.unwrap_or_else(|why| panic!("{fs:?}, seed {seed}: {why:#}"));
        let writes = comparison.columns.iter().map(|c| c.direct.writes);
        direct += writes.sum::<u64>();
        if !comparison.holds() {
            fail(fs, &schedule, &comparison, &place);
        }
    }
    assert!(direct > 0, "nothing was written");
}

/// Keeps what failed, as small as it gets.
fn fail(fs: Fs, schedule: &Schedule, comparison: &Comparison, place: &Place) -> ! {
    let text = iomap_trace::report::compare_text(comparison, 80);
    let seed = schedule.seed;
    let file = std::env::temp_dir().join(format!("iomap-trace-compare-{fs:?}-{seed}.json"));
    let least = match comparison.first_violation() {
        Some((column, violation)) => minimal(schedule, column, violation.broken, place, &GO_ON),
        None => schedule.clone(),
    };
    least.save(&file).unwrap();
    panic!("{fs:?}, seed {seed}, kept in {}:\n{text}", file.display());
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn random_schedules_on_ext4() {
    random(Fs::Ext4);
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn random_schedules_on_xfs() {
    random(Fs::Xfs);
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn random_schedules_on_btrfs() {
    random(Fs::Btrfs);
}
