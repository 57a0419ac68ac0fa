//! RLIMIT_FSIZE, which makes a real short write.

use crate::ground::{Ground, PAGE, SIZE, Sheet, block, pattern};
use crate::mapped::Mapped;
use iomap_trace::reference::Policy;
use iomap_trace::reference::direct::{Errno, Route, Step};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const FBIG: Errno = Errno::new(libc::EFBIG);

/// The limit of the process while this value lives.
struct Limit(Rlimit);

impl Limit {
    fn new(bytes: usize) -> Self {
        // SAFETY: ignoring a signal runs no code of ours. Otherwise it would end the process.
        unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
        let before = getrlimit(Resource::Fsize);
        let limit = Rlimit {
            current: Some(bytes as u64),
            maximum: before.maximum,
        };
        setrlimit(Resource::Fsize, limit).unwrap();
        Self(before)
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        setrlimit(Resource::Fsize, self.0).unwrap();
    }
}

#[test]
#[ignore = "needs root and loop devices: cargo xtask test --only direct"]
fn a_short_write_acknowledges_what_was_written() {
    Ground::each(|ground| {
        for policy in Policy::ALL {
            for mapped in [false, true] {
                let sheet = Sheet::on(ground);
                let file = sheet.open(policy);
                let data = block(13, 4 * PAGE);
                let page = mapped.then(|| Mapped::new(&sheet.buffered, SIZE - PAGE));
                let limit = Limit::new(SIZE + 2 * PAGE);
                let out = file.write_at(&data, (SIZE - PAGE) as u64);
                drop(limit);
                drop(page);
                if mapped && policy == Policy::Strict {
                    assert_eq!(out.result, Err(Errno::BUSY));
                    continue;
                }
                let (route, step) = match (mapped, policy) {
                    (false, _) | (_, Policy::Warn) => (Route::Direct, Step::DirectWrite),
                    _ => (Route::Buffered, Step::BufferedWrite),
                };
                assert_eq!((out.result, out.route), (Ok(3 * PAGE), route), "{policy:?}");
                assert_eq!(out.error(step), Some(FBIG));
                sheet.drop_pages();
                assert!(sheet.on_disk(SIZE - PAGE, 3 * PAGE) == pattern(13, 4 * PAGE)[..3 * PAGE]);
                assert_eq!(
                    sheet.buffered.metadata().unwrap().len(),
                    (SIZE + 2 * PAGE) as u64
                );
                // Behind the limit nothing is written at all.
                let limit = Limit::new(SIZE);
                let out = file.write_at(&data, SIZE as u64 + 8 * PAGE as u64);
                drop(limit);
                assert_eq!((out.result, out.route), (Err(FBIG), Route::None));
            }
        }
    });
}
