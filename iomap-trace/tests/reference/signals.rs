//! System calls that fail as told, one at a time.

use crate::ground::{Ground, INITIAL, PAGE, Sheet, block, pattern};
use crate::mapped::Mapped;
use crate::strace::Strace;
use iomap_trace::reference::Policy;
use iomap_trace::reference::direct::{Errno, Route, Step, WriteOutcome};

const LEN: usize = 4 * PAGE;
const POS: usize = 64 << 10;

/// One write while `faults` are injected, with a page of the range mapped where `mapped`; `None`
/// where strace cannot be used.
fn write(
    sheet: &Sheet,
    policy: Policy,
    mapped: bool,
    faults: &[&str],
    injected: usize,
) -> Option<WriteOutcome> {
    let page = mapped.then(|| Mapped::new(&sheet.buffered, POS));
    if let Some(page) = &page {
        page.store(0);
    }
    let file = sheet.open(policy);
    let data = block(7, LEN);
    let strace = Strace::inject(faults)?;
    let out = file.write_at(&data, POS as u64);
    assert_eq!(strace.finish(), injected, "{faults:?}");
    Some(out)
}

#[test]
#[ignore = "needs root and strace: cargo xtask test --only direct"]
fn every_step_goes_on_after_a_signal() {
    Ground::each(|ground| {
        for (mapped, route) in [(false, Route::Direct), (true, Route::Buffered)] {
            let sheet = Sheet::on(ground);
            let faults = [
                "pwrite64:error=EINTR:when=1..3",
                "sync_file_range:error=EINTR:when=2",
                "fadvise64:error=EINTR:when=1..2",
            ];
            let Some(out) = write(&sheet, Policy::Generic, mapped, &faults, 6) else {
                return;
            };
            assert_eq!((out.result, out.route), (Ok(LEN), route));
            assert_eq!(out.interrupted, 6);
            assert!(out.steps.iter().all(|step| step.error.is_none()));
            sheet.drop_pages();
            assert!(sheet.on_disk(POS, LEN) == pattern(7, LEN));
        }
    });
}

#[test]
#[ignore = "needs root and strace: cargo xtask test --only direct"]
fn a_flush_that_fails_is_told_and_nothing_is_acknowledged() {
    Ground::each(|ground| {
        for policy in Policy::ALL {
            // Before the write.
            let sheet = Sheet::on(ground);
            let fault = ["sync_file_range:error=EIO:when=2"];
            let Some(out) = write(&sheet, policy, true, &fault, 1) else {
                return;
            };
            assert_eq!(out.error(Step::Flush), Some(Errno::IO));
            if policy == Policy::Enotblk {
                assert_eq!((out.result, out.route), (Ok(LEN), Route::Buffered));
                assert!(sheet.on_disk(POS, LEN) == pattern(7, LEN));
            } else {
                assert_eq!((out.result, out.route), (Err(Errno::IO), Route::None));
            }
        }
        // Behind a buffered write: it may be on disk or not, and so it is not acknowledged.
        let sheet = Sheet::on(ground);
        let fault = ["sync_file_range:error=EIO:when=4"];
        let Some(out) = write(&sheet, Policy::Generic, true, &fault, 1) else {
            return;
        };
        assert_eq!((out.result, out.route), (Err(Errno::IO), Route::None));
        assert_eq!(out.error(Step::SecondFlush), Some(Errno::IO));
    });
}

#[test]
#[ignore = "needs root and strace: cargo xtask test --only direct"]
fn an_error_of_the_write_is_the_write_s() {
    Ground::each(|ground| {
        for (errno, name) in [(libc::EIO, "EIO"), (libc::ENOSPC, "ENOSPC")] {
            for (mapped, step) in [(false, Step::DirectWrite), (true, Step::BufferedWrite)] {
                let sheet = Sheet::on(ground);
                let fault = format!("pwrite64:error={name}:when=1");
                let Some(out) = write(&sheet, Policy::Fallback, mapped, &[&fault], 1) else {
                    return;
                };
                let errno = Errno::new(errno);
                assert_eq!((out.result, out.route), (Err(errno), Route::None));
                assert_eq!(out.error(step), Some(errno));
                assert!(sheet.on_disk(POS + PAGE, LEN) == INITIAL[POS + PAGE..][..LEN]);
            }
        }
    });
}

/// The write is done, but its system call does not return for a while: time for another thread to
/// make a page of the range dirty.
#[test]
#[ignore = "needs root and strace: cargo xtask test --only direct"]
fn a_page_that_comes_back_dirty_is_stale_and_makes_sync_fail() {
    Ground::each(|ground| {
        for policy in Policy::ALL {
            let sheet = Sheet::on(ground);
            let page = Mapped::new(&sheet.buffered, POS + PAGE);
            let file = sheet.open(policy);
            let data = block(8, LEN);
            // Mapped, but not there yet.
            page.unmap();
            sheet.drop_pages();
            let Some(strace) = Strace::inject(&["pwrite64:delay_exit=1000000:when=1"]) else {
                return;
            };
            let out = std::thread::scope(|scope| {
                scope.spawn(|| {
                    std::thread::sleep(std::time::Duration::from_millis(500));
                    page.store(9);
                });
                file.write_at(&data, POS as u64)
            });
            strace.finish();
            assert_eq!((out.result, out.route), (Ok(LEN), Route::Direct));
            assert_eq!((out.stale_pages, out.warnings), (1, 1), "{out:?}");
            assert_eq!(out.stale.len(), 1);
            assert_eq!(out.stale[0].pos, (POS + PAGE) as u64);
            assert_eq!(file.sync(), Err(Errno::IO));
            assert_eq!(file.sync(), Ok(()));
        }
    });
}
