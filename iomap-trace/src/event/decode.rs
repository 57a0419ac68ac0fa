//! Bytes of the ring buffer to the records of the ABI. Nothing in the bytes is trusted.

use iomap_trace_ebpf::{
    ABI_VERSION, FailureRecord, FolioEntry, Header, HolderRecord, MAX_FOLIOS, RECORD_FAILURE,
    RECORD_HOLDER, RECORD_REFUSAL, RefusalRecord,
};
use std::fmt;

/// A record of the ring buffer.
#[derive(Debug)]
pub enum Decoded {
    /// A failure with the folios that were still cached.
    Failure(Box<FailureRecord>),
    /// A holder.
    Holder(Box<HolderRecord>),
    /// A folio that was refused.
    Refusal(Box<RefusalRecord>),
}

/// Bytes that are not a record of this ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// Shorter than its kind needs, or than its head says.
    Short {
        /// Bytes there.
        len: usize,
    },
    /// Written by programs of another version.
    Abi(u16),
    /// No such kind.
    Kind(u16),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { len } => write!(f, "a record of {len} bytes is too short"),
            Self::Abi(found) => write!(f, "a record has ABI {found}, not {ABI_VERSION}"),
            Self::Kind(kind) => write!(f, "no record has kind {kind}"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// Structures without padding or invalid bit patterns, which may be copied from bytes.
///
/// # Safety
/// Every byte pattern must be a value of the type.
unsafe trait Plain: Sized {}

// SAFETY: integers only.
unsafe impl Plain for Header {}
// SAFETY: integers and arrays of integers only.
unsafe impl Plain for FailureRecord {}
// SAFETY: integers and arrays of integers only.
unsafe impl Plain for HolderRecord {}
// SAFETY: integers and structures of integers only.
unsafe impl Plain for RefusalRecord {}

/// A value from the front of `bytes`; what is missing behind them is zero.
fn copied<T: Plain>(bytes: &[u8]) -> Box<T> {
    let mut value = Box::<T>::new_uninit();
    let len = bytes.len().min(size_of::<T>());
    // SAFETY: the destination is `size_of::<T>()` bytes, zeroed first and then filled for at most
    // that many; every pattern is a value of a `Plain` type.
    unsafe {
        let to = value.as_mut_ptr().cast::<u8>();
        to.write_bytes(0, size_of::<T>());
        to.copy_from_nonoverlapping(bytes.as_ptr(), len);
        value.assume_init()
    }
}

/// Decodes one record.
///
/// # Errors
/// When the bytes are not a whole record of this ABI.
pub fn decode(bytes: &[u8]) -> Result<Decoded, DecodeError> {
    let short = DecodeError::Short { len: bytes.len() };
    if bytes.len() < size_of::<Header>() {
        return Err(short);
    }
    let head = copied::<Header>(bytes);
    if head.abi != ABI_VERSION {
        return Err(DecodeError::Abi(head.abi));
    }
    let needed = match head.kind {
        RECORD_FAILURE => FailureRecord::HEAD_LEN,
        RECORD_HOLDER => size_of::<HolderRecord>(),
        RECORD_REFUSAL => size_of::<RefusalRecord>(),
        kind => return Err(DecodeError::Kind(kind)),
    };
    if bytes.len() < needed || bytes.len() < head.len as usize {
        return Err(short);
    }
    if head.kind == RECORD_HOLDER {
        return Ok(Decoded::Holder(copied(bytes)));
    }
    if head.kind == RECORD_REFUSAL {
        return Ok(Decoded::Refusal(copied(bytes)));
    }
    let record = copied::<FailureRecord>(bytes);
    let folios = record.folios as usize;
    if folios > MAX_FOLIOS || bytes.len() < needed + folios * size_of::<FolioEntry>() {
        return Err(short);
    }
    Ok(Decoded::Failure(record))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes_of<T>(value: &T) -> Vec<u8> {
        // SAFETY: the tests only pass ABI structures, which have no padding.
        unsafe { std::slice::from_raw_parts((&raw const *value).cast::<u8>(), size_of::<T>()) }
            .to_vec()
    }

    #[test]
    fn a_holder_comes_back() {
        let holder = HolderRecord {
            head: Header::new(RECORD_HOLDER, size_of::<HolderRecord>() as u32),
            pos: 7,
            ..HolderRecord::default()
        };
        let bytes = bytes_of(&holder);
        assert!(matches!(decode(&bytes), Ok(Decoded::Holder(found)) if *found == holder));
        assert!(matches!(
            decode(&bytes[..bytes.len() - 1]),
            Err(DecodeError::Short { .. })
        ));
    }

    #[test]
    fn another_abi_is_refused() {
        let mut head = Header::new(RECORD_HOLDER, 8);
        head.abi = ABI_VERSION + 1;
        assert_eq!(
            decode(&bytes_of(&head)).unwrap_err(),
            DecodeError::Abi(ABI_VERSION + 1)
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(mut bytes: Vec<u8>, kind in 0u16..5) {
            if bytes.len() >= 4 {
                bytes[..2].copy_from_slice(&ABI_VERSION.to_le_bytes());
                bytes[2..4].copy_from_slice(&kind.to_le_bytes());
            }
            let _ = decode(&bytes);
        }

        #[test]
        fn a_failure_never_claims_more_folios_than_it_has(
            folios in 0u32..200, len in 0usize..5000,
        ) {
            let mut bytes = vec![0u8; len.max(FailureRecord::HEAD_LEN)];
            bytes[..8].copy_from_slice(&bytes_of(&Header::new(RECORD_FAILURE, 0)));
            let at = std::mem::offset_of!(FailureRecord, folios);
            bytes[at..at + 4].copy_from_slice(&folios.to_le_bytes());
            if let Ok(Decoded::Failure(record)) = decode(&bytes) {
                let end = FailureRecord::HEAD_LEN + record.folios as usize * size_of::<FolioEntry>();
                prop_assert!(end <= bytes.len());
            }
        }
    }
}
