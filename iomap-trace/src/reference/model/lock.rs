//! Locking and unlocking a range, step by step.

use super::cast::Task;
use super::tree::{ATTEMPT_TAKES_NS, Hold, Span};
use super::world::World;
use crate::event::{Holder, HolderKind};

/// Who locks, and what for.
#[derive(Clone, Copy, Debug)]
pub struct Want {
    /// The range.
    pub span: Span,
    /// Who.
    pub task: Task,
    /// Its column in the timeline.
    pub column: usize,
    /// What for.
    pub kind: HolderKind,
    /// The direct write that made the ordered extent.
    pub write: Option<u64>,
    /// The function that locks.
    pub function: &'static str,
}

impl Want {
    /// The function, as a timeline has room for it.
    const fn shown(&self) -> &'static str {
        if self.function.len() > 28 {
            "lock_extent()"
        } else {
            self.function
        }
    }
}

/// A part that was locked by one attempt.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Number of its lock.
    pub lock: u64,
    /// Its first byte.
    pub start: u64,
    /// The attempt.
    pub tried_ns: u64,
    /// When it was asked for.
    pub asked_ns: u64,
}

#[derive(Clone, Copy, Debug)]
enum At {
    /// About to try (`btrfs_set_extent_bit` fires, fs/btrfs/extent-io-tree.c `__set_extent_bit()`).
    Try,
    /// Has tried, and is about to find out.
    Find,
    /// Gives the front back (`__lock_extent()`, since 6.1): about to, and doing so.
    GiveBack(Span),
    GivingBack(Span),
    /// Waits for this byte (`wait_extent_bit()`).
    Wait(u64),
    Held,
}

/// A lock that is asked for: fs/btrfs/extent-io-tree.c `__lock_extent()` (6.12), `lock_extent()`
/// (6.1), `lock_extent_bits()` (5.10).
#[derive(Debug)]
pub struct Locking {
    /// What is wanted.
    pub want: Want,
    at: At,
    from: u64,
    tried_ns: u64,
    asked_ns: u64,
    /// What was locked, in the order of the attempts.
    pub parts: Vec<Part>,
}

impl Locking {
    /// A lock that is about to be asked for.
    pub const fn new(want: Want) -> Self {
        Self {
            want,
            at: At::Try,
            from: want.span.start,
            tried_ns: 0,
            asked_ns: 0,
            parts: Vec::new(),
        }
    }

    /// Whether it can go on.
    pub fn ready(&self, world: &World) -> bool {
        match self.at {
            At::Wait(byte) => {
                let span = Span {
                    start: byte,
                    end: byte + 1,
                };
                world.tree.blocked(span).is_none()
            }
            _ => true,
        }
    }

    /// By when it must go on.
    pub fn deadline(&self, world: &World) -> Option<u64> {
        match self.at {
            At::Find => Some(self.tried_ns + ATTEMPT_TAKES_NS),
            At::GivingBack(span) => world.tree.over_by(self.want.task, span),
            _ => None,
        }
    }

    /// Goes on; true when it is held.
    pub fn step(&mut self, world: &mut World) -> bool {
        let want = self.want;
        match self.at {
            At::Wait(_) | At::Try => {
                self.tried_ns = world.now;
                if self.asked_ns == 0 {
                    self.asked_ns = world.now;
                }
                self.at = At::Find;
                let rest = Span {
                    start: self.from,
                    ..want.span
                };
                if world.tree.hurry(rest, world.now) {
                    self.find(world);
                }
            }
            At::Find => self.find(world),
            At::GiveBack(front) => {
                let (now, over_by) = (world.now, world.now + 1 + world.rng.below(5_000));
                world.tree.give_up(want.task, front, now, over_by);
                // An ordered extent's completion is recorded once, by its last unlock.
                if want.kind == HolderKind::ExtentLock
                    && let Some(part) = self.parts.pop()
                {
                    record(world, &want, &part, front.end, (now, now), None);
                } else {
                    self.parts.clear();
                }
                self.asked_ns = if want.kind == HolderKind::ExtentLock {
                    0
                } else {
                    self.asked_ns
                };
                self.at = At::GivingBack(front);
            }
            At::GivingBack(front) => {
                world.tree.release(want.task, front);
                self.at = At::Wait(front.end);
            }
            At::Held => {}
        }
        matches!(self.at, At::Held)
    }

    /// Takes what is free.
    fn find(&mut self, world: &mut World) {
        let want = self.want;
        let rest = Span {
            start: self.from,
            ..want.span
        };
        let blocked = world.tree.blocked(rest);
        let end = blocked.unwrap_or(rest.end);
        let got = Span { end, ..rest };
        if got.start < got.end {
            let lock = world.tree.number();
            world.tree.lock(Hold {
                lock,
                span: got,
                task: want.task,
                kind: want.kind,
                write: want.write,
                given_up_ns: None,
                over_by: 0,
            });
            self.parts.push(Part {
                lock,
                start: got.start,
                tried_ns: self.tried_ns,
                asked_ns: self.asked_ns,
            });
        }
        self.at = match blocked {
            None => {
                world.say(want.column, |_| {
                    format!("{} [+lock {}]", want.shown(), World::range(want.span))
                });
                At::Held
            }
            Some(byte) => {
                world.say(want.column, |_| {
                    format!("{} waits for {}", want.shown(), World::range(want.span))
                });
                if got.start == got.end {
                    At::Wait(byte)
                } else if world.kernel.keeps_front() {
                    self.from = byte;
                    self.asked_ns = 0;
                    At::Wait(byte)
                } else {
                    At::GiveBack(got)
                }
            }
        };
    }
}

/// Records a hold of an extent lock that was given up at `times.0`, and its end at `times.1`.
fn record(
    world: &mut World,
    want: &Want,
    part: &Part,
    end: u64,
    times: (u64, u64),
    unlocked_by: Option<u32>,
) {
    let span = Span {
        start: part.start,
        end,
    };
    let holder = Holder {
        id: 0,
        kind: want.kind,
        dev: world.place.dev,
        ino: world.place.ino,
        root: world.place.root,
        pos: world.pos(span),
        len: span.end - span.start,
        start_ns: part.asked_ns,
        locked_ns: Some(part.tried_ns),
        unlocked_ns: Some(times.0),
        end_ns: times.1,
        pid: want.task.pid,
        tid: want.task.tid,
        comm: want.task.comm.into(),
        unlocked_by,
        created_ns: None,
        created_by: None,
        function: Some(want.function.trim_end_matches("()").into()),
        ordered_flags: Vec::new(),
        stack: Vec::new(),
    };
    world.tape.holder(holder, vec![part.lock]);
}

/// A lock that is given up, whole or piece by piece: `clear_extent_bit()`, whose event comes just
/// before it does anything.
#[derive(Debug)]
pub struct Unlocking {
    want: Want,
    parts: Vec<Part>,
    /// Pieces that are still to be given up, last first.
    pieces: Vec<Span>,
    under_way: Option<Span>,
    /// Who does it, where it is not the one that locked.
    by: Option<Task>,
    /// Event of the last unlock.
    pub given_up_ns: u64,
}

impl Unlocking {
    /// Gives up what `locking` got, in `pieces` pieces; `by` somebody else.
    pub fn new(locking: Locking, pieces: u64, by: Option<Task>) -> Self {
        let Span { start, end } = locking.want.span;
        let blocks = (end - start).div_ceil(super::world::PAGE);
        let pieces = pieces.clamp(1, blocks.max(1));
        let cut = |n: u64| match n {
            0 => start,
            n if n == pieces => end,
            n => (start / super::world::PAGE + blocks * n / pieces) * super::world::PAGE,
        };
        let pieces = (0..pieces).rev().map(|n| Span {
            start: cut(n),
            end: cut(n + 1),
        });
        Self {
            pieces: pieces.collect(),
            want: locking.want,
            parts: locking.parts,
            under_way: None,
            by,
            given_up_ns: 0,
        }
    }

    /// By when it must go on.
    pub fn deadline(&self, world: &World) -> Option<u64> {
        world.tree.over_by(self.want.task, self.under_way?)
    }

    /// Goes on; true when nothing is held any more.
    pub fn step(&mut self, world: &mut World) -> bool {
        if let Some(span) = self.under_way.take() {
            world.tree.release(self.want.task, span);
            return self.pieces.is_empty();
        }
        let Some(span) = self.pieces.pop() else {
            return true;
        };
        let now = world.now;
        let takes = match world.rng.below(40) {
            0 if world.slow_unlocks => world.rng.below(40_000_000),
            1..6 => world.rng.below(900_000),
            _ => world.rng.below(8_000),
        };
        let held = world
            .tree
            .give_up(self.want.task, span, now, now + 1 + takes);
        world.say(self.want.column, |_| {
            format!("clear_extent_bit() [-lock {}]", World::range(span))
        });
        self.given_up_ns = now;
        self.under_way = Some(span);
        if self.want.kind == HolderKind::ExtentLock {
            let by = self.by.map(|task| task.tid);
            for piece in held {
                let Some(part) = self.parts.iter().find(|part| part.lock == piece.lock) else {
                    continue;
                };
                let part = Part {
                    start: piece.span.start,
                    ..*part
                };
                record(world, &self.want, &part, piece.span.end, (now, now), by);
            }
        }
        false
    }

    /// The parts that were locked.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }
}
