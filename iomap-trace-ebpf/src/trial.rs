//! Programs that do nothing: they tell whether this kernel takes a probe of their kind at all.

use aya_ebpf::macros::{fexit, kprobe, raw_tracepoint};
use aya_ebpf::programs::{FExitContext, ProbeContext, RawTracePointContext};

use crate::read::peek;

#[fexit]
pub fn trial_fexit(_ctx: FExitContext) -> i32 {
    0
}

#[kprobe]
pub fn trial_kprobe(_ctx: ProbeContext) -> u32 {
    0
}

/// Reads without a helper, as far as there is a way.
#[raw_tracepoint]
pub fn trial_cast(ctx: RawTracePointContext) -> i32 {
    peek::<u32>(ctx.arg(0)).map_or(1, |_| 0)
}
