//! A log cut at any byte.

use super::*;

/// Where the whole records of a plain log end, the newline left out.
fn record_ends(bytes: &[u8]) -> Vec<usize> {
    (0..bytes.len()).filter(|at| bytes[*at] == b'\n').collect()
}

#[test]
fn a_plain_log_cut_at_any_byte_gives_every_whole_record() {
    let events = events(40);
    let bytes = log(&events, false, 7);
    let ends = record_ends(&bytes);
    assert_eq!(ends.len(), events.len());
    for cut in 0..=bytes.len() {
        let whole = ends.iter().filter(|end| **end <= cut).count();
        match read(&bytes[..cut]) {
            Ok((read, ending)) => {
                assert_eq!(read, events[..whole], "cut at {cut}");
                let rest = cut - ends[whole - 1].min(cut);
                let expected = match rest {
                    _ if whole == events.len() => Ending::Complete,
                    0 | 1 => Ending::NoEnd,
                    rest => Ending::Cut {
                        bytes_ignored: rest as u64 - 1,
                    },
                };
                assert_eq!(ending, expected, "cut at {cut}");
            }
            Err(error) => {
                assert_eq!(whole, 0, "cut at {cut}: {error}");
                let error = error.to_string();
                let words = if cut == 0 {
                    "is empty"
                } else {
                    "cut inside its first record"
                };
                assert!(error.contains(words), "cut at {cut}: {error}");
            }
        }
    }
}

#[test]
fn a_compressed_log_cut_at_any_byte_gives_every_whole_frame() {
    let events = events(40);
    let every = 3;
    let bytes = log(&events, true, every);
    // Where each frame ends, from the lengths of the logs of its beginnings.
    let ends: Vec<usize> = events
        .chunks(every)
        .scan(0, |records, chunk| {
            *records += chunk.len();
            Some(log(&events[..*records], true, every).len())
        })
        .collect();
    assert_eq!(ends.last(), Some(&bytes.len()));
    for cut in 0..=bytes.len() {
        let frames = ends.iter().filter(|end| **end <= cut).count();
        let whole = (frames * every).min(events.len());
        match read(&bytes[..cut]) {
            Ok((read, ending)) => {
                // A frame that lacks only its checksum gives its records.
                assert!(
                    read.len() >= whole && read.len() <= whole + every,
                    "cut at {cut}"
                );
                assert_eq!(read, events[..read.len()], "cut at {cut}");
                let start = frames.checked_sub(1).map_or(0, |frame| ends[frame]);
                let expected = match cut - start {
                    _ if read.len() == events.len() => Ending::Complete,
                    0 => Ending::NoEnd,
                    rest => Ending::Cut {
                        bytes_ignored: rest as u64,
                    },
                };
                assert_eq!(ending, expected, "cut at {cut}");
            }
            Err(error) => {
                assert_eq!(frames, 0, "cut at {cut}: {error}");
                let error = error.to_string();
                let words = if cut == 0 {
                    "is empty"
                } else {
                    "cut inside its first record"
                };
                assert!(error.contains(words), "cut at {cut}: {error}");
            }
        }
    }
}

/// A flush larger than a zstd block: the records of the whole blocks are read.
#[test]
fn whole_lines_of_a_cut_frame_are_read() {
    let mut events = events(3);
    let end = events.pop().unwrap();
    events.extend((0..20_000).map(|n| mark(n * n * n)));
    events.push(end);
    let bytes = log(&events, true, events.len());
    let (read, ending) = read(&bytes[..bytes.len() - 10]).unwrap();
    assert!(
        read.len() > 1000 && read.len() < events.len(),
        "{}",
        read.len()
    );
    assert_eq!(read, events[..read.len()]);
    assert!(matches!(ending, Ending::Cut { .. }), "{ending:?}");
}

#[test]
fn zeros_that_a_power_failure_left_are_a_cut() {
    let events = events(10);
    for compressed in [false, true] {
        let mut bytes = log(&events[..9], compressed, 2);
        bytes.extend([0; 5000]);
        let (read, ending) = read(&bytes).unwrap();
        assert_eq!(read, events[..9]);
        assert_eq!(
            ending,
            Ending::Cut {
                bytes_ignored: 5000
            }
        );
    }
}

#[test]
fn a_missing_tail_is_said_in_one_line() {
    assert_eq!(Ending::Complete.warning("x"), None);
    assert_eq!(
        Ending::Cut { bytes_ignored: 17 }
            .warning("x.jsonl")
            .unwrap(),
        "x.jsonl: the log's tail is missing (its last 17 bytes are no whole record): \
         what happened last and the losses are not known"
    );
}
