//! `bpf_rdonly_cast`, by which the programs read kernel memory without a helper (since 6.2).

use iomap_trace_ebpf::CAST_CALL;

use crate::kernel::Types;

/// `BPF_JMP | BPF_CALL`.
const CALL: u8 = 0x85;
/// `BPF_PSEUDO_KFUNC_CALL`, in the upper half of the byte of registers.
const OF_KERNEL: u8 = 2 << 4;
/// `r0 = 0`.
const NOTHING: [u8; 8] = [0xb7, 0, 0, 0, 0, 0, 0, 0];

/// What the verifier is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cast {
    /// Id of the function in the types of vmlinux.
    function: u32,
    /// Id of `struct pt_regs` there.
    pub ty: u32,
}

impl Cast {
    /// Whether this kernel has it.
    pub fn find(types: &Types) -> Option<Self> {
        Some(Self {
            function: types.vmlinux_function("bpf_rdonly_cast")?,
            ty: types.vmlinux_struct("pt_regs")?,
        })
    }
}

/// The object with its placeholders filled in: calls of the function, or nothing.
pub fn put(object: &[u8], cast: Option<Cast>) -> Vec<u8> {
    let mut placeholder = [CALL, 0, 0, 0, 0, 0, 0, 0];
    placeholder[4..].copy_from_slice(&CAST_CALL.to_le_bytes());
    let mut filled = NOTHING;
    if let Some(cast) = cast {
        filled = placeholder;
        filled[1] = OF_KERNEL;
        filled[4..].copy_from_slice(&cast.function.to_le_bytes());
    }
    let mut object = object.to_vec();
    // Instructions begin at multiples of their length, in the file as well.
    for instruction in object.chunks_exact_mut(8) {
        if instruction == placeholder {
            instruction.copy_from_slice(&filled);
        }
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_placeholders_are_filled_in() {
        let mut call = [0x85, 0, 0, 0, 0, 0, 0, 0];
        call[4..].copy_from_slice(&CAST_CALL.to_le_bytes());
        let helper = [0x85, 0, 0, 0, 113, 0, 0, 0];
        let object = [helper, call, helper].concat();
        assert_eq!(put(&object, None)[8..16], NOTHING);
        let cast = Cast {
            function: 0x0102_0304,
            ty: 5,
        };
        let filled = put(&object, Some(cast));
        assert_eq!(filled[8..16], [0x85, 0x20, 0, 0, 4, 3, 2, 1]);
        assert_eq!(filled[..8], helper);
        assert_eq!(filled[16..], helper);
    }
}
