use super::super::align::Source;
use super::*;
use std::cell::RefCell;
use std::collections::VecDeque;

const PAGE: u64 = 4096;
const LARGE: u64 = 2 << 20;
const NOSPC: Errno = Errno::new(libc::ENOSPC);

type Results<T> = RefCell<VecDeque<Result<T, Errno>>>;

/// A file that does as told: each call takes the next result, and succeeds when none is left.
#[derive(Default)]
struct Told {
    flush: Results<()>,
    drop: Results<()>,
    look: Results<u64>,
    direct: Results<usize>,
    own: Results<()>,
    disturbed: RefCell<VecDeque<bool>>,
    buffered: Results<usize>,
    second: Results<()>,
    /// Of the checks after a direct write.
    check: Results<()>,
    calls: RefCell<Vec<(&'static str, Span)>>,
}

impl Told {
    fn next<T>(
        &self,
        results: &Results<T>,
        name: &'static str,
        span: Span,
    ) -> Option<Result<T, Errno>> {
        self.calls.borrow_mut().push((name, span));
        results.borrow_mut().pop_front()
    }

    fn names(&self) -> Vec<&'static str> {
        self.calls.borrow().iter().map(|(name, _)| *name).collect()
    }

    /// How often this call was made.
    fn times(&self, name: &str) -> usize {
        self.names().into_iter().filter(|n| *n == name).count()
    }
}

fn told<T, const N: usize>(results: [Result<T, Errno>; N]) -> Results<T> {
    RefCell::new(results.into())
}

const fn of(buf: &[u8], pos: u64) -> Span {
    Span {
        pos,
        len: buf.len() as u64,
    }
}

impl Backing for Told {
    type Own = RefCell<bool>;

    fn own(&self) -> Result<Self::Own, Errno> {
        let next = self.own.borrow_mut().pop_front().unwrap_or(Ok(()));
        next.map(|()| RefCell::new(false))
    }
    fn give_back(&self, _: Self::Own) {}
    fn writeback_error(&self, _: &Self::Own) -> Result<(), Errno> {
        // Before the first direct write errors are only forgotten.
        if self.times("direct") == 0 {
            return Ok(());
        }
        self.check.borrow_mut().pop_front().unwrap_or(Ok(()))
    }
    fn moment(&self) -> Moment {
        Moment(0)
    }
    fn is_disturbed(&self, _: Moment) -> bool {
        self.disturbed.borrow_mut().pop_front().unwrap_or(false)
    }
    /// The first flush, or after a buffered write the second.
    fn flush(&self, written: &Self::Own, span: Span) -> Result<(), Errno> {
        let next = if *written.borrow() {
            self.next(&self.second, "second", span)
        } else {
            self.next(&self.flush, "flush", span)
        };
        next.unwrap_or(Ok(()))
    }
    fn drop_pages(&self, span: Span) -> Result<(), Errno> {
        self.next(&self.drop, "drop", span).unwrap_or(Ok(()))
    }
    fn look(&self, span: Span) -> Result<Pages, Errno> {
        let cached = self.next(&self.look, "look", span).unwrap_or(Ok(0))?;
        Ok(Pages {
            cached,
            ..Pages::default()
        })
    }
    fn resident(&self, span: Span) -> Result<Vec<Span>, Errno> {
        Ok(vec![span])
    }
    fn write_direct(&self, buf: &[u8], pos: u64) -> Result<usize, Errno> {
        let next = self.next(&self.direct, "direct", of(buf, pos));
        next.unwrap_or(Ok(buf.len()))
    }
    fn write_buffered(&self, written: &Self::Own, buf: &[u8], pos: u64) -> Result<usize, Errno> {
        written.replace(true);
        let next = self.next(&self.buffered, "buffered", of(buf, pos));
        next.unwrap_or(Ok(buf.len()))
    }
}

/// 16 KiB at 8 KiB, where direct I/O must be aligned to 1 KiB.
fn run(file: &Told, policy: Policy) -> WriteOutcome {
    let alignment = Alignment {
        memory: 512,
        offset: 1024,
        source: Source::Statx,
    };
    let rules = Rules {
        policy,
        alignment,
        page: PAGE,
        largest_folio: LARGE,
    };
    write(file, &rules, &[7; 16384], 8192)
}

#[test]
fn nothing_cached_is_direct_under_every_policy() {
    for policy in Policy::ALL {
        let file = Told::default();
        let out = run(&file, policy);
        assert_eq!((out.result, out.route), (Ok(16384), Route::Direct));
        assert_eq!(out.pre, Look::Found(Pages::default()));
        assert_eq!((out.stale_pages, out.warnings), (0, 0));
        assert_eq!(
            file.names(),
            ["flush", "drop", "look", "direct", "drop", "look"]
        );
    }
}

#[test]
fn each_policy_has_its_answer_to_pages_that_stay() {
    for (policy, result, route, warnings) in [
        (Policy::Generic, Ok(16384), Route::Buffered, 0),
        (Policy::Warn, Ok(16384), Route::Direct, 1),
        (Policy::Fallback, Ok(16384), Route::Buffered, 0),
        (Policy::Enotblk, Ok(16384), Route::Buffered, 0),
        (Policy::Strict, Err(Errno::BUSY), Route::None, 0),
    ] {
        let file = Told {
            look: told([Ok(2), Ok(1)]),
            ..Told::default()
        };
        let out = run(&file, policy);
        assert_eq!((out.result, out.route), (result, route), "{policy:?}");
        assert_eq!(out.warnings, warnings, "{policy:?}");
        assert_eq!(out.pre.cached(), 1);
    }
}

#[test]
fn a_flush_that_fails_is_a_fallback_only_where_any_error_is() {
    for policy in Policy::ALL {
        let file = Told {
            flush: told([Err(Errno::IO)]),
            ..Told::default()
        };
        let out = run(&file, policy);
        let expected = match policy {
            Policy::Enotblk => (Ok(16384), Route::Buffered),
            _ => (Err(Errno::IO), Route::None),
        };
        assert_eq!((out.result, out.route), expected, "{policy:?}");
        assert_eq!(out.pre, Look::NotTaken);
        assert_eq!(out.error(Step::Flush), Some(Errno::IO));
    }
}

#[test]
fn what_cannot_be_looked_at_is_not_taken_for_empty() {
    for policy in Policy::ALL {
        let file = Told {
            look: told([Err(NOSPC)]),
            ..Told::default()
        };
        let out = run(&file, policy);
        assert_eq!(out.pre, Look::Failed(NOSPC));
        let expected = match policy {
            Policy::Warn => (Ok(16384), Route::Direct),
            Policy::Enotblk => (Ok(16384), Route::Buffered),
            _ => (Err(NOSPC), Route::None),
        };
        assert_eq!((out.result, out.route), expected, "{policy:?}");
    }
}

#[test]
fn a_large_folio_that_the_range_touches_is_dropped_whole() {
    let file = Told {
        look: told([Ok(4), Ok(0)]),
        ..Told::default()
    };
    let out = run(&file, Policy::Strict);
    assert_eq!(out.route, Route::Direct);
    let calls = file.calls.borrow();
    let whole = Span { pos: 0, len: LARGE };
    assert_eq!(calls[3], ("drop", whole));
    let asked = Span {
        pos: 8192,
        len: 16384,
    };
    assert_eq!(calls[4], ("look", asked));
}

#[test]
fn pages_that_come_back_are_stale_and_warned_of() {
    let file = Told {
        look: told([Ok(0), Ok(3), Ok(2)]),
        ..Told::default()
    };
    let out = run(&file, Policy::Generic);
    assert_eq!((out.result, out.route), (Ok(16384), Route::Direct));
    assert_eq!((out.stale_pages, out.warnings), (2, 1));
    assert_eq!(out.stale.len(), 1);
}

#[test]
fn a_signal_is_no_error() {
    let intr = || told([Err(Errno::INTR), Err(Errno::INTR)]);
    let file = Told {
        flush: intr(),
        direct: told([Err(Errno::INTR)]),
        look: told([Err(Errno::INTR)]),
        ..Told::default()
    };
    let out = run(&file, Policy::Strict);
    assert_eq!((out.result, out.interrupted), (Ok(16384), 4));
    assert!(out.steps.iter().all(|step| step.error.is_none()));
}

#[test]
fn a_short_direct_write_goes_on_directly_from_an_aligned_point() {
    let file = Told {
        direct: told([Ok(4096)]),
        ..Told::default()
    };
    let out = run(&file, Policy::Generic);
    assert_eq!((out.result, out.route), (Ok(16384), Route::Direct));
    let rest = Span {
        pos: 12288,
        len: 12288,
    };
    assert_eq!(file.calls.borrow()[4], ("direct", rest));
}

#[test]
fn a_short_direct_write_ends_buffered_from_any_other_point() {
    for short in [512, 0] {
        let file = Told {
            direct: told([Ok(short)]),
            ..Told::default()
        };
        let out = run(&file, Policy::Fallback);
        let route = if short == 0 {
            Route::Buffered
        } else {
            Route::Mixed
        };
        assert_eq!((out.result, out.route), (Ok(16384), route));
        let rest = Span {
            pos: 8192 + short as u64,
            len: 16384 - short as u64,
        };
        assert!(file.calls.borrow().contains(&("buffered", rest)));
        assert!(file.names().contains(&"second"));
    }
}

#[test]
fn strict_never_ends_buffered() {
    for (short, result) in [(512, Ok(512)), (0, Ok(0))] {
        let file = Told {
            direct: told([Ok(short)]),
            ..Told::default()
        };
        let out = run(&file, Policy::Strict);
        assert_eq!(out.result, result);
        assert!(!file.names().contains(&"buffered"));
    }
}

#[test]
fn an_error_after_some_bytes_leaves_them_acknowledged() {
    let file = Told {
        direct: told([Ok(4096), Err(NOSPC)]),
        ..Told::default()
    };
    let out = run(&file, Policy::Generic);
    assert_eq!((out.result, out.route), (Ok(4096), Route::Direct));
    assert_eq!(out.error(Step::DirectWrite), Some(NOSPC));
}

#[test]
fn a_direct_write_that_fails_still_drops_what_it_was_sent_to() {
    let file = Told {
        direct: told([Err(Errno::IO)]),
        ..Told::default()
    };
    let out = run(&file, Policy::Generic);
    assert_eq!((out.result, out.route), (Err(Errno::IO), Route::None));
    assert_eq!(file.names()[4..], ["drop", "look"]);
}

#[test]
fn nothing_is_acknowledged_that_was_not_flushed() {
    let busy = || told([Ok(1), Ok(1)]);
    let file = Told {
        look: busy(),
        second: told([Err(Errno::IO)]),
        ..Told::default()
    };
    let out = run(&file, Policy::Generic);
    assert_eq!((out.result, out.route), (Err(Errno::IO), Route::None));
    assert_eq!(out.error(Step::SecondFlush), Some(Errno::IO));

    let file = Told {
        direct: told([Ok(512)]),
        second: told([Err(Errno::IO)]),
        ..Told::default()
    };
    let out = run(&file, Policy::Generic);
    assert_eq!((out.result, out.route), (Ok(512), Route::Direct));
}

#[test]
fn a_full_disk_under_a_buffered_write_acknowledges_what_was_flushed() {
    let file = Told {
        look: told([Ok(1), Ok(1)]),
        buffered: told([Ok(4096), Err(NOSPC)]),
        ..Told::default()
    };
    let out = run(&file, Policy::Generic);
    assert_eq!((out.result, out.route), (Ok(4096), Route::Buffered));
    assert_eq!(out.error(Step::BufferedWrite), Some(NOSPC));
    let flushed = Span {
        pos: 8192,
        len: 4096,
    };
    assert!(file.calls.borrow().contains(&("second", flushed)));
}

#[test]
fn without_a_descriptor_nothing_is_done() {
    let file = Told {
        own: told([Err(NOSPC)]),
        ..Told::default()
    };
    let out = run(&file, Policy::Generic);
    assert_eq!((out.result, out.route), (Err(NOSPC), Route::None));
    assert!(file.names().is_empty());
}

#[test]
fn an_error_that_another_direct_write_may_have_set_is_no_failed_flush() {
    let file = Told {
        flush: told([Err(Errno::IO)]),
        disturbed: RefCell::new([true].into()),
        ..Told::default()
    };
    let out = run(&file, Policy::Generic);
    assert_eq!((out.result, out.route), (Ok(16384), Route::Direct));
    assert_eq!(out.error(Step::Flush), Some(Errno::IO));

    let always = || RefCell::new([true; 64].into());
    let file = Told {
        flush: told([Err(Errno::IO); 64]),
        disturbed: always(),
        ..Told::default()
    };
    let out = run(&file, Policy::Generic);
    assert_eq!((out.result, out.route), (Err(Errno::IO), Route::None));
    assert_eq!(file.names().len(), TRIES as usize);
}

#[test]
fn a_buffered_write_is_repeated_when_its_flush_may_have_failed() {
    let file = Told {
        look: told([Ok(1), Ok(1)]),
        second: told([Err(Errno::IO), Err(Errno::IO)]),
        disturbed: RefCell::new([true, true].into()),
        ..Told::default()
    };
    let out = run(&file, Policy::Generic);
    assert_eq!((out.result, out.route), (Ok(16384), Route::Buffered));
    assert_eq!(file.times("buffered"), 3);
    assert_eq!(out.error(Step::SecondFlush), Some(Errno::IO));

    let file = Told {
        look: told([Ok(1), Ok(1)]),
        second: told([Err(Errno::IO); 64]),
        disturbed: RefCell::new([true; 64].into()),
        ..Told::default()
    };
    let out = run(&file, Policy::Generic);
    assert_eq!((out.result, out.route), (Err(Errno::IO), Route::None));
}

#[test]
fn a_direct_write_is_repeated_when_a_writeback_failed_meanwhile() {
    let file = Told {
        check: told([Err(Errno::IO), Err(Errno::IO), Ok(())]),
        ..Told::default()
    };
    let out = run(&file, Policy::Generic);
    assert_eq!((out.result, out.route), (Ok(16384), Route::Direct));
    assert_eq!(out.error(Step::Check), Some(Errno::IO));
    assert_eq!(file.times("direct"), 3);

    let file = Told {
        check: told([Err(Errno::IO); 64]),
        ..Told::default()
    };
    let out = run(&file, Policy::Strict);
    assert_eq!((out.result, out.route), (Err(Errno::IO), Route::None));
    assert_eq!(file.times("direct"), TRIES as usize);
}

#[test]
fn an_error_that_a_page_which_stays_explains_is_left_to_sync() {
    // Before the write nothing, after it a page, each time it is done.
    let looks = [Ok(0)].into_iter().chain(std::iter::repeat_n(Ok(1), 64));
    let file = Told {
        look: RefCell::new(looks.collect()),
        check: told([Err(Errno::IO); 64]),
        ..Told::default()
    };
    let out = run(&file, Policy::Generic);
    assert_eq!((out.result, out.route), (Ok(16384), Route::Direct));
    assert_eq!((out.stale_pages, out.stale.len(), out.warnings), (1, 1, 1));
    assert_eq!(file.times("direct"), TRIES as usize);
}
