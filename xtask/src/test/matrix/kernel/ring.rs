//! The pages of the kernel's trace buffers (`trace_pipe_raw`), as they are: with them go instants
//! in nanoseconds, where the text has microseconds.

use anyhow::{Context, Result, ensure};

/// Bytes of a page of the buffer.
const PAGE: usize = 4096;
/// Its header: when it begins, and how many bytes of it are used.
const HEADER: usize = 16;
/// The bits of the second word that are the number of bytes.
const USED: u64 = 0xf_ffff;

/// Kinds of entries; smaller ones are the length in words.
const PADDING: u32 = 29;
const TIME_EXTEND: u32 = 30;
const TIME_STAMP: u32 = 31;
/// Number of the bits of a time that stand in the entry's first word.
const DELTA_BITS: u32 = 27;
/// The bits of an absolute time that an entry holds.
const STAMP: u64 = (1 << 59) - 1;

/// One event of a CPU.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// When, in nanoseconds of the trace's clock.
    pub ts_ns: u64,
    /// Its fields, the common ones first.
    pub bytes: &'a [u8],
}

/// The events in the pages of one CPU, in order.
///
/// # Errors
/// When the pages are not what the kernel writes.
pub fn entries(pages: &[u8]) -> Result<Vec<Entry<'_>>> {
    ensure!(pages.len().is_multiple_of(PAGE), "a page is cut");
    let mut all = Vec::new();
    for page in pages.chunks_exact(PAGE) {
        let mut now = u64::from(word(page, 0)?) | u64::from(word(page, 4)?) << 32;
        let used = usize::try_from(u64::from(word(page, 8)?) & USED)?;
        let page = page
            .get(..HEADER + used)
            .context("a page has too much in it")?;
        let mut at = HEADER;
        while at + 4 <= page.len() {
            let head = word(page, at)?;
            let (kind, delta) = (head & 31, u64::from(head >> 5));
            at += 4;
            let length = match kind {
                // The rest of the page is empty.
                PADDING if delta == 0 => break,
                PADDING => word(page, at)? as usize,
                TIME_EXTEND | TIME_STAMP => {
                    let time = delta | u64::from(word(page, at)?) << DELTA_BITS;
                    now = match kind {
                        TIME_EXTEND => now + time,
                        _ => now & !STAMP | time,
                    };
                    at += 4;
                    continue;
                }
                0 => {
                    // The length counts its own word.
                    let length = word(page, at)? as usize;
                    at += 4;
                    length.checked_sub(4).context("an entry has no length")?
                }
                words => words as usize * 4,
            };
            now += delta;
            let bytes = page.get(at..at + length).context("an entry is cut")?;
            at += length;
            if kind != PADDING {
                all.push(Entry { ts_ns: now, bytes });
            }
        }
    }
    Ok(all)
}

fn word(page: &[u8], at: usize) -> Result<u32> {
    let bytes = page.get(at..at + 4).context("an entry is cut")?;
    Ok(u32::from_le_bytes(bytes.try_into()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(words: &[u32]) -> Vec<u8> {
        let mut page = Vec::new();
        page.extend_from_slice(&1000_u64.to_le_bytes());
        page.extend_from_slice(&(words.len() as u64 * 4).to_le_bytes());
        page.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        page.resize(PAGE, 0);
        page
    }

    fn head(kind: u32, delta: u32) -> u32 {
        kind | delta << 5
    }

    #[test]
    fn every_kind_of_entry_is_read() {
        let mut pages = page(&[
            head(1, 5),
            0xaa,
            head(PADDING, 1),
            4,
            head(0, 2),
            8,
            0xbb,
            head(TIME_EXTEND, 3),
            1,
            head(1, 0),
            0xcc,
            head(TIME_STAMP, 7),
            0,
            head(1, 0),
            0xdd,
            head(PADDING, 0),
            99,
        ]);
        pages.extend(page(&[head(1, 1), 0xee]));
        let entries = entries(&pages).unwrap();
        let seen: Vec<_> = entries.iter().map(|e| (e.ts_ns, e.bytes[0])).collect();
        let extended = 1008 + 3 + (1 << 27);
        assert_eq!(
            seen,
            [
                (1005, 0xaa),
                (1008, 0xbb),
                (extended, 0xcc),
                (7, 0xdd),
                (1001, 0xee)
            ]
        );
    }

    #[test]
    fn what_is_cut_is_refused() {
        assert!(entries(&page(&[head(1, 5), 1])[..100]).is_err());
        assert!(entries(&page(&[head(2, 5), 1])).is_err());
        assert!(entries(&page(&[head(0, 5), 3])).is_err());
        assert_eq!(entries(&[]).unwrap(), []);
    }
}
