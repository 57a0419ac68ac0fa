//! The index finds what a look at everything finds.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::properties::config;
use crate::correlate::case::InodeKey;
use crate::correlate::held::Held;
use crate::correlate::index::{Cells, Index, Question, Waiter};
use crate::event::{Dev, HolderKind};

/// What happens to an index.
#[derive(Clone, Debug)]
enum Step {
    Add(u64, Lock),
    Forget(prop::sample::Index),
    Join(u64, (u64, u64), (u64, u64)),
    Leave(prop::sample::Index),
    Last(prop::sample::Index, (u64, u64)),
    Between(prop::sample::Index, (u64, u64)),
}

/// A lock: its bytes, tried, given up, end of the work.
#[derive(Clone, Debug)]
struct Lock {
    kind: HolderKind,
    bytes: (u64, u64),
    times: [u64; 3],
}

/// Bytes in every corner: of a page, of many, at the ends of what can be said.
fn bytes() -> impl Strategy<Value = (u64, u64)> {
    let first = select(vec![
        0,
        1,
        4096,
        65_535,
        65_536,
        1 << 22,
        i64::MAX as u64 - 4095,
        u64::MAX - 70_000,
    ]);
    let len = select(vec![1, 4096, 65_536, 65_537, 1 << 22, 1 << 40, u64::MAX]);
    (first, 0_u64..3, len)
        .prop_map(|(first, pages, len): (u64, u64, u64)| (first + pages * 4096, len))
        .prop_map(|(first, len)| (first, first.saturating_add(len)))
}

fn lock() -> impl Strategy<Value = Lock> {
    let kind = select(vec![HolderKind::OrderedIo, HolderKind::ExtentLock]);
    let moment = || prop_oneof![0_u64..20, (0_u64..4).prop_map(|n| n * 1_000_000)];
    (kind, bytes(), [moment(), moment(), moment()]).prop_map(|(kind, bytes, mut times)| {
        times.sort_unstable();
        Lock { kind, bytes, times }
    })
}

fn step() -> impl Strategy<Value = Step> {
    let inode = || 0_u64..2;
    let one = any::<prop::sample::Index>;
    let moments = || (0_u64..22, 0_u64..4).prop_map(|(from, long)| (from, from + long));
    // A folio is no larger than the cells of a level that are looked at.
    let folio = bytes().prop_map(|(first, end)| (first, end.min(first.saturating_add(1 << 21))));
    prop_oneof![
        4 => (inode(), lock()).prop_map(|(inode, lock)| Step::Add(inode, lock)),
        2 => (inode(), folio, moments()).prop_map(|(inode, b, t)| Step::Join(inode, b, t)),
        1 => one().prop_map(Step::Forget),
        1 => one().prop_map(Step::Leave),
        1 => (one(), moments()).prop_map(|(one, times)| Step::Last(one, times)),
        1 => (one(), moments()).prop_map(|(one, times)| Step::Between(one, times)),
    ]
}

fn key(ino: u64) -> InodeKey {
    (Dev::default(), 0, ino)
}

fn held(id: u64, lock: &Lock) -> Arc<Held> {
    Arc::new(Held {
        id,
        kind: lock.kind,
        pos: lock.bytes.0,
        end: lock.bytes.1,
        start_ns: 0,
        tried: lock.times[0],
        given_up: lock.times[1],
        end_ns: lock.times[2],
        pid: 1,
        tid: 1,
        comm: "holder".into(),
        handed_on: false,
        created_ns: None,
        created_by: None,
        function: None,
    })
}

/// Inode, lock, and where the index has it.
type Kept = (u64, Arc<Held>, Cells);

/// An index, and the same without one.
#[derive(Default)]
struct Both {
    index: Index,
    locks: Vec<Kept>,
    folios: Vec<Folio>,
    slots: u32,
}

struct Folio {
    ino: u64,
    place: u32,
    places: Vec<crate::correlate::index::Place>,
    question: Question,
}

fn answers(held: &Held, question: &Question) -> bool {
    held.meets(question.bytes) && held.tried <= question.times.1 && question.times.0 <= held.over()
}

impl Both {
    fn enter(&mut self, at: usize, levels: u16) -> BTreeSet<u64> {
        let mut found = BTreeSet::new();
        let folio = &mut self.folios[at];
        for level in (0..16).filter(|level| levels >> level & 1 == 1) {
            let index = &mut self.index;
            let (inode, places) = (index.inode(key(folio.ino)), &mut folio.places);
            let cut = index.enter(inode, level, folio.question, places, |held| {
                found.insert(held.id);
            });
            assert!(!cut);
        }
        found
    }

    fn step(&mut self, number: u64, step: Step) {
        match step {
            Step::Add(ino, lock) => {
                let held = held(number, &lock);
                let inode = self.index.inode(key(ino));
                if let Some((level, slots)) = self.index.prepare(inode, &held) {
                    for slot in slots {
                        let mut at = self.folios.iter();
                        let at = at.position(|f| f.question.waiter.slot == slot).unwrap();
                        self.enter(at, 1 << level);
                    }
                }
                let mut told = BTreeSet::new();
                let cells = self.index.add(inode, &held, |waiter| {
                    told.insert(waiter.slot);
                });
                let all = self.folios.iter().filter(|f| f.ino == ino);
                let all = all.filter(|f| answers(&held, &f.question));
                assert_eq!(told, all.map(|f| f.question.waiter.slot).collect());
                self.locks.push((ino, held, cells));
            }
            Step::Forget(one) if !self.locks.is_empty() => {
                let lock = self.locks.remove(one.index(self.locks.len()));
                self.forget(&lock);
            }
            Step::Join(ino, bytes, times) => {
                self.slots += 1;
                let slot = self.slots;
                let inode = self.index.inode(key(ino));
                let (levels, place) = self.index.join(inode, slot);
                let question = Question {
                    waiter: Waiter { slot, folio: 0 },
                    bytes,
                    times,
                };
                self.folios.push(Folio {
                    ino,
                    place,
                    places: vec![],
                    question,
                });
                let found = self.enter(self.folios.len() - 1, levels);
                let all = self.locks.iter().filter(|(other, ..)| *other == ino);
                let all = all.filter(|(_, held, _)| answers(held, &question));
                assert_eq!(found, all.map(|(_, held, _)| held.id).collect());
            }
            Step::Leave(one) if !self.folios.is_empty() => {
                self.leave(one.index(self.folios.len()));
            }
            Step::Last(one, (from, to)) if !self.folios.is_empty() => {
                let folio = &self.folios[one.index(self.folios.len())];
                let bytes = folio.question.bytes;
                let odd = |held: &Held| held.meets(bytes) && held.id % 2 == 1;
                let last = self.index.last_before(folio.places.iter(), (from, to), odd);
                let all = self.locks.iter().filter(|(ino, held, _)| {
                    *ino == folio.ino && odd(held) && (from..to).contains(&held.given_up)
                });
                let all =
                    all.max_by_key(|(_, held, _)| (held.given_up, std::cmp::Reverse(held.id)));
                assert_eq!(last.map(|held| held.id), all.map(|(_, held, _)| held.id));
            }
            Step::Between(one, times) if !self.folios.is_empty() => {
                let folio = &self.folios[one.index(self.folios.len())];
                let meets = |held: &&Held| held.meets(folio.question.bytes);
                let mut found = BTreeSet::new();
                let all_of_them = self.index.between(folio.places.iter(), times, |held| {
                    if meets(&held) {
                        found.insert(held.id);
                    }
                    ControlFlow::Continue(())
                });
                assert!(all_of_them.is_continue());
                let all = self.locks.iter().filter(|(ino, held, _)| {
                    let then = times.0 < held.given_up && held.given_up < times.1;
                    *ino == folio.ino && meets(&held.as_ref()) && then
                });
                assert_eq!(found, all.map(|(_, held, _)| held.id).collect());
            }
            _ => {}
        }
    }

    fn forget(&mut self, (_, held, cells): &Kept) {
        self.index.forget(*cells, held);
    }

    fn leave(&mut self, at: usize) {
        let folio = self.folios.remove(at);
        let slot = folio.question.waiter.slot;
        let index = &mut self.index;
        let inode = index.inode(key(folio.ino));
        if let Some(moved) = index.leave(inode, folio.place, &folio.places, slot) {
            let mut folios = self.folios.iter_mut();
            let moved = folios.find(|f| f.question.waiter.slot == moved).unwrap();
            moved.place = folio.place;
        }
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_index_finds_what_is_there(steps in vec(step(), 0..40)) {
        let mut both = Both::default();
        for (number, step) in (1..).zip(steps) {
            both.step(number, step);
        }
        while !both.folios.is_empty() {
            both.leave(0);
        }
        for lock in std::mem::take(&mut both.locks) {
            both.forget(&lock);
        }
        prop_assert!(both.index.is_empty(), "{:?}", both.index);
    }
}
