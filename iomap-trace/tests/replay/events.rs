//! A run made by hand.

use iomap_trace::event::{
    Clock, Dev, End, Event, Facts, Failure, Holder, HolderKind, HookReport, HookState, How,
    KernelInfo, Mark, Mount, Outcome, OutcomeKind, Phase, Refusal, SCHEMA, Start, Touched,
};
use std::collections::BTreeMap;

const SECOND: u64 = 1_000_000_000;

/// A run on xfs.
pub fn start() -> Event {
    let hook = |hook: &str| HookReport {
        hook: hook.into(),
        state: HookState::Attached,
        via: Some("raw_tp".into()),
        symbol: None,
        reason: None,
        rejected: vec![],
    };
    Event::Start(Box::new(Start {
        schema: SCHEMA,
        version: "0.1.0".into(),
        command: vec!["iomap-trace".into(), "record".into()],
        kernel: KernelInfo {
            release: "6.18.0".into(),
            build: "#1 SMP".into(),
            arch: "x86_64".into(),
        },
        hostname: None,
        page_size: 4096,
        boot_id: "b2a3".into(),
        clock: Clock {
            boot_ns: 50 * SECOND,
            wall_ns: 1_795_392_000 * SECOND,
        },
        mounts: vec![Mount {
            dev: Dev { major: 7, minor: 0 },
            fs: "xfs".into(),
            at: "/mnt".into(),
            options: "rw".into(),
            block_size: 4096,
        }],
        filesystems: Vec::new(),
        plan: "tracepoint".into(),
        hooks: ["invalidate", "dirty", "cached", "dio"].map(hook).to_vec(),
        programs: Vec::new(),
        facts: Facts::default(),
        layout: BTreeMap::from([("inode_i_ino".into(), 64)]),
        limits: Vec::new(),
        part: None,
    }))
}

/// A failure with a folio that `mapper` had dirtied again, and its outcome.
pub fn failure(id: u64, phase: Phase) -> Vec<Event> {
    let ts_ns = 60 * SECOND + id * 1_000_000;
    let failure = Failure {
        id,
        ts_ns,
        duration_ns: 200_000,
        phase,
        pid: 100,
        tid: 100,
        comm: "fio".into(),
        worker: None,
        completed_by: None,
        cgroup: 1,
        dev: Dev { major: 7, minor: 0 },
        ino: 131,
        root: None,
        fs: "xfs".into(),
        path: Some("/mnt/with space\nand newline".into()),
        pos: id * 16384,
        len: 16384,
        size: 8 << 20,
        errno: None,
        wb_err_begin: 0,
        wb_err_now: 0,
        wb_error_ns: None,
        refusals: 1,
        dirtied: 1,
        cached: 0,
        flags: vec![],
        stack: vec![],
    };
    let index = failure.pos / 4096;
    let outcome = match phase {
        Phase::Pre | Phase::Map => OutcomeKind::BufferedFallback,
        Phase::Post => OutcomeKind::StaleCache,
    };
    vec![
        Event::Failure(Box::new(failure)),
        Event::Refusal(Refusal {
            failure: id,
            ts_ns,
            entered_ns: None,
            index,
            pages: 1,
            folio_flags: vec!["uptodate".into(), "dirty".into()],
            buffers: None,
        }),
        Event::Dirtied(Touched {
            failure: id,
            index,
            ts_ns: ts_ns - 100_000,
            pid: 200,
            tid: 201,
            comm: "mapper".into(),
            how: How::Mmap,
        }),
        Event::Outcome(Outcome {
            failure: id,
            outcome,
            ret: None,
        }),
    ]
}

/// Nothing was lost.
pub fn end() -> Event {
    Event::End(Box::new(End {
        ts_ns: 70 * SECOND,
        why: "duration".into(),
        counters: BTreeMap::from([("dio.writes".into(), 500)]),
        losses: BTreeMap::from([("failure".into(), 0)]),
        cost: BTreeMap::new(),
        kernel_printed: None,
        clock: None,
        process: None,
    }))
}

/// Twelve failures before submission, three after completion.
pub fn run() -> Vec<Event> {
    let mut events = vec![start()];
    for id in 1..=15 {
        events.extend(failure(
            id,
            if id % 5 == 0 { Phase::Post } else { Phase::Pre },
        ));
    }
    events.push(Event::Mark(Mark { ts_ns: 69 * SECOND }));
    events.push(end());
    events
}

/// A failure as the plans see it that see functions: it returned `EBUSY`, and between 30 and 20
/// microseconds before the folio was refused.
fn refused(id: u64, phase: Phase, dirty: bool) -> Vec<Event> {
    let mut events = failure(id, phase);
    for event in &mut events {
        match event {
            Event::Failure(failure) => {
                failure.errno = Some(-16);
                failure.fs = "btrfs".into();
                failure.root = Some(5);
                failure.dirtied = u32::from(dirty);
            }
            Event::Refusal(refusal) => {
                refusal.ts_ns -= 20_000;
                refusal.entered_ns = Some(refusal.ts_ns - 10_000);
                if !dirty {
                    refusal.folio_flags = vec!["uptodate".into(), "private".into()];
                }
            }
            _ => {}
        }
    }
    events.retain(|event| dirty || !matches!(event, Event::Dirtied(_)));
    events
}

/// Somebody held the range of failure `id`, from 50 microseconds before it for `held_ns`.
fn held(id: u64, kind: HolderKind, held_ns: u64) -> Event {
    let locked_ns = 60 * SECOND + id * 1_000_000 - 50_000;
    let ordered = kind == HolderKind::OrderedIo;
    let worker = ("kworker/u8:3", 300);
    let (comm, tid) = if ordered { worker } else { ("filefrag", 301) };
    Event::Holder(Box::new(Holder {
        id,
        kind,
        dev: Dev { major: 7, minor: 0 },
        ino: 131,
        root: Some(5),
        pos: id * 16384,
        len: 16384,
        start_ns: locked_ns,
        locked_ns: Some(locked_ns),
        unlocked_ns: Some(locked_ns + held_ns),
        end_ns: locked_ns + held_ns,
        pid: tid,
        tid,
        comm: comm.into(),
        unlocked_by: None,
        created_ns: ordered.then_some(locked_ns - 50_000),
        created_by: ordered.then_some(100),
        function: (!ordered).then(|| "extent_fiemap".into()),
        ordered_flags: vec![],
        stack: vec![],
    }))
}

/// A run that saw functions: one folio held by ordered I/O of the write itself, one by FIEMAP, one
/// by neither, one dirtied again; and after completion one dirtied again, and one whose return was
/// not seen.
pub fn run_of_fexit() -> Vec<Event> {
    let Event::Start(mut first) = start() else {
        unreachable!()
    };
    first.plan = "fexit".into();
    first.facts.ordered_blocks_release = Some(true);
    let mut unseen = failure(6, Phase::Post);
    unseen.retain(|event| matches!(event, Event::Failure(_) | Event::Outcome(_)));
    if let Some(Event::Failure(failure)) = unseen.first_mut() {
        failure.flags = vec!["return-unseen".into()];
        (failure.fs, failure.root) = ("btrfs".into(), Some(5));
        (failure.refusals, failure.dirtied) = (0, 0);
    }
    [
        vec![Event::Start(first)],
        refused(1, Phase::Pre, false),
        vec![held(1, HolderKind::OrderedIo, 80_000)],
        refused(2, Phase::Pre, false),
        vec![held(2, HolderKind::ExtentLock, 70_000)],
        refused(3, Phase::Pre, false),
        refused(4, Phase::Pre, true),
        refused(5, Phase::Post, true),
        unseen,
        vec![Event::Mark(Mark { ts_ns: 69 * SECOND }), end()],
    ]
    .concat()
}
