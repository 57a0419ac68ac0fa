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

/// The begin of a structure, read at once: a read of several words costs little more than one of
/// one word. Offsets are constants to the verifier, which leaves nothing of the searching.
pub struct Words<const N: usize>([u64; N]);

impl<const N: usize> Words<N> {
    /// Reads `N` words.
    #[inline(always)]
    pub fn read(at: u64) -> Result<Self, Fault> {
        read(at).map(Self)
    }

    /// The word at an offset.
    #[inline(always)]
    pub fn at(&self, offset: u32) -> Result<u64, Fault> {
        for (n, word) in self.0.iter().enumerate() {
            if offset == 8 * n as u32 {
                return Ok(*word);
            }
        }
        Err(Fault)
    }

    /// The 32 bits at an offset.
    #[inline(always)]
    pub fn half(&self, offset: u32) -> Result<u32, Fault> {
        let word = self.at(offset & !7)?;
        Ok((word >> (8 * (offset & 4))) as u32)
    }

    /// The byte at an offset; 0 when it was not read.
    #[inline(always)]
    pub fn byte(&self, offset: u32) -> u8 {
        let word = self.at(offset & !7).unwrap_or(0);
        (word >> (8 * (offset & 7))) as u8
    }
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
