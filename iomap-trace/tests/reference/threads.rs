//! One file, several threads.

use crate::ground::{Ground, PAGE, SIZE, Sheet, block, pattern};
use crate::harness::{Busy, dirtier};
use iomap_trace::reference::Policy;
use iomap_trace::reference::direct::{DirectFile, Errno, Route, WriteOutcome};
use std::collections::BTreeMap;

/// What the harness's dirtier stores to, from the start of the file.
const DIRTIED: usize = 256 << 10;
const WRITES: u64 = 60;

/// Writers of a range that another thread makes dirty all the time, and in turn of ranges of their
/// own, of which the last write must be there.
#[test]
#[ignore = "needs root and loop devices: cargo xtask test --only direct"]
fn the_last_write_of_each_is_there() {
    Ground::each(|ground| {
        for policy in Policy::ALL {
            let sheet = Sheet::on(ground);
            let file = sheet.open(policy);
            let _dirtier: Busy = dirtier(&sheet.path);
            let mut routes: BTreeMap<String, u32> = BTreeMap::new();
            std::thread::scope(|scope| {
                let writers: Vec<_> = (0..3_u64)
                    .map(|thread| {
                        let file = &file;
                        scope.spawn(move || writer(file, thread))
                    })
                    .collect();
                for writer in writers {
                    for (route, count) in writer.join().unwrap() {
                        *routes.entry(format!("{route:?}")).or_default() += count;
                    }
                }
            });
            eprintln!("{policy:?}: {routes:?}");
            for thread in 0..3 {
                let pos = start(thread);
                assert!(sheet.on_disk(pos, 4 * PAGE) == pattern(last(thread), 4 * PAGE));
                // A reader's page may be stale only where the kernel is told to risk it.
                assert!(
                    policy == Policy::Warn
                        || sheet.cached(pos, 4 * PAGE) == pattern(last(thread), 4 * PAGE)
                );
            }
        }
    });
}

/// Behind all that the dirtier stores to.
const fn start(thread: u64) -> usize {
    4 * DIRTIED + 16 * PAGE * thread as usize
}

const fn last(thread: u64) -> u64 {
    (thread + 1) * 1000 + WRITES - 1
}

/// Writes to the dirtied range and to its own in turn.
fn writer(file: &DirectFile, thread: u64) -> Vec<(Route, u32)> {
    let mut routes = Vec::new();
    for number in 0..WRITES {
        let data = block((thread + 1) * 1000 + number, 4 * PAGE);
        let own = start(thread) as u64;
        // What the dirtier's page faults read ahead may reach this far, and stay for a moment.
        while !is_written(file, &file.write_at(&data, own)) {}
        let at = (number * 7 + thread) % (DIRTIED / data.len()) as u64 * data.len() as u64;
        let out = file.write_at(&data, at);
        is_written(file, &out);
        routes.push((out.route, 1));
    }
    assert!(SIZE > start(2) + 4 * PAGE);
    routes
}

/// Written, or refused by the one policy that does.
fn is_written(file: &DirectFile, out: &WriteOutcome) -> bool {
    match out.result {
        Ok(bytes) => assert_eq!(bytes, 4 * PAGE),
        Err(errno) => assert_eq!((file.policy(), errno), (Policy::Strict, Errno::BUSY)),
    }
    out.result.is_ok()
}
