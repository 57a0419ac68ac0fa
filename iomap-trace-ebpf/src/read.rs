//! Reads of kernel memory by the layout that user space resolved, and the counters.

use aya_ebpf::Global;
use aya_ebpf::helpers::bpf_probe_read_kernel;
use aya_ebpf::helpers::generated::bpf_probe_read_kernel as read_kernel;
use iomap_trace_ebpf::{CAST_CALL, Counter, Layout, MISSING, Settings};

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

/// Reads a value at a kernel address to where it is wanted, past the stack.
#[inline(always)]
pub fn read_into<T>(address: u64, value: &mut T) -> Result<(), Fault> {
    let value = &raw mut *value;
    // SAFETY: as in `read`; the value is as long as said, and any bytes are one.
    match unsafe { read_kernel(value.cast(), size_of::<T>() as u32, address as *const _) } {
        0 => Ok(()),
        _ => {
            count(Counter::ReadFault);
            Err(Fault)
        }
    }
}

/// Reads an integer of a structure that the kernel uses at this moment, since it has just handed it
/// to the probed function. Where [`casts`], by an instruction instead of a helper, which costs a
/// tenth: the kernel's fault handler makes a read that fails one of zero, and nobody is told.
#[inline(always)]
pub fn peek<T: Copy>(address: u64) -> Result<T, Fault> {
    if !casts() {
        return read(address);
    }
    // SAFETY: user space has made it a call of `bpf_rdonly_cast`, which has this type.
    let cast: unsafe extern "C" fn(u64, u64) -> *const T =
        unsafe { core::mem::transmute(CAST_CALL as usize) };
    let ty = setting!(cast_type) as u64;
    // SAFETY: as said: the read cannot do harm, whatever the address.
    Ok(unsafe { core::ptr::read_volatile(cast(address, ty)) })
}

/// Whether [`peek`] needs no helper: a constant to the verifier.
#[inline(always)]
pub fn casts() -> bool {
    setting!(cast_type) != 0
}

/// A pointer, unless it is null.
#[inline(always)]
pub fn some(pointer: u64) -> Result<u64, Fault> {
    if pointer == 0 {
        Err(Fault)
    } else {
        Ok(pointer)
    }
}

/// The begin of a structure as in [`peek`]. With a helper it is read at once: a read of several
/// words costs little more than one of one word. Offsets are constants to the verifier, which
/// leaves nothing of the searching.
pub struct Words<const N: usize> {
    address: u64,
    words: [u64; N],
}

impl<const N: usize> Words<N> {
    /// Reads `N` words.
    #[inline(always)]
    pub fn read(address: u64) -> Result<Self, Fault> {
        let words = if casts() { [0; N] } else { read(address)? };
        Ok(Self { address, words })
    }

    /// The word at an offset.
    #[inline(always)]
    pub fn at(&self, offset: u32) -> Result<u64, Fault> {
        if casts() {
            return self.peek(offset);
        }
        for (n, word) in self.words.iter().enumerate() {
            if offset == 8 * n as u32 {
                return Ok(*word);
            }
        }
        Err(Fault)
    }

    /// The 32 bits at an offset.
    #[inline(always)]
    pub fn half(&self, offset: u32) -> Result<u32, Fault> {
        if casts() {
            return self.peek(offset);
        }
        let word = self.at(offset & !7)?;
        Ok((word >> (8 * (offset & 4))) as u32)
    }

    /// The byte at an offset; 0 when it was not read.
    #[inline(always)]
    pub fn byte(&self, offset: u32) -> u8 {
        if casts() {
            return self.peek(offset).unwrap_or(0);
        }
        let word = self.at(offset & !7).unwrap_or(0);
        (word >> (8 * (offset & 7))) as u8
    }

    #[inline(always)]
    fn peek<T: Copy>(&self, offset: u32) -> Result<T, Fault> {
        if offset == MISSING {
            return Err(Fault);
        }
        peek(self.address.wrapping_add(offset as u64))
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

/// Reads a member of the structure at `$base` by [`read()`].
macro_rules! member {
    ($base:expr, $slot:ident as $type:ty) => {
        $crate::read::member_by!(read, $base, $slot as $type)
    };
}

/// As [`member!`], by [`peek`].
macro_rules! glance {
    ($base:expr, $slot:ident as $type:ty) => {
        $crate::read::member_by!(peek, $base, $slot as $type)
    };
}

/// A member that this kernel lacks is a fault.
macro_rules! member_by {
    ($read:ident, $base:expr, $slot:ident as $type:ty) => {{
        let offset = $crate::read::offset!($slot);
        if offset == iomap_trace_ebpf::MISSING {
            Err($crate::read::Fault)
        } else {
            $crate::read::$read::<$type>(u64::wrapping_add($base, offset as u64))
        }
    }};
}

pub(crate) use {glance, member, member_by, offset, setting};
