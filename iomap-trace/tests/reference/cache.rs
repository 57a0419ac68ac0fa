//! Every policy against every state of the page cache.

use crate::ground::{Ground, INITIAL, PAGE, SIZE, Sheet, block, pattern};
use crate::mapped::Mapped;
use iomap_trace::reference::Policy;
use iomap_trace::reference::direct::{Errno, Flush, Look, Looker, Route, Step, WriteOutcome};
use std::os::unix::fs::FileExt;

/// A write of four pages.
const LEN: usize = 4 * PAGE;
const POS: usize = 256 << 10;

/// Writes, and checks all that must hold whatever the page cache did; gives what to look at.
fn write(sheet: &Sheet, policy: Policy, writer: u64) -> WriteOutcome {
    let file = sheet.open(policy);
    let data = block(writer, LEN);
    let out = file.write_at(&data, POS as u64);
    eprintln!("{policy:?}: {}", serde_json::to_string(&out).unwrap());
    let disk = sheet.on_disk(0, SIZE);
    assert!(disk[POS + LEN..] == INITIAL[POS + LEN..]);
    assert!(disk[..POS] == INITIAL[..POS]);
    match out.result {
        Ok(bytes) => {
            assert_eq!(bytes, LEN);
            assert!(disk[POS..POS + LEN] == data[..], "acknowledged, and lost");
        }
        Err(errno) => {
            assert_eq!((policy, errno), (Policy::Strict, Errno::BUSY));
            assert!(disk[POS..POS + LEN] != data[..]);
        }
    }
    let stayed = out.pre.cached() > 0;
    let route = match policy {
        _ if !stayed => Route::Direct,
        Policy::Warn => Route::Direct,
        Policy::Strict => Route::None,
        Policy::Generic | Policy::Fallback | Policy::Enotblk => Route::Buffered,
    };
    assert_eq!(out.route, route);
    let warned = u32::from(stayed && policy == Policy::Warn) + u32::from(out.stale_pages > 0);
    assert_eq!(out.warnings, warned);
    assert_eq!(
        file.sync(),
        if warned > 0 { Err(Errno::IO) } else { Ok(()) }
    );
    assert_eq!(file.sync(), Ok(()), "an error is told once");
    assert!(out.steps.iter().all(|step| step.error.is_none()));
    out
}

fn every_policy(prepare: impl Fn(&Sheet), check: impl Fn(&Sheet, Policy, &WriteOutcome)) {
    Ground::each(|ground| {
        for policy in Policy::ALL {
            let sheet = Sheet::on(ground);
            prepare(&sheet);
            let out = write(&sheet, policy, 1);
            check(&sheet, policy, &out);
        }
    });
}

fn is_direct(_: &Sheet, _: Policy, out: &WriteOutcome) {
    assert_eq!(out.route, Route::Direct);
    assert_eq!((out.pre.cached(), out.post.cached()), (0, 0));
}

#[test]
#[ignore = "needs root and loop devices: cargo xtask test --only direct"]
fn nothing_cached() {
    every_policy(|_| (), is_direct);
}

#[test]
#[ignore = "needs root and loop devices: cargo xtask test --only direct"]
fn clean_pages_are_dropped() {
    every_policy(
        |sheet| {
            sheet.cached(POS, LEN);
        },
        is_direct,
    );
}

/// Of large folios where the filesystem makes them, which the range is in the middle of.
#[test]
#[ignore = "needs root and loop devices: cargo xtask test --only direct"]
fn clean_pages_of_large_folios_are_dropped() {
    every_policy(
        |sheet| {
            sheet.buffered.write_all_at(&INITIAL, 0).unwrap();
            sheet.buffered.sync_all().unwrap();
        },
        |sheet, policy, out| {
            is_direct(sheet, policy, out);
            let drops = out.steps.iter().filter(|done| done.step == Step::Drop);
            eprintln!("dropped {} times", drops.count());
        },
    );
}

/// Older kernels' btrfs may still have an ordered extent there: the page stays then, and each policy
/// has its answer.
#[test]
#[ignore = "needs root and loop devices: cargo xtask test --only direct"]
fn dirty_pages_are_written_back_first() {
    every_policy(
        |sheet| {
            let around = POS - PAGE..POS + LEN + PAGE;
            let same = &INITIAL[around.clone()];
            sheet
                .buffered
                .write_all_at(same, around.start as u64)
                .unwrap();
        },
        |_, _, out| {
            if let Look::Found(pages) = out.pre {
                assert_ne!(pages.dirty, Some(1));
            }
        },
    );
}

#[test]
#[ignore = "needs root and loop devices: cargo xtask test --only direct"]
fn a_mapped_page_stays() {
    Ground::each(|ground| {
        for policy in Policy::ALL {
            let sheet = Sheet::on(ground);
            let mapped = Mapped::new(&sheet.buffered, POS + PAGE);
            // As it is already, only dirty.
            let here = sheet.cached(POS + PAGE, 8);
            mapped.store(u64::from_ne_bytes(here.try_into().unwrap()));
            let out = write(&sheet, policy, 2);
            // Readahead may have brought its neighbours, but these are dropped.
            assert_eq!(out.pre.cached(), 1, "{policy:?}");
            if out.result.is_ok() {
                assert!(sheet.cached(POS, LEN) == pattern(2, LEN), "{policy:?}");
            }
        }
    });
}

#[test]
#[ignore = "needs root and loop devices: cargo xtask test --only direct"]
fn looks_and_flushes_of_older_kernels_do_the_same() {
    Ground::each(|ground| {
        let sheet = Sheet::on(ground);
        let mapped = Mapped::new(&sheet.buffered, POS);
        for (writer, flush) in [(3, Flush::Range), (4, Flush::DataSync)] {
            mapped.store(writer);
            let file = sheet.open(Policy::Generic).with_flush(flush);
            let file = file.with_looker(Looker::Mincore);
            let out = file.write_at(&block(writer, LEN), POS as u64);
            assert_eq!((out.result, out.route), (Ok(LEN), Route::Buffered));
            let Look::Found(pages) = out.pre else {
                panic!("no look: {:?}", out.pre);
            };
            assert_eq!((pages.cached, pages.dirty), (1, None));
            assert!(sheet.on_disk(POS, LEN) == pattern(writer, LEN));
        }
    });
}

#[test]
#[ignore = "needs root and loop devices: cargo xtask test --only direct"]
fn what_is_not_aligned_is_refused() {
    Ground::each(|ground| {
        let sheet = Sheet::on(ground);
        let file = sheet.open(Policy::Strict);
        eprintln!("{:?}, {:?}", file.alignment(), file.looker());
        let data = block(5, LEN);
        for (skip, len, pos) in [(1, PAGE, 0), (0, 100, 0), (0, PAGE, 100)] {
            let out = file.write_at(&data[skip..skip + len], pos);
            assert_eq!(out.result, Err(Errno::INVAL));
            assert_eq!(out.route, Route::None);
            assert!(out.steps.is_empty());
        }
        assert_eq!(file.write_at(&[], 7 * 4096).result, Ok(0));
        // The smallest that is told to be aligned enough is taken.
        let unit = usize::try_from(file.alignment().offset).unwrap();
        let out = file.write_at(&data[..unit], unit as u64);
        assert_eq!(out.result, Ok(unit));
        assert!(sheet.on_disk(0, 2 * PAGE)[unit..unit * 2] == data[..unit]);
    });
}

#[test]
#[ignore = "needs root and loop devices: cargo xtask test --only direct"]
fn a_file_grows() {
    Ground::each(|ground| {
        for policy in Policy::ALL {
            let sheet = Sheet::on(ground);
            let file = sheet.open(policy);
            let out = file.write_at(&block(6, LEN), (SIZE + LEN) as u64);
            assert_eq!((out.result, out.route), (Ok(LEN), Route::Direct));
            assert_eq!(file.sync(), Ok(()));
            assert!(sheet.on_disk(SIZE, LEN) == vec![0; LEN]);
            assert!(sheet.on_disk(SIZE + LEN, LEN) == pattern(6, LEN));
        }
    });
}
