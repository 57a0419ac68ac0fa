//! Who runs next: at random, or as a script says.

use super::party::Party;
use super::world::World;

/// A run that takes more steps than this has gone wrong: parties that wait for each other.
const MAX_STEPS: u32 = 20_000;
/// Between two steps of the model something happens in the kernel: never less than this.
const LEAST_NS: u64 = 20;

/// A line of a script: this party runs until it has done that.
#[derive(Clone, Copy, Debug)]
pub struct Cue {
    /// Number of the party.
    pub party: usize,
    /// What its step returns.
    pub until: &'static str,
}

/// Runs until every party is idle. What is scripted comes first; then whoever can run does, at
/// random or, where there was a script, the first.
///
/// Returns whether all came to their end.
pub fn run(world: &mut World, parties: &mut [Box<dyn Party>], script: &[Cue]) -> bool {
    let mut script_left = script.iter().copied().peekable();
    let mut lines = 0_usize;
    for _ in 0..MAX_STEPS {
        let scripted = script_left.peek().copied();
        let chosen = match scripted.filter(|cue| parties[cue.party].ready(world)) {
            Some(cue) => Some(cue.party),
            // A script that cannot go on has been overtaken.
            None if scripted.is_some() => {
                script_left.next();
                continue;
            }
            None => choose(world, parties, script.is_empty()),
        };
        let Some(chosen) = chosen else {
            return parties.iter().all(|party| party.idle());
        };
        let chosen = advance(world, parties, chosen, !script.is_empty());
        let done = parties[chosen].step(world);
        if let Some(cue) = scripted
            && cue.party == chosen
            && (cue.until == done || lines > 200)
        {
            script_left.next();
            lines = 0;
        }
        lines += 1;
    }
    false
}

fn choose(world: &mut World, parties: &[Box<dyn Party>], random: bool) -> Option<usize> {
    let mut chosen = None;
    let mut ready = 0;
    for (number, party) in parties.iter().enumerate() {
        if party.ready(world) {
            ready += 1;
            if chosen.is_none() || random && world.rng.below(ready) == 0 {
                chosen = Some(number);
            }
        }
    }
    chosen
}

/// Moves the clock to the next step, and chooses a party instead that cannot wait so long.
fn advance(world: &mut World, parties: &[Box<dyn Party>], chosen: usize, scripted: bool) -> usize {
    let takes = match world.rng.below(200) {
        _ if scripted => 300 + world.rng.below(2_500),
        0 => world.rng.below(5_000_000),
        1..6 => world.rng.below(900_000),
        6..30 => world.rng.below(30_000),
        30..110 => world.rng.below(3_000),
        _ => 0,
    };
    let then = world.now + LEAST_NS + takes;
    let deadlines = parties.iter().enumerate();
    let first = deadlines
        .filter_map(|(number, party)| Some((party.deadline(world)?, number)))
        .min();
    match first {
        Some((deadline, number)) if deadline <= then => {
            world.now = deadline.max(world.now + 1);
            number
        }
        _ => {
            world.now = then;
            chosen
        }
    }
}
