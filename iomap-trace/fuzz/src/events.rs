//! Bytes to events: few inodes, threads and numbers, so that records meet; times that are close,
//! mostly.

use arbitrary::{Result, Unstructured};
use iomap_trace::event::{
    Buffers, Dev, Event, Facts, Failure, Holder, HolderKind, HookReport, HookState, How, Loss,
    Mark, Outcome, OutcomeKind, Phase, Refusal, SCHEMA, Start, Touched,
};

/// At most this many events are made.
const EVENTS: usize = 256;
/// When things happen, nanoseconds since boot.
const BEGIN_NS: u64 = 100_000_000_000;
/// Steps of time: a microsecond, what an unlock takes, a second.
const STEPS_NS: [u64; 4] = [1, 1_000, 1_000_000, 1_000_000_000];

/// A run: its start, and records in any order. Bytes that are missing are no error.
pub fn run(bytes: &[u8]) -> (Start, Vec<Event>) {
    let mut u = Unstructured::new(bytes);
    let start = start(&mut u).unwrap_or_else(|_| described(Facts::default(), Vec::new(), 4096));
    let mut events = Vec::new();
    while !u.is_empty() && events.len() < EVENTS {
        match event(&mut u) {
            Ok(event) => events.push(event),
            Err(_) => break,
        }
    }
    (start, events)
}

fn start(u: &mut Unstructured<'_>) -> Result<Start> {
    let facts = Facts {
        ordered_blocks_release: u.arbitrary()?,
        writeback_error_fires: u.arbitrary()?,
    };
    let mut skipped = Vec::new();
    for hook in ["release", "ordered", "extent-lock", "stale-warn"] {
        if u.arbitrary()? {
            skipped.push(hook);
        }
    }
    let page_size = *u.choose(&[4096, 65536, 0, u64::MAX])?;
    Ok(described(facts, skipped, page_size))
}

fn described(facts: Facts, skipped: Vec<&str>, page_size: u64) -> Start {
    let hook = |hook: &str| HookReport {
        hook: hook.into(),
        state: HookState::Skipped,
        via: None,
        symbol: None,
        reason: Some("not wanted".into()),
        rejected: Vec::new(),
    };
    Start {
        schema: SCHEMA,
        version: "0".into(),
        command: Vec::new(),
        kernel: Default::default(),
        hostname: None,
        page_size,
        boot_id: String::new(),
        clock: Default::default(),
        mounts: Vec::new(),
        filesystems: Vec::new(),
        plan: "fexit".into(),
        hooks: skipped.into_iter().map(hook).collect(),
        programs: Vec::new(),
        facts,
        layout: Default::default(),
        limits: Vec::new(),
        part: None,
    }
}

fn event(u: &mut Unstructured<'_>) -> Result<Event> {
    Ok(match u.int_in_range(0..=10)? {
        0 | 1 => Event::Failure(Box::new(failure(u)?)),
        2 | 3 => Event::Refusal(refusal(u)?),
        4 => Event::Dirtied(touched(u)?),
        5 => Event::Cached(touched(u)?),
        6 => Event::Outcome(Outcome {
            failure: number(u)?,
            outcome: *u.choose(&[
                OutcomeKind::BufferedFallback,
                OutcomeKind::StaleCache,
                OutcomeKind::Error,
                OutcomeKind::Unknown,
            ])?,
            ret: u.arbitrary()?,
        }),
        7 | 8 => Event::Holder(Box::new(holder(u)?)),
        9 => Event::Loss(Loss {
            hook: (*u.choose(&["extent-lock", "ordered", "release", "dirty", "other"])?).into(),
            counter: "missed".into(),
            count: u.arbitrary()?,
            since_ns: time(u)?,
            ts_ns: time(u)?,
        }),
        _ => Event::Mark(Mark { ts_ns: time(u)? }),
    })
}

fn failure(u: &mut Unstructured<'_>) -> Result<Failure> {
    let (dev, ino, root) = inode(u)?;
    let (pos, len) = range(u)?;
    let fs = *u.choose(&["btrfs", "xfs", "ext4"])?;
    Ok(Failure {
        id: number(u)?,
        ts_ns: time(u)?,
        duration_ns: span(u)?,
        phase: *u.choose(&[Phase::Pre, Phase::Map, Phase::Post])?,
        pid: thread(u)?,
        tid: thread(u)?,
        comm: "writer".into(),
        worker: None,
        completed_by: None,
        cgroup: 1,
        dev,
        ino,
        root,
        fs: fs.into(),
        path: None,
        pos,
        len,
        size: u.arbitrary()?,
        errno: *u.choose(&[None, Some(-16), Some(-5), Some(0), Some(i32::MIN)])?,
        wb_err_begin: wb_err(u)?,
        wb_err_now: wb_err(u)?,
        wb_error_ns: maybe(u, time)?,
        refusals: u.int_in_range(0..=3)?,
        dirtied: u.int_in_range(0..=2)?,
        cached: u.int_in_range(0..=2)?,
        flags: flags(
            u,
            &[
                "no-begin",
                "walk",
                "walk-cut",
                "wb-err",
                "return-unseen",
                "eio-before",
                "refusals-cut",
                "folio",
            ],
        )?,
        stack: Vec::new(),
    })
}

fn refusal(u: &mut Unstructured<'_>) -> Result<Refusal> {
    let flags_of_folios = [
        "dirty",
        "writeback",
        "private",
        "locked",
        "uptodate",
        "mappedtodisk",
    ];
    Ok(Refusal {
        failure: number(u)?,
        ts_ns: time(u)?,
        entered_ns: maybe(u, time)?,
        index: index(u)?,
        pages: *u.choose(&[1, 0, 16, u32::MAX])?,
        folio_flags: flags(u, &flags_of_folios)?,
        buffers: maybe(u, |u| {
            Ok(Buffers {
                state: flags(u, &["dirty", "jbd", "lock", "async-write", "uptodate"])?,
                busy: u.arbitrary()?,
            })
        })?,
    })
}

fn touched(u: &mut Unstructured<'_>) -> Result<Touched> {
    Ok(Touched {
        failure: number(u)?,
        index: index(u)?,
        ts_ns: time(u)?,
        pid: thread(u)?,
        tid: thread(u)?,
        comm: "toucher".into(),
        how: *u.choose(&[
            How::Mmap,
            How::Buffered,
            How::Read,
            How::Kernel,
            How::Unknown,
        ])?,
    })
}

fn holder(u: &mut Unstructured<'_>) -> Result<Holder> {
    let (dev, ino, root) = inode(u)?;
    let (pos, len) = range(u)?;
    Ok(Holder {
        id: number(u)?,
        kind: *u.choose(&[HolderKind::OrderedIo, HolderKind::ExtentLock])?,
        dev,
        ino,
        root,
        pos,
        len,
        start_ns: time(u)?,
        locked_ns: maybe(u, time)?,
        unlocked_ns: maybe(u, time)?,
        end_ns: time(u)?,
        pid: thread(u)?,
        tid: thread(u)?,
        comm: "holder".into(),
        unlocked_by: maybe(u, thread)?,
        created_ns: maybe(u, time)?,
        created_by: maybe(u, thread)?,
        function: maybe(u, |u| {
            Ok((*u.choose(&["extent_fiemap", "find_lock_delalloc_range"])?).into())
        })?,
        ordered_flags: Vec::new(),
        stack: Vec::new(),
    })
}

fn maybe<'a, T>(
    u: &mut Unstructured<'a>,
    value: impl Fn(&mut Unstructured<'a>) -> Result<T>,
) -> Result<Option<T>> {
    Ok(if u.arbitrary()? {
        Some(value(u)?)
    } else {
        None
    })
}

/// Some of `names`, by the bits of a byte.
fn flags<T: From<&'static str>>(
    u: &mut Unstructured<'_>,
    names: &[&'static str],
) -> Result<Vec<T>> {
    let bits: u8 = u.arbitrary()?;
    let set = names
        .iter()
        .enumerate()
        .filter(|(bit, _)| bits >> bit & 1 != 0);
    Ok(set.map(|(_, name)| T::from(*name)).collect())
}

/// Number of a failure or holder: they repeat.
fn number(u: &mut Unstructured<'_>) -> Result<u64> {
    u.int_in_range(1..=12)
}

fn thread(u: &mut Unstructured<'_>) -> Result<u32> {
    u.int_in_range(0..=5)
}

fn inode(u: &mut Unstructured<'_>) -> Result<(Dev, u64, Option<u64>)> {
    let bits: u8 = u.arbitrary()?;
    let dev = Dev {
        major: 0,
        minor: u32::from(bits & 1),
    };
    let root = [None, Some(5), Some(256), Some(0)][usize::from(bits >> 1 & 3)];
    Ok((dev, 257 + u64::from(bits >> 3 & 1), root))
}

fn range(u: &mut Unstructured<'_>) -> Result<(u64, u64)> {
    Ok(match u.int_in_range(0..=7)? {
        0 => (u.arbitrary()?, u.arbitrary()?),
        unit => {
            let unit = [512, 4096, 16384][unit % 3];
            (unit * u.int_in_range(0..=8)?, unit * u.int_in_range(0..=4)?)
        }
    })
}

fn index(u: &mut Unstructured<'_>) -> Result<u64> {
    Ok(match u.int_in_range(0..=7)? {
        0 => u.arbitrary()?,
        _ => u.int_in_range(0..=16)?,
    })
}

fn time(u: &mut Unstructured<'_>) -> Result<u64> {
    Ok(match u.int_in_range(0..=15)? {
        0 => u.arbitrary()?,
        _ => BEGIN_NS + span(u)?,
    })
}

fn span(u: &mut Unstructured<'_>) -> Result<u64> {
    let step: u64 = *u.choose(&STEPS_NS)?;
    Ok(step * u64::from(u.arbitrary::<u8>()?))
}

fn wb_err(u: &mut Unstructured<'_>) -> Result<u32> {
    // EIO, seen and not yet seen; and the counter beside it.
    Ok(*u.choose(&[0, 5, 0x1005, 0x2005, 0x3005, 0x201c, u32::MAX])?)
}
