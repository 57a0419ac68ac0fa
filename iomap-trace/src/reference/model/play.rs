//! Lets a scenario happen.

use super::cast;
use super::scenario::{File, Scenario};
use super::schedule;
use super::stream::{self, Degrade};
use super::tape::Unit;
use super::truth::Truth;
use super::world::{Line, PAGE, World};
use crate::event::{Event, How, Start};
use crate::rng::Rng;

/// When the first file begins, nanoseconds since boot.
const EPOCH_NS: u64 = 100_000_000_000;

/// What happened.
#[derive(Debug)]
pub struct Run {
    /// The run's first record.
    pub start: Start,
    /// What was true of each failure, in the order of their numbers.
    pub truths: Vec<Truth>,
    /// What happened, when it was asked for.
    pub lines: Vec<Line>,
    /// Every party came to its end; otherwise some wait for each other.
    pub finished: bool,
    units: Vec<Unit>,
    seed: u64,
}

impl Scenario {
    /// Lets it happen.
    pub fn play(&self) -> Run {
        self.run(false)
    }

    /// Lets it happen, and keeps what happened in words.
    pub fn play_in_words(&self) -> Run {
        self.run(true)
    }

    fn run(&self, words: bool) -> Run {
        let mut run = Run {
            start: stream::start(self.kernel, self.shape),
            truths: Vec::new(),
            lines: Vec::new(),
            finished: true,
            units: Vec::new(),
            seed: self.seed,
        };
        let (mut now, mut failures, mut holders) = (EPOCH_NS, 0, 0);
        for (number, file) in (1..).zip(&self.files) {
            let rng = Rng::for_thread(self.seed, number);
            let mut world = self.world(file, rng);
            world.now = if file.follows { now } else { EPOCH_NS };
            (world.tape.failures, world.tape.numbered) = (failures, holders);
            world.lines = words.then(Vec::new);
            fill(&mut world, file);
            let mut parties: Vec<_> = file
                .roles
                .iter()
                .map(super::scenario::Role::party)
                .collect();
            run.finished &= schedule::run(&mut world, &mut parties, &file.script);
            // The next one of its number comes after whatever goes on here.
            now = world.now + 1_000 + world.rng.below(100_000_000);
            (failures, holders) = (world.tape.failures, world.tape.numbered);
            run.truths
                .extend(world.tape.truths(file.place.first_page, PAGE));
            run.lines.extend(world.lines.take().into_iter().flatten());
            run.units.append(&mut world.tape.units);
        }
        run.units.sort_by_key(|unit| unit.ns);
        run
    }

    fn world(&self, file: &File, rng: Rng) -> World {
        let mut world = World::new(rng, self.kernel, file.fs, self.policy, file.place);
        world.shape = self.shape;
        world.folio_pages = file.folio_pages;
        world.nocow = file.nocow;
        world.io_error = file.io_error;
        world.launder_error = file.launder_error;
        world.careless_writeback = file.careless_writeback;
        world.slow_unlocks = file.slow_unlocks;
        world.wb_err = file.wb_err;
        world
    }
}

/// What is cached when it begins.
fn fill(world: &mut World, file: &File) {
    for (page, dirty) in &file.cached {
        world.now += 1_000;
        world.add_folio(*page, cast::BUFFERED, How::Buffered);
        if *dirty {
            world.dirty(*page, cast::BUFFERED, How::Buffered);
        }
    }
    world.now += 50_000;
}

impl Run {
    /// The records in the order of a log, from `start` to `end`, after `degrade` befell them.
    pub fn events(&self, degrade: Degrade) -> Vec<Event> {
        let mut rng = Rng::for_thread(self.seed, u32::MAX);
        stream::stream(self.start.clone(), self.units.clone(), degrade, &mut rng)
    }
}
