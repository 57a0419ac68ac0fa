//! Sends records of variable length.

use aya_ebpf::helpers::generated::bpf_ringbuf_output;
use iomap_trace_ebpf::Counter;

use crate::maps::EVENTS;
use crate::read::count;

/// Sends the first `len` bytes of a record; counts it as lost when the ring buffer is full.
///
/// # Safety
/// `record` must be valid for `len` bytes.
#[inline(always)]
pub unsafe fn send<T>(record: *const T, len: usize, lost: Counter) {
    // A ring buffer map is a transparent map definition.
    let map = (&raw const EVENTS).cast_mut().cast();
    // SAFETY: the verifier checks `record` and `len`.
    if unsafe { bpf_ringbuf_output(map, record.cast_mut().cast(), len as u64, 0) } != 0 {
        count(lost);
    }
}
