//! First and last record of a log: the run, what could be seen, and what was lost.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::dev::Dev;
use super::filesystem::Filesystem;

/// Facts of the run, the log's first record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// Schema of the log, [`super::SCHEMA`].
    pub schema: u32,
    /// Version of iomap-trace.
    pub version: String,
    /// Command line.
    pub command: Vec<String>,
    /// Kernel.
    pub kernel: KernelInfo,
    /// Name of the machine, absent in logs of before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Page size in bytes.
    pub page_size: u64,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// Both clocks at the same moment.
    pub clock: Clock,
    /// Mounts of disk filesystems.
    pub mounts: Vec<Mount>,
    /// What these filesystems say of themselves, one entry for each device; empty in logs of before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filesystems: Vec<Filesystem>,
    /// Name of the plan most hooks follow: `fexit`, `kprobe` or `tracepoint`.
    pub plan: String,
    /// Every hook, with the probe chosen or the reason why there is none.
    pub hooks: Vec<HookReport>,
    /// The programs that were loaded.
    #[serde(default)]
    pub programs: Vec<ProgramReport>,
    /// What follows from this kernel for the verdicts.
    pub facts: Facts,
    /// Offsets used, by name (`inode_i_ino`); what this kernel lacks is left out.
    pub layout: BTreeMap<String, u32>,
    /// What keeps this process from seeing all: capabilities it lacks, a namespace it is in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<String>,
    /// Absent in the first part of a run's log, which is the only one where none was rotated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
}

/// The running kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelInfo {
    /// `uname -r`.
    pub release: String,
    /// `uname -v`.
    pub build: String,
    /// `uname -m`.
    pub arch: String,
}

/// Which part of a run's log this is: it goes on where the part before ended, `rotated`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Number of the part; the first one is 1.
    pub number: u64,
    /// [`Clock::boot_ns`] of the first part: with the boot id, this names the run.
    pub run_ns: u64,
    /// How many of the records that follow repeat the last ones of the part before: holders and
    /// losses that may bear on the first failures of this one.
    pub carried: u64,
}

/// The monotonic clock beside the wall clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// `CLOCK_BOOTTIME` in nanoseconds.
    pub boot_ns: u64,
    /// Nanoseconds since 1970.
    pub wall_ns: u64,
}

/// A mounted filesystem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Device of the super block.
    pub dev: Dev,
    /// Filesystem type.
    pub fs: String,
    /// Where it is mounted.
    pub at: String,
    /// Mount options and super block options.
    pub options: String,
    /// Block size in bytes, 0 when unknown.
    pub block_size: u64,
}

/// Whether a hook has a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HookState {
    /// The probe is attached (in `doctor`: could be).
    Attached,
    /// There is none.
    Skipped,
}

/// One hook of this run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookReport {
    /// Name of the hook: `invalidate`, `release`, `ordered`, `extent-lock`, `dirty`, `cached`,
    /// `dio`, `writeback-error`, `stale-warn`.
    pub hook: String,
    /// State.
    pub state: HookState,
    /// Kind of the probe, such as `raw_tp`.
    pub via: Option<String>,
    /// Symbol or tracepoint, several separated by a space.
    pub symbol: Option<String>,
    /// Why there is none, or what the chosen probe cannot see, or that it waits for the first failure.
    pub reason: Option<String>,
    /// Better probes that were not possible.
    pub rejected: Vec<Rejected>,
}

/// A program that was loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramReport {
    /// Name in the object.
    pub name: String,
    /// Instructions, as the kernel translated them; 0 where it does not tell.
    pub instructions: u32,
    /// Instructions that the verifier looked at (since 5.16).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<u32>,
}

/// A probe that was not possible.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// Kind of the probe.
    pub via: String,
    /// Why not.
    pub why: String,
}

/// What this kernel does, as far as verdicts depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Ordered-I/O completion can block the release of a folio (btrfs before 6.15).
    pub ordered_blocks_release: Option<bool>,
    /// A failed write-back fires `iomap_dio_invalidate_fail` as well (since 6.5).
    pub writeback_error_fires: Option<bool>,
}

/// Totals and losses, the log's last record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Nanoseconds since boot.
    pub ts_ns: u64,
    /// Why the run ended: `interrupted`, `duration`, `count`, `command`; `rotated` where it goes on in
    /// another part, and then the figures are those of this part; `quiet` where hooks wait again
    /// (`--standby`), and another run follows.
    pub why: String,
    /// The programs' counters by name.
    pub counters: BTreeMap<String, u64>,
    /// Records lost, by probe.
    pub losses: BTreeMap<String, u64>,
    /// Run time of the programs: nanoseconds and runs, by program, when bpf stats were on.
    pub cost: BTreeMap<String, (u64, u64)>,
    /// Lines of the kernel's own warning that were printed meanwhile, when that could be read.
    pub kernel_printed: Option<u64>,
    /// Both clocks at the end: where their distance is not that of the start, the wall clock was
    /// set meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<Clock>,
    /// What the tracer's own process used; absent in logs of before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessCost>,
}

/// CPU time and memory of the tracer's process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessCost {
    /// CPU time in nanoseconds.
    pub cpu_ns: u64,
    /// Memory that is resident, bytes.
    pub rss_bytes: u64,
    /// The most that was.
    pub peak_rss_bytes: u64,
    /// The run time of the programs was measured for so long only, at the start of the run,
    /// nanoseconds; absent where it was for the whole run, or not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bpf_measured_ns: Option<u64>,
}
