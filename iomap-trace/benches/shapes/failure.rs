//! The records of one failure.

use fastrand::Rng;
use iomap_trace::event::{
    Buffers, Event, Failure, Holder, HolderKind, How, Outcome, OutcomeKind, Phase, Refusal, Touched,
};

use super::scene::{BTRFS, Cause, PAGE, Scene, WRITE};

/// Functions that lock a range and hold it for a while.
const LOCKERS: [&str; 4] = [
    "btrfs_lock_and_flush_ordered_range",
    "extent_fiemap",
    "find_lock_delalloc_range",
    "lock_and_cleanup_extent_if_need",
];
/// Writers, and who shares files with them.
const COMMS: [&str; 4] = ["postgres", "fio", "qemu-system-x86", "mysqld"];

/// Numbers for the records of one failure.
#[derive(Clone, Copy, Debug)]
pub struct Ids {
    /// Of the failure.
    pub failure: u64,
    /// Of its first holder.
    pub holder: u64,
}

/// The failure and the records that follow it directly.
pub fn failure(scene: &Scene, ids: Ids, rng: &mut Rng) -> Vec<Event> {
    let folios = match rng.u8(0..16) {
        0..10 => 1,
        10..14 => 2,
        14 => 4,
        _ => 8,
    };
    let duration_ns = rng.u64(500_000..9_000_000);
    let first = scene.pos / PAGE + rng.u64(0..=WRITE / PAGE - folios);
    // One folio in twenty was dirtied by somebody whom no record names.
    let dirtied: Vec<bool> = (0..folios).map(|_| rng.u8(0..20) > 0).collect();
    let mut events = Vec::with_capacity(2 + 3 * folios as usize);
    events.push(Event::Failure(Box::new(Failure {
        id: ids.failure,
        ts_ns: scene.ts_ns,
        duration_ns,
        phase: match scene.cause {
            Cause::Stale => Phase::Post,
            Cause::Map => Phase::Map,
            _ => Phase::Pre,
        },
        pid: pid(scene),
        tid: writer(scene),
        comm: comm(scene).into(),
        worker: None,
        completed_by: None,
        cgroup: 4_242,
        dev: scene.dev,
        ino: scene.ino,
        root: (scene.dev == BTRFS).then_some(256),
        fs: scene.fs.into(),
        path: Some(path(scene)),
        pos: scene.pos,
        len: WRITE,
        size: 1 << 30,
        errno: (scene.cause != Cause::Map).then_some(-16),
        wb_err_begin: 0,
        wb_err_now: 0,
        wb_error_ns: None,
        refusals: folios as u32,
        dirtied: dirtied.iter().filter(|named| **named).count() as u32,
        cached: folios as u32,
        flags: Vec::new(),
        stack: Vec::new(),
    })));
    let looked = scene.ts_ns - 20_000;
    events.extend(
        (0..folios)
            .map(|folio| Event::Refusal(refusal(scene, ids, first + folio, looked + folio * 400))),
    );
    let touched = |folio: u64, before_ns: u64| Touched {
        failure: ids.failure,
        index: first + folio,
        ts_ns: scene.ts_ns - before_ns,
        pid: pid(scene),
        tid: other(scene),
        comm: comm(scene).into(),
        how: [How::Mmap, How::Buffered][(ids.failure % 2) as usize],
    };
    for folio in (0..folios).filter(|folio| dirtied[*folio as usize]) {
        // What is found dirty was dirtied during the write; what is clean, long before.
        let before_ns = match scene.cause {
            Cause::Dirty | Cause::Stale | Cause::Map => duration_ns / 2 - folio,
            _ => duration_ns * 2 + folio,
        };
        events.push(Event::Dirtied(touched(folio, before_ns)));
    }
    for folio in 0..folios {
        events.push(Event::Cached(touched(folio, duration_ns * 3 + folio)));
    }
    events.push(Event::Outcome(Outcome {
        failure: ids.failure,
        outcome: match scene.cause {
            Cause::Stale => OutcomeKind::StaleCache,
            _ => OutcomeKind::BufferedFallback,
        },
        ret: (scene.cause == Cause::Stale).then_some(WRITE as i64),
    }));
    events
}

fn refusal(scene: &Scene, ids: Ids, index: u64, entered_ns: u64) -> Refusal {
    let mut flags = vec!["locked", "referenced", "uptodate"];
    if matches!(scene.cause, Cause::Dirty | Cause::Stale | Cause::Map) {
        flags.push("dirty");
    }
    flags.extend(["lru", "private"]);
    Refusal {
        failure: ids.failure,
        ts_ns: entered_ns + 350,
        entered_ns: (scene.cause != Cause::Map).then_some(entered_ns),
        index,
        pages: 1,
        folio_flags: flags.into_iter().map(Into::into).collect(),
        buffers: (scene.cause == Cause::Journal).then(|| Buffers {
            state: ["uptodate", "mapped", "jbd"].map(Into::into).into(),
            busy: 1,
        }),
    }
}

/// The holders on the same range, of which the first is the culprit if a lock is the cause.
pub fn holders(scene: &Scene, ids: Ids, rng: &mut Rng) -> Vec<Holder> {
    if scene.dev != BTRFS {
        return Vec::new();
    }
    let locked_ns = scene.ts_ns.saturating_sub(scene.held_before_ns.max(60_000));
    let unlocked_ns = scene.ts_ns + scene.held_after_ns;
    let start_ns = locked_ns.saturating_sub(scene.waits_ns);
    let ordered = scene.cause == Cause::Ordered;
    let base = Holder {
        id: ids.holder,
        kind: HolderKind::ExtentLock,
        dev: scene.dev,
        ino: scene.ino,
        root: Some(256),
        pos: scene.pos,
        len: WRITE,
        start_ns,
        locked_ns: Some(locked_ns),
        unlocked_ns: Some(unlocked_ns),
        end_ns: unlocked_ns,
        pid: pid(scene),
        tid: other(scene),
        comm: comm(scene).into(),
        unlocked_by: None,
        created_ns: None,
        created_by: None,
        function: Some(LOCKERS[rng.usize(..LOCKERS.len())].into()),
        ordered_flags: Vec::new(),
        stack: Vec::new(),
    };
    let culprit = match scene.cause {
        Cause::Lock | Cause::Map => base.clone(),
        Cause::Ordered => Holder {
            kind: HolderKind::OrderedIo,
            end_ns: unlocked_ns + 9_000,
            pid: 87,
            tid: 87,
            comm: format!("kworker/u8:{}", ids.holder % 8).into(),
            created_ns: Some(scene.ts_ns - 400_000),
            created_by: Some(if rng.bool() {
                writer(scene)
            } else {
                other(scene)
            }),
            function: None,
            ordered_flags: vec!["nocow".into()],
            ..base.clone()
        },
        _ => Holder {
            function: Some("btrfs_page_mkwrite".into()),
            ..base.clone()
        },
    };
    let mut holders = vec![culprit];
    // Two writes in three lock the range themselves afterwards, when they are done again.
    if rng.u8(0..3) > 0 {
        let from = unlocked_ns + if ordered { 30_000 } else { 20_000 };
        holders.push(Holder {
            id: ids.holder + 1,
            start_ns: from,
            locked_ns: Some(from),
            unlocked_ns: Some(from + 40_000),
            end_ns: from + 40_000,
            tid: writer(scene),
            function: Some("lock_and_cleanup_extent_if_need".into()),
            ..base
        });
    }
    holders
}

fn pid(scene: &Scene) -> u32 {
    2_000 + (scene.ino % 64) as u32
}

fn writer(scene: &Scene) -> u32 {
    10_000 + (scene.pos / WRITE % 4_096) as u32
}

fn other(scene: &Scene) -> u32 {
    20_000 + (scene.pos / WRITE % 4_096) as u32
}

fn comm(scene: &Scene) -> &'static str {
    COMMS[(scene.ino % COMMS.len() as u64) as usize]
}

fn path(scene: &Scene) -> String {
    let root = match scene.fs {
        "btrfs" => "/srv/postgresql/16/main/base/16384",
        "xfs" => "/var/lib/libvirt/images/pool-0",
        _ => "/home/build/.cache/objects",
    };
    format!("{root}/{}.{}", scene.ino, scene.ino % 10)
}
