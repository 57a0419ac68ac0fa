//! Events for property tests: any value of every field.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use super::*;

/// Command names and paths: as hostile as a user can make them.
pub(crate) fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z/0-9:._-]{0,15}",
        any::<String>(),
        Just("a\nb\x1b[2J\u{202e}\t\"\\".to_owned()),
        Just("日本語のファイル".to_owned()),
    ]
}

fn word() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9_.+-]{0,11}"
}

fn short() -> impl Strategy<Value = Text> {
    word().prop_map(Text::from)
}

fn shorts() -> impl Strategy<Value = Vec<Text>> {
    vec(short(), 0..3)
}

fn words() -> impl Strategy<Value = Vec<String>> {
    vec(word(), 0..3)
}

/// Any device.
pub(crate) fn dev() -> impl Strategy<Value = Dev> {
    (0..1_u32 << 12, 0..1_u32 << 20).prop_map(|(major, minor)| Dev { major, minor })
}

/// Any phase.
pub(crate) fn phase() -> impl Strategy<Value = Phase> {
    prop::sample::select(vec![Phase::Pre, Phase::Map, Phase::Post])
}

/// Any outcome.
pub(crate) fn outcome_kind() -> impl Strategy<Value = OutcomeKind> {
    prop::sample::select(vec![
        OutcomeKind::BufferedFallback,
        OutcomeKind::StaleCache,
        OutcomeKind::Error,
        OutcomeKind::Unknown,
    ])
}

/// Any way to the page cache.
pub(crate) fn how() -> impl Strategy<Value = How> {
    prop::sample::select(vec![
        How::Mmap,
        How::Buffered,
        How::Read,
        How::IoUring,
        How::Kernel,
        How::Unknown,
    ])
}

fn worker() -> impl Strategy<Value = Option<Worker>> {
    option::of(prop::sample::select(vec![Worker::Kernel, Worker::IoUring]))
}

prop_compose! {
    fn file()(dev in dev(), ino: u64, root: Option<u64>, fs in short(), path in option::of(name()))
        -> (Dev, u64, Option<u64>, Text, Option<String>) {
        (dev, ino, root, fs, path)
    }
}

prop_compose! {
    fn task()(pid: u32, tid: u32, comm in name()) -> (u32, u32, Text) {
        (pid, tid, comm.into())
    }
}

prop_compose! {
    /// Any failure.
    pub(crate) fn failure()(
        (id, ts_ns, duration_ns, cgroup) in any::<(u64, u64, u64, u64)>(),
        phase in phase(),
        (pid, tid, comm) in task(),
        worker in worker(),
        completed_by: Option<u32>,
        (dev, ino, root, fs, path) in file(),
        (pos, len, size) in any::<(u64, u64, u64)>(),
        errno: Option<i32>,
        (wb_err_begin, wb_err_now, wb_error_ns) in any::<(u32, u32, Option<u64>)>(),
        (refusals, dirtied, cached) in any::<(u32, u32, u32)>(),
        (flags, stack) in (shorts(), words()),
    ) -> Failure {
        Failure {
            id, ts_ns, duration_ns, phase, pid, tid, comm, worker, completed_by, cgroup, dev, ino,
            root, fs, path, pos, len, size, errno, wb_err_begin, wb_err_now, wb_error_ns, refusals,
            dirtied, cached, flags, stack,
        }
    }
}

prop_compose! {
    /// Any refusal.
    pub(crate) fn refusal()(
        failure: u64,
        ts_ns: u64,
        entered_ns: Option<u64>,
        index: u64,
        pages: u32,
        folio_flags in shorts(),
        buffers in option::of((shorts(), any::<u32>()).prop_map(|(state, busy)| Buffers { state, busy })),
    ) -> Refusal {
        Refusal { failure, ts_ns, entered_ns, index, pages, folio_flags, buffers }
    }
}

prop_compose! {
    /// Any touch of the page cache.
    pub(crate) fn touched()(
        (failure, index, ts_ns) in any::<(u64, u64, u64)>(),
        (pid, tid, comm) in task(),
        how in how(),
    ) -> Touched {
        Touched { failure, index, ts_ns, pid, tid, comm, how }
    }
}

prop_compose! {
    /// Any holder.
    pub(crate) fn holder()(
        id: u64,
        kind in prop::sample::select(vec![HolderKind::OrderedIo, HolderKind::ExtentLock]),
        (dev, ino, root, _, _) in file(),
        (pos, len) in any::<(u64, u64)>(),
        (start_ns, locked_ns, unlocked_ns, end_ns) in any::<(u64, Option<u64>, Option<u64>, u64)>(),
        (pid, tid, comm) in task(),
        (unlocked_by, created_ns, created_by) in any::<(Option<u32>, Option<u64>, Option<u32>)>(),
        function in option::of(short()),
        (ordered_flags, stack) in (shorts(), words()),
    ) -> Holder {
        Holder {
            id, kind, dev, ino, root, pos, len, start_ns, locked_ns, unlocked_ns, end_ns, pid, tid,
            comm, unlocked_by, created_ns, created_by, function, ordered_flags, stack,
        }
    }
}

fn hook() -> impl Strategy<Value = HookReport> {
    let state = prop::sample::select(vec![HookState::Attached, HookState::Skipped]);
    let rejected = (word(), name()).prop_map(|(via, why)| Rejected { via, why });
    let text = || option::of(name());
    (word(), state, text(), text(), text(), vec(rejected, 0..2)).prop_map(
        |(hook, state, via, symbol, reason, rejected)| HookReport {
            hook,
            state,
            via,
            symbol,
            reason,
            rejected,
        },
    )
}

fn program() -> impl Strategy<Value = ProgramReport> {
    (word(), any::<u32>(), any::<Option<u32>>()).prop_map(|(name, instructions, verified)| {
        ProgramReport {
            name,
            instructions,
            verified,
        }
    })
}

fn mount() -> impl Strategy<Value = Mount> {
    (dev(), word(), name(), name(), any::<u64>()).prop_map(|(dev, fs, at, options, block_size)| {
        Mount {
            dev,
            fs,
            at,
            options,
            block_size,
        }
    })
}

fn reasons() -> impl Strategy<Value = std::collections::BTreeMap<Text, String>> {
    btree_map(short(), name(), 0..2)
}

prop_compose! {
    fn filesystem()(
        dev in dev(),
        (features, data_profiles, metadata_profiles) in (shorts(), shorts(), shorts()),
        (sector_size, node_size) in any::<(Option<u32>, Option<u32>)>(),
        checksum in option::of(name().prop_map(Text::from)),
        data_mode in option::of(short()),
        missing in reasons(),
    ) -> Filesystem {
        Filesystem {
            dev, features, data_profiles, metadata_profiles, sector_size, node_size, checksum,
            data_mode, missing,
        }
    }
}

prop_compose! {
    /// Any file.
    pub(crate) fn file_record()(
        ts_ns: u64,
        (dev, ino, root, _, _) in file(),
        (size, allocated, extent_size) in any::<(Option<u64>, Option<u64>, Option<u32>)>(),
        flags in option::of(shorts()),
        compression in option::of(name().prop_map(Text::from)),
        missing in option::of(name()),
    ) -> FileRecord {
        FileRecord {
            ts_ns, dev, ino, root, size, allocated, flags, extent_size, compression, missing,
        }
    }
}

prop_compose! {
    /// The first record.
    pub(crate) fn start()(
        (version, boot_id, plan) in (word(), word(), word()),
        (command, hostname) in (vec(name(), 0..3), option::of(name())),
        (release, build, arch) in (word(), name(), word()),
        page_size: u64,
        (boot_ns, wall_ns) in any::<(u64, u64)>(),
        (mounts, filesystems) in (vec(mount(), 0..3), vec(filesystem(), 0..3)),
        hooks in vec(hook(), 0..3),
        programs in vec(program(), 0..3),
        (ordered_blocks_release, writeback_error_fires) in any::<(Option<bool>, Option<bool>)>(),
        layout in btree_map(word(), any::<u32>(), 0..3),
        limits in vec(name(), 0..2),
        part in any::<Option<(u64, u64, u64)>>(),
    ) -> Start {
        Start {
            schema: SCHEMA,
            version,
            command,
            kernel: KernelInfo { release, build, arch },
            hostname,
            page_size,
            boot_id,
            clock: Clock { boot_ns, wall_ns },
            mounts,
            filesystems,
            plan,
            hooks,
            programs,
            facts: Facts { ordered_blocks_release, writeback_error_fires },
            layout,
            limits,
            part: part.map(|(number, run_ns, carried)| Part { number, run_ns, carried }),
        }
    }
}

prop_compose! {
    /// The last record.
    pub(crate) fn end()(
        ts_ns: u64,
        why in word(),
        counters in btree_map(word(), any::<u64>(), 0..3),
        losses in btree_map(word(), any::<u64>(), 0..3),
        cost in btree_map(word(), any::<(u64, u64)>(), 0..3),
        kernel_printed: Option<u64>,
        clock in any::<Option<(u64, u64)>>(),
        process in any::<Option<(u64, u64, u64)>>(),
    ) -> End {
        let clock = clock.map(|(boot_ns, wall_ns)| Clock { boot_ns, wall_ns });
        let process = process.map(|(cpu_ns, rss_bytes, peak_rss_bytes)| ProcessCost {
            cpu_ns,
            rss_bytes,
            peak_rss_bytes,
            bpf_measured_ns: (rss_bytes % 2 == 0).then_some(cpu_ns),
        });
        End { ts_ns, why, counters, losses, cost, kernel_printed, clock, process }
    }
}

prop_compose! {
    /// Any loss.
    pub(crate) fn loss()(
        (hook, counter) in (short(), short()),
        (count, since_ns, ts_ns) in any::<(u64, u64, u64)>(),
    ) -> Loss {
        Loss { hook, counter, count, since_ns, ts_ns }
    }
}

/// Any record.
pub(crate) fn event() -> impl Strategy<Value = Event> {
    let outcome =
        (any::<u64>(), outcome_kind(), any::<Option<i64>>()).prop_map(|(failure, outcome, ret)| {
            Outcome {
                failure,
                outcome,
                ret,
            }
        });
    prop_oneof![
        start().prop_map(|start| Event::Start(Box::new(start))),
        failure().prop_map(|failure| Event::Failure(Box::new(failure))),
        refusal().prop_map(Event::Refusal),
        touched().prop_map(Event::Dirtied),
        touched().prop_map(Event::Cached),
        outcome.prop_map(Event::Outcome),
        file_record().prop_map(|file| Event::File(Box::new(file))),
        holder().prop_map(|holder| Event::Holder(Box::new(holder))),
        loss().prop_map(Event::Loss),
        any::<u64>().prop_map(|ts_ns| Event::Mark(Mark { ts_ns })),
        end().prop_map(|end| Event::End(Box::new(end))),
    ]
}
