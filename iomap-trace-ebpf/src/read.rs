//! Reads of kernel memory by the layout that user space resolved, and the counters.

use aya_ebpf::Global;
use aya_ebpf::helpers::bpf_probe_read_kernel;
use iomap_trace_ebpf::{Counter, Layout, Settings};

use crate::maps::COUNTERS;

#[unsafe(no_mangle)]
pub static LAYOUT: Global<Layout> = Global::new(Layout::UNKNOWN);

#[unsafe(no_mangle)]
pub static SETTINGS: Global<Settings> = Global::new(Settings::NONE);

/// A read failed, or the running kernel has no such member.
pub struct Fault;

/// Adds one to a counter.
#[inline(always)]
pub fn count(counter: Counter) {
    if let Some(cell) = COUNTERS.get_ptr_mut(counter as u32) {
        // SAFETY: the array is per CPU, and a lost increment would only need a nested program.
        unsafe { *cell += 1 };
    }
}

/// Reads a value at a kernel address.
#[inline(always)]
pub fn read<T: Copy>(address: u64) -> Result<T, Fault> {
    // SAFETY: the helper checks the address and fails instead of faulting.
    unsafe { bpf_probe_read_kernel(address as *const T) }.map_err(|_| {
        count(Counter::ReadFault);
        Fault
    })
}

/// One slot of [`LAYOUT`], as a constant to the verifier.
macro_rules! offset {
    ($slot:ident) => {{
        let layout = (&raw const $crate::read::LAYOUT).cast::<iomap_trace_ebpf::Layout>();
        // SAFETY: `Global` is transparent, and a volatile read keeps the compiler from using the
        // value that user space replaces before the program is loaded.
        unsafe { core::ptr::read_volatile(&raw const (*layout).$slot) }
    }};
}

/// One field of [`SETTINGS`], as a constant to the verifier.
macro_rules! setting {
    ($field:ident) => {{
        let settings = (&raw const $crate::read::SETTINGS).cast::<iomap_trace_ebpf::Settings>();
        // SAFETY: as in `offset!`.
        unsafe { core::ptr::read_volatile(&raw const (*settings).$field) }
    }};
}

/// Reads a member of the structure at `$base`.
macro_rules! member {
    ($base:expr, $slot:ident as $type:ty) => {{
        let offset = $crate::read::offset!($slot);
        if offset == iomap_trace_ebpf::MISSING {
            Err($crate::read::Fault)
        } else {
            $crate::read::read::<$type>(u64::wrapping_add($base, offset as u64))
        }
    }};
}

pub(crate) use {member, offset, setting};
