//! A device that fails.

use crate::ground::{PAGE, SIZE, Sheet, block, pattern, read_direct};
use crate::harness::{Fs, Mounted, tool};
use crate::mapped::Mapped;
use crate::zram::Zram;
use iomap_trace::reference::Policy;
use iomap_trace::reference::direct::{Errno, Route, Step, StepDone};
use std::os::unix::fs::FileExt;
use tempfile::TempDir;

const DISK: u64 = 512 << 20;
const LEN: usize = 4 * PAGE;

/// How each filesystem is made and mounted so that none of its own writes falls into the moment in
/// which the device fails: a journal that cannot be written ends a filesystem.
const fn quiet(fs: Fs) -> (&'static str, &'static [&'static str], &'static str) {
    match fs {
        Fs::Ext4 => ("mkfs.ext4", &["-q", "-F"], "commit=300,errors=continue"),
        Fs::Xfs => ("mkfs.xfs", &["-q", "-f"], "defaults"),
        Fs::Btrfs => (
            "mkfs.btrfs",
            &["-q", "-f", "-d", "single", "-m", "single"],
            "commit=300",
        ),
    }
}

/// Gives the filesystem's name, a mount of it on a failing device, and a file there.
fn each(test: impl Fn(Fs, &Zram, &Sheet)) {
    for fs in [Fs::Ext4, Fs::Xfs, Fs::Btrfs] {
        let Some(zram) = Zram::new(DISK) else {
            return;
        };
        let (program, quiet, options) = quiet(fs);
        let device = zram.path();
        let mut args: Vec<crate::harness::Arg<'_>> = Vec::new();
        for option in quiet {
            args.push(option);
        }
        args.push(&device);
        tool(program, &args);
        let at = TempDir::with_prefix("iomap-trace-reference-").unwrap();
        let mounted = Mounted::new(at.path(), &["-o", options], &device);
        let sheet = Sheet::new(at.path(), fs == Fs::Btrfs);
        test(fs, &zram, &sheet);
        // Before what they are on.
        drop(sheet);
        drop(mounted);
    }
}

#[test]
#[ignore = "needs root and zram: cargo xtask test --only direct"]
fn eio_of_a_direct_write_reaches_the_caller() {
    each(|fs, zram, sheet| {
        for policy in Policy::ALL {
            let file = sheet.open(policy);
            zram.fail(true);
            let out = file.write_at(&block(21, LEN), 0);
            zram.fail(false);
            eprintln!("{fs:?} {policy:?}: {:?}", out.result);
            assert_eq!((out.result, out.route), (Err(Errno::IO), Route::None));
            assert_eq!(out.error(Step::DirectWrite), Some(Errno::IO));
            // It heals, and nothing is left of it.
            let out = file.write_at(&block(22, LEN), 0);
            assert_eq!((out.result, out.route), (Ok(LEN), Route::Direct));
            assert!(sheet.on_disk(0, LEN) == pattern(22, LEN));
        }
    });
}

#[test]
#[ignore = "needs root and zram: cargo xtask test --only direct"]
fn eio_of_a_buffered_write_is_found_by_its_flush() {
    each(|fs, zram, sheet| {
        for policy in [Policy::Generic, Policy::Fallback, Policy::Enotblk] {
            let file = sheet.open(policy);
            // Clean, so that the flush before the write has nothing to do.
            let page = Mapped::new(&sheet.buffered, PAGE);
            zram.fail(true);
            let out = file.write_at(&block(23, LEN), 0);
            zram.fail(false);
            drop(page);
            eprintln!("{fs:?} {policy:?}: {:?}", out.result);
            assert_eq!((out.result, out.route), (Err(Errno::IO), Route::None));
            assert_eq!(out.error(Step::SecondFlush), Some(Errno::IO));
            assert_eq!(file.sync(), Err(Errno::IO), "sync tells of it too");
            assert_eq!(file.sync(), Ok(()));
            let out = file.write_at(&block(24, LEN), 0);
            assert_eq!(out.result, Ok(LEN));
            assert!(sheet.on_disk(0, LEN) == pattern(24, LEN));
        }
    });
}

#[test]
#[ignore = "needs root and zram: cargo xtask test --only direct"]
fn eio_of_the_flush_before_is_told_as_that_step() {
    each(|fs, zram, sheet| {
        for policy in Policy::ALL {
            let file = sheet.open(policy);
            let dirty = pattern(25, LEN);
            sheet.buffered.write_all_at(&dirty, 0).unwrap();
            zram.fail(true);
            let out = file.write_at(&block(26, LEN), 0);
            zram.fail(false);
            eprintln!("{fs:?} {policy:?}: {:?}", out.result);
            assert_eq!(out.error(Step::Flush), Some(Errno::IO));
            assert_eq!((out.result, out.route), (Err(Errno::IO), Route::None));
            assert_eq!(file.sync(), Err(Errno::IO));
            sheet.drop_pages();
        }
    });
}

/// Threads that write at the same time, some buffered, some directly where the kernel may fall back
/// itself, while the device comes and goes: an error that one of them is told must not hide that of
/// another. The file is as it was at first for each policy, so that a write that is missing shows.
#[test]
#[ignore = "needs root and zram: cargo xtask test --only direct"]
fn nothing_acknowledged_is_lost_while_the_device_comes_and_goes() {
    each(|fs, zram, sheet| {
        for policy in [Policy::Generic, Policy::Warn, Policy::Fallback] {
            sheet.reset();
            let file = sheet.open(policy);
            let (told, acknowledged) = std::thread::scope(|scope| {
                let writers: Vec<_> = (0..4_usize)
                    .map(|thread| {
                        let file = &file;
                        scope.spawn(move || writes(file, sheet, thread))
                    })
                    .collect();
                for _ in 0..20 {
                    zram.fail(true);
                    crate::harness::sleep_ms(3);
                    zram.fail(false);
                    crate::harness::sleep_ms(10);
                }
                let ends: Vec<_> = writers.into_iter().map(|w| w.join().unwrap()).collect();
                let errors: usize = ends.iter().map(|end| end.0).sum();
                let kept: Vec<_> = ends.into_iter().flat_map(|end| end.1).collect();
                (errors, kept)
            });
            eprintln!(
                "{fs:?} {policy:?}: {told} errors, {} kept",
                acknowledged.len()
            );
            sheet.drop_pages();
            let disk = read_direct(&sheet.path, 0, SIZE);
            for (pos, writer, steps) in acknowledged {
                let there = &disk[pos..pos + LEN];
                let untouched = there == pattern(0, LEN);
                assert!(
                    there == pattern(writer, LEN),
                    "lost at {pos}, as it was before: {untouched}, steps: {steps:?}"
                );
            }
        }
    });
}

/// Writes blocks of its own, each once; gives the number of errors, and where which write was
/// acknowledged after which steps.
fn writes(
    file: &iomap_trace::reference::direct::DirectFile,
    sheet: &Sheet,
    thread: usize,
) -> (usize, Vec<(usize, u64, Vec<StepDone>)>) {
    let (mut errors, mut kept) = (0, Vec::new());
    let range = SIZE / 4;
    for number in 0..range / LEN {
        let pos = thread * range + number * LEN;
        // Every other one with a page in the way.
        let page = (number % 2 == 0).then(|| Mapped::new(&sheet.buffered, pos));
        let writer = 100 + pos as u64;
        let out = file.write_at(&block(writer, LEN), pos as u64);
        match out.result {
            Ok(bytes) => {
                assert_eq!(bytes, LEN);
                kept.push((pos, writer, out.steps));
            }
            Err(errno) => {
                assert_eq!(errno, Errno::IO);
                errors += 1;
            }
        }
        drop(page);
    }
    (errors, kept)
}
