//! `pwrite`, both ways: a direct writer and a buffered one differ in their descriptor alone.

use std::os::unix::fs::FileExt;

use super::job::Job;
use super::tally::{Role, Tally};

/// Writes random blocks until the run is over.
pub(super) fn run(mut job: Job<'_>, role: Role) -> Tally {
    let mut tally = Tally::new(role);
    let mut buf = job.buffer();
    let mut seq = 0;
    while job.running() {
        let pos = job.next_write(&mut buf, seq);
        tally.count(job.file.write_at(&buf, pos), buf.len());
        seq += 1;
    }
    tally
}
