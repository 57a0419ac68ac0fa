//! Empty programs: they tell whether this kernel takes a probe of their kind at all.

use aya_ebpf::macros::{fexit, kprobe};
use aya_ebpf::programs::{FExitContext, ProbeContext};

#[fexit]
pub fn trial_fexit(_ctx: FExitContext) -> i32 {
    0
}

#[kprobe]
pub fn trial_kprobe(_ctx: ProbeContext) -> u32 {
    0
}
