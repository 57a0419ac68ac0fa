//! The records of a failure, as a tracer makes them, and the truth of it.

use super::cache::Touch;
use super::cast;
use super::invalidate::{Invalidation, Seen, look};
use super::tape::Pending;
use super::truth::{Reason, Truth};
use super::world::{PAGE, Shape, World};
use super::writer::Current;
use crate::correlate::Cause;
use crate::event::{Event, Failure, Outcome, OutcomeKind, Phase, Touched};
use crate::reference::Policy;

/// What became of an invalidation.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// Phase.
    pub phase: Phase,
    /// Its result.
    pub errno: Option<i32>,
    /// What follows from it.
    pub outcome: OutcomeKind,
    /// When the probe noted the time.
    pub ns: u64,
}

/// Reasons, with the locks behind them.
pub type Reasons = Vec<(Reason, Option<u64>)>;

/// An invalidation has returned: if a tracer would tell of it, so does the tape. Returns the number
/// of its truth.
pub fn tell(world: &mut World, current: &Current, told: Told, done: Invalidation) -> Option<usize> {
    let (from, end) = current.pages();
    let left = world.cache.next(from, end).is_some();
    let tells = match (world.shape, told.phase) {
        (Shape::Returns, _) => told.errno.is_some(),
        // iomap_dio_invalidate_fail: only iomap has it.
        (Shape::Tracepoints, Phase::Pre) => told.errno.is_some() && world.policy != Policy::Generic,
        // iomap_dio_complete: what wb_err and the page cache show.
        (Shape::Tracepoints, _) => {
            let changed = world.wb_err != current.wb_err;
            changed && World::eio_unseen(world.wb_err) || left && World::eio_unseen(current.wb_err)
        }
    };
    tells.then(|| send(world, current, told, done.reasons, done.seen))
}

/// Why a write is done buffered that met folios while its range was mapped.
pub fn met(world: &World, current: &Current) -> Reasons {
    let (from, end) = current.pages();
    let folios = world.cache.within(from, end);
    let reason = |page: u64, pages| {
        let by = world.cache.cached[page as usize].map(|touch| touch.task);
        Reason {
            index: world.place.first_page + page,
            pages,
            cause: Cause::Reappeared,
            tid: by.map(|by| by.tid),
            comm: by.map_or("", |by| by.comm),
            holders: Vec::new(),
            self_inflicted: by == Some(current.task),
        }
    };
    folios
        .map(|folio| (reason(folio.page, folio.pages), None))
        .collect()
}

/// The flush failed, and the kernel tells of it as of an invalidation.
pub fn flush_failed(world: &mut World, current: &Current, told: Told) -> usize {
    let reason = Reason {
        index: world.place.first_page + current.pages().0,
        pages: 1,
        cause: Cause::WritebackError,
        tid: None,
        comm: "",
        holders: Vec::new(),
        self_inflicted: false,
    };
    send(world, current, told, vec![(reason, None)], Vec::new())
}

/// Sends the records, and returns the number of their truth.
pub fn send(
    world: &mut World,
    current: &Current,
    told: Told,
    reasons: Reasons,
    mut seen: Vec<Seen>,
) -> usize {
    let (from, end) = current.pages();
    let (shape, id) = (world.shape, world.tape.failure());
    let found: Vec<Seen> = world
        .cache
        .within(from, end)
        .filter(|folio| {
            let index = world.place.first_page + folio.page;
            seen.iter().all(|seen| seen.refusal.index != index)
        })
        .map(|folio| look(world, folio, told.ns, None))
        .collect();
    seen.extend(found);
    let touched = |touch: Touch, index| Touched {
        failure: id,
        index,
        ts_ns: touch.ns,
        pid: touch.task.pid,
        tid: touch.task.tid,
        comm: touch.task.comm.into(),
        how: touch.how,
    };
    let mut dirtied = Vec::new();
    let mut cached = Vec::new();
    for seen in &mut seen {
        seen.refusal.failure = id;
        let index = seen.refusal.index;
        dirtied.extend(seen.dirtied.map(|t| Event::Dirtied(touched(t, index))));
        cached.extend(seen.cached.map(|t| Event::Cached(touched(t, index))));
    }
    let queued = current.write.queued && told.phase == Phase::Post;
    // Where results are seen, one that is not there is that of an invalidation that was not tried.
    let untried = shape == Shape::Returns && told.phase == Phase::Pre && told.errno.is_none();
    let flags = [
        (current.eio_before, "eio-before"),
        (untried, "return-unseen"),
    ];
    let failure = Failure {
        id,
        ts_ns: told.ns,
        duration_ns: told.ns - current.begin_ns,
        phase: told.phase,
        pid: current.task.pid,
        tid: current.task.tid,
        comm: current.task.comm.into(),
        worker: None,
        completed_by: queued.then_some(cast::DIO_WORK.tid),
        cgroup: 1,
        dev: world.place.dev,
        ino: world.place.ino,
        root: world.place.root,
        fs: world.fs.name().into(),
        path: None,
        pos: world.pos(current.write.span),
        len: current.len() as u64,
        size: (world.place.first_page + world.place.pages).saturating_mul(PAGE),
        errno: told.errno.filter(|_| shape == Shape::Returns),
        wb_err_begin: current.wb_err,
        wb_err_now: world.wb_err,
        wb_error_ns: world.wb_error_ns,
        refusals: seen.len() as u32,
        dirtied: dirtied.len() as u32,
        cached: cached.len() as u32,
        flags: flags
            .into_iter()
            .filter(|(set, _)| *set)
            .map(|(_, flag)| flag.into())
            .collect(),
        stack: Vec::new(),
    };
    let mut events = vec![Event::Failure(Box::new(failure))];
    events.extend(seen.into_iter().map(|seen| Event::Refusal(seen.refusal)));
    events.extend(dirtied);
    events.extend(cached);
    events.push(Event::Outcome(Outcome {
        failure: id,
        outcome: told.outcome,
        ret: match told.phase {
            Phase::Pre => None,
            Phase::Map => Some(0),
            Phase::Post => Some(current.len()),
        },
    }));
    let now = world.now;
    world.tape.send(now, events);
    world.tape.failed(now, current.begin_ns);
    let (reasons, locks) = reasons.into_iter().unzip();
    world.tape.truths.push(Pending {
        truth: Truth {
            failure: id,
            phase: told.phase,
            policy: world.policy,
            kernel: world.kernel,
            reasons,
            outcome: told.outcome,
            ret: 0,
            stale: false,
        },
        locks,
    });
    world.tape.truths.len() - 1
}
