//! Schedules from a seed.

use anyhow::Result;

use super::schedule::{Op, Role, SCHEMA, Schedule, Thread};
use crate::rng::Rng;

/// A direct writer calls fsync so many times less often than the others.
const DIRECT_FSYNC: u64 = 4;
/// One in so many operations is a pause, of threads that are not told how often.
const PAUSE: u64 = 32;
/// The longest of these, in microseconds.
const PAUSE_US: u64 = 500;
/// Operations that follow each other in the file before another place is chosen: how files are
/// written, and what makes neighbours dirty together.
const RUN: u64 = 4;

/// What a schedule is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mix {
    /// Threads by role, in the order of [`Role::ALL`].
    pub threads: [u32; 5],
    /// Operations of each thread.
    pub ops: u32,
    /// How often each thread does them; 0 for as often as there is time.
    pub rounds: u32,
    /// Length of the file in bytes.
    pub file_size: u64,
    /// Bytes per block.
    pub block: u64,
    /// Most blocks of a direct write. Others are at most a quarter of it: a direct write over
    /// several small dirty ranges meets the last one's completion while it looks at the first.
    pub blocks: u64,
    /// One in so many operations of a writer is an fsync, of a direct writer one in four times as many;
    /// 0 for none.
    pub fsync: u64,
    /// One in so many operations of a writer through the page cache or a mapping is a pause. The more
    /// they pause, the seldomer a page is dirtied again while a direct write flushes it, and the
    /// better the completion of ordered I/O is seen.
    pub pause: u64,
    /// The longest of these pauses, in microseconds.
    pub pause_us: u64,
    /// One thread does everything.
    pub serial: bool,
    /// Leave copy-on-write and checksums on (btrfs only).
    pub cow: bool,
}

impl Default for Mix {
    /// Two direct writers against two buffered ones and a mapping, with a reader, on 2 MiB.
    fn default() -> Self {
        Self {
            threads: [2, 2, 1, 1, 0],
            ops: 256,
            rounds: 1,
            file_size: 2 << 20,
            block: 4096,
            blocks: 16,
            fsync: 200,
            pause: PAUSE,
            pause_us: PAUSE_US,
            serial: false,
            cow: false,
        }
    }
}

impl Mix {
    /// The schedule of `seed`.
    ///
    /// # Errors
    /// When the mix makes none that can be run.
    pub fn schedule(&self, seed: u64) -> Result<Schedule> {
        let mut threads = Vec::new();
        for (role, number) in Role::ALL.into_iter().zip(self.threads) {
            for _ in 0..number {
                let index = u32::try_from(threads.len()).unwrap_or(u32::MAX);
                let ops = self.thread(role, &mut Rng::for_thread(seed, index));
                threads.push(Thread { role, ops });
            }
        }
        number(&mut threads);
        let schedule = Schedule {
            schema: SCHEMA,
            seed,
            file_size: self.file_size,
            block: self.block,
            serial: self.serial,
            rounds: self.rounds,
            cow: self.cow,
            threads,
        };
        schedule.validate()?;
        Ok(schedule)
    }

    fn thread(&self, role: Role, rng: &mut Rng) -> Vec<Op> {
        let most = match role {
            Role::DirectWriter | Role::DirectReader => self.blocks,
            _ => self.blocks / 4,
        };
        let fsync = match role {
            Role::DirectWriter => self.fsync.saturating_mul(DIRECT_FSYNC),
            Role::BufferedWriter | Role::MmapWriter => self.fsync,
            Role::BufferedReader | Role::DirectReader => 0,
        };
        let (pause, pause_us) = match role {
            Role::BufferedWriter | Role::MmapWriter => (self.pause, self.pause_us),
            _ => (PAUSE, PAUSE_US),
        };
        let total = (self.file_size / self.block.max(1)).max(1);
        let most = most.clamp(1, total);
        let (mut next, mut left) = (0, 0);
        let mut ops = Vec::new();
        for _ in 0..self.ops {
            if fsync > 0 && rng.below(fsync) == 0 {
                ops.push(Op::Fsync { id: 0 });
                continue;
            }
            if rng.below(pause) == 0 {
                let us = 1 + rng.below(pause_us);
                ops.push(Op::Pause { id: 0, us });
                continue;
            }
            let blocks = 1 + rng.below(most);
            if left == 0 || next + blocks > total {
                next = rng.below(total - blocks + 1);
                left = 1 + rng.below(RUN);
            }
            left -= 1;
            let (pos, len) = (next * self.block, blocks * self.block);
            next += blocks;
            ops.push(match role.writes() {
                true => Op::Write { id: 0, pos, len },
                false => Op::Read { id: 0, pos, len },
            });
        }
        ops
    }
}

/// Numbers the operations so that a serial run takes the threads in turns.
fn number(threads: &mut [Thread]) {
    let longest = threads.iter().map(|thread| thread.ops.len()).max();
    let mut next = 0;
    for at in 0..longest.unwrap_or(0) {
        for thread in threads.iter_mut() {
            let Some(op) = thread.ops.get_mut(at) else {
                continue;
            };
            match op {
                Op::Write { id, .. }
                | Op::Read { id, .. }
                | Op::Fsync { id }
                | Op::Pause { id, .. } => *id = next,
            }
            next += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_every_size_makes_a_schedule() {
        let mix = Mix::default();
        assert_eq!(mix.schedule(7).unwrap(), mix.schedule(7).unwrap());
        assert_ne!(mix.schedule(7).unwrap(), mix.schedule(8).unwrap());
        for (file_size, block) in [(8192, 4096), (1 << 20, 512), (64 << 20, 65536)] {
            let mix = Mix {
                file_size,
                block,
                ..Mix::default()
            };
            let schedule = mix.schedule(1).unwrap();
            assert_eq!(schedule.whole_pages(), block >= 4096);
            assert_eq!(schedule.ops().count(), 6 * 256);
        }
        let none = Mix {
            threads: [0; 5],
            ..Mix::default()
        };
        assert!(none.schedule(1).is_err());
    }

    #[test]
    fn roles_do_what_is_theirs() {
        let mix = Mix {
            fsync: 16,
            ..Mix::default()
        };
        let schedule = mix.schedule(1).unwrap();
        let of = |role| schedule.ops().filter(move |(of, _)| *of == role);
        let fsync = |(_, op): &(Role, &Op)| matches!(op, Op::Fsync { .. });
        let direct = of(Role::DirectWriter).filter(fsync).count();
        assert!((1..of(Role::BufferedWriter).filter(fsync).count()).contains(&direct));
        assert_eq!(of(Role::BufferedReader).filter(fsync).count(), 0);
        let longest = |role| of(role).filter_map(|(_, op)| op.range()).map(|r| r.1).max();
        assert_eq!(longest(Role::DirectWriter), Some(65536));
        assert_eq!(longest(Role::BufferedWriter), Some(16384));
        assert_eq!(schedule.count(Role::MmapWriter), 1);
    }
}
