//! The stream of records as a log would hold it, and what can befall it on the way.

use std::collections::BTreeMap;

use super::kernel::Kernel;
use super::tape::Unit;
use super::world::Shape;
use crate::correlate::HOOKS;
use crate::event::{
    Clock, End, Event, Facts, Holder, HookReport, HookState, KernelInfo, Loss, Mark, SCHEMA, Start,
};
use crate::rng::Rng;

/// Hooks of which evidence can be lost.
const LOSABLE: [&str; 2] = ["ordered", "extent-lock"];

/// What befalls the records.
#[derive(Clone, Copy, Debug, Default)]
pub struct Degrade {
    /// Records of different CPUs come late by up to so many nanoseconds; the marks wait for them.
    pub disorder_ns: u64,
    /// One record in so many comes twice; 0: none.
    pub duplicate: u64,
    /// One holder in so many is lost, and said to be; 0: none.
    pub lose: u64,
    /// The clock moves in steps of so many nanoseconds; 0 and 1 are the same.
    pub grain_ns: u64,
    /// Between marks; 0: a quarter of a second, as a live run.
    pub marks_ns: u64,
    /// The begin of one write in so many was not seen; 0: all were.
    pub no_begin: u64,
    /// Holders of no bytes are among the records.
    pub empty_holders: bool,
}

/// The run's first record.
pub fn start(kernel: Kernel, shape: Shape) -> Start {
    let plan = match shape {
        Shape::Returns => "fexit",
        Shape::Tracepoints => "tracepoint",
    };
    let skipped: &[&str] = match shape {
        Shape::Returns => &[],
        Shape::Tracepoints => &["invalidate", "release", "stale-warn"],
    };
    let report = |hook: &&str| {
        let skip = skipped.contains(hook);
        HookReport {
            hook: (*hook).to_owned(),
            state: if skip {
                HookState::Skipped
            } else {
                HookState::Attached
            },
            via: (!skip).then(|| "model".to_owned()),
            symbol: None,
            reason: skip.then(|| "the plan has no probe for it".to_owned()),
            rejected: Vec::new(),
        }
    };
    Start {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        command: vec!["iomap-trace".to_owned(), "model".to_owned()],
        kernel: KernelInfo {
            release: kernel.name().to_owned(),
            build: "model".to_owned(),
            arch: "model".to_owned(),
        },
        hostname: None,
        page_size: super::world::PAGE,
        boot_id: String::new(),
        clock: Clock::default(),
        mounts: Vec::new(),
        filesystems: Vec::new(),
        plan: plan.to_owned(),
        hooks: HOOKS.iter().map(report).collect(),
        programs: Vec::new(),
        facts: Facts {
            ordered_blocks_release: Some(kernel.ordered_blocks()),
            writeback_error_fires: Some(kernel.tells_flush_errors()),
        },
        layout: BTreeMap::new(),
        limits: Vec::new(),
        part: None,
    }
}

/// The records in the order of the log, from `start` to `end`.
pub fn stream(start: Start, mut units: Vec<Unit>, degrade: Degrade, rng: &mut Rng) -> Vec<Event> {
    for unit in &mut units {
        befall(unit, degrade, rng);
    }
    let mut lost = Vec::new();
    if degrade.lose > 0 {
        units.retain(|unit| {
            let kept = !loses(unit) || rng.below(degrade.lose) != 0;
            if !kept {
                lost.push((unit.ns, LOSABLE[usize::from(is_lock(unit))]));
            }
            kept
        });
    }
    let mut sent: Vec<(u64, Unit)> = Vec::with_capacity(units.len());
    for unit in units {
        if degrade.duplicate > 0 && rng.below(degrade.duplicate) == 0 {
            let late = rng.below(degrade.disorder_ns + 1);
            sent.push((unit.ns.saturating_add(late), unit.clone()));
        }
        let late = rng.below(degrade.disorder_ns + 1);
        sent.push((unit.ns.saturating_add(late), unit));
    }
    // The sort is stable: what is sent at one moment comes in the order of its making.
    sent.sort_by_key(|(at, _)| *at);
    marked(start, sent, &lost, degrade)
}

/// With marks, which wait for what is late, and what was lost before the mark that tells of it.
fn marked(
    start: Start,
    sent: Vec<(u64, Unit)>,
    lost: &[(u64, &str)],
    degrade: Degrade,
) -> Vec<Event> {
    let every = match degrade.marks_ns {
        0 => 250_000_000,
        ns => ns.max(1_000_000),
    };
    let mut events = vec![Event::Start(Box::new(start))];
    let first = sent.first().map_or(0, |(at, _)| *at);
    let last = sent.last().map_or(first, |(at, _)| *at);
    let mut mark = first / every * every;
    // A run that loses its first records began before the first that came.
    let lost_first = lost.iter().map(|(ns, _)| *ns).min();
    let mut since = lost_first.map_or(mark, |ns| ns.min(mark));
    let mut tick = |events: &mut Vec<Event>, at: u64| {
        for hook in LOSABLE {
            let inside = |(ns, name): &&(u64, &str)| *name == hook && since <= *ns && *ns < at;
            let count = lost.iter().filter(inside).count() as u64;
            if count > 0 {
                let counter = format!("{hook}.lost");
                events.push(Event::Loss(Loss {
                    hook: hook.into(),
                    counter: counter.into(),
                    count,
                    since_ns: since,
                    ts_ns: at,
                }));
            }
        }
        since = at;
        events.push(Event::Mark(Mark { ts_ns: at }));
    };
    for (at, unit) in sent {
        // Nothing older than `mark` is to come once it is later than the disorder.
        while mark.saturating_add(degrade.disorder_ns) < at {
            let behind = at - degrade.disorder_ns - mark;
            // Nothing happens for long: no mark for each tick of it.
            let ticks = if behind > 40 * every {
                behind / every
            } else {
                1
            };
            tick(&mut events, mark);
            mark = mark.saturating_add(ticks * every);
        }
        events.extend(unit.events);
    }
    // A run goes on for a while after its last failure.
    let end = last.saturating_add(5_000_000_000);
    while mark < end {
        tick(&mut events, mark);
        mark = mark.saturating_add(every.max(250_000_000));
    }
    tick(&mut events, mark);
    events.push(Event::End(Box::new(End {
        ts_ns: mark,
        why: "command".to_owned(),
        ..End::default()
    })));
    events
}

fn holder_of(unit: &Unit) -> Option<&Holder> {
    match unit.events.first() {
        Some(Event::Holder(holder)) => Some(holder),
        _ => None,
    }
}

fn loses(unit: &Unit) -> bool {
    holder_of(unit).is_some()
}

fn is_lock(unit: &Unit) -> bool {
    holder_of(unit).is_some_and(|holder| holder.kind == crate::event::HolderKind::ExtentLock)
}

/// What befalls the records of one unit.
fn befall(unit: &mut Unit, degrade: Degrade, rng: &mut Rng) {
    let empty = degrade.empty_holders.then(|| {
        holder_of(unit).map(|holder| {
            let mut empty = holder.clone();
            (empty.len, empty.id, empty.tid) = (0, holder.id + (1 << 40), 999);
            Event::Holder(Box::new(empty))
        })
    });
    unit.events.extend(empty.flatten());
    for event in &mut unit.events {
        if let Event::Failure(failure) = event
            && degrade.no_begin > 0
            && rng.below(degrade.no_begin) == 0
        {
            failure.duration_ns = 0;
            failure.flags.push("no-begin".into());
        }
        if degrade.grain_ns > 1 {
            coarse(event, degrade.grain_ns);
        }
    }
    if degrade.grain_ns > 1 {
        unit.ns -= unit.ns % degrade.grain_ns;
    }
}

/// The same, by a clock that moves in steps.
fn coarse(event: &mut Event, grain: u64) {
    let round = |ns: &mut u64| *ns -= *ns % grain;
    match event {
        Event::Failure(failure) => {
            let mut begin = failure.ts_ns - failure.duration_ns;
            let seen = failure.duration_ns != 0;
            round(&mut begin);
            round(&mut failure.ts_ns);
            failure.duration_ns = if seen { failure.ts_ns - begin } else { 0 };
            failure.wb_error_ns.iter_mut().for_each(round);
        }
        Event::Refusal(refusal) => {
            round(&mut refusal.ts_ns);
            refusal.entered_ns.iter_mut().for_each(round);
        }
        Event::Dirtied(touched) | Event::Cached(touched) => round(&mut touched.ts_ns),
        Event::Holder(holder) => {
            round(&mut holder.start_ns);
            round(&mut holder.end_ns);
            holder.locked_ns.iter_mut().for_each(round);
            holder.unlocked_ns.iter_mut().for_each(round);
            holder.created_ns.iter_mut().for_each(round);
        }
        _ => {}
    }
}
