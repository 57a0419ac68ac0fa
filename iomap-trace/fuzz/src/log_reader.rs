//! Event logs.

use iomap_trace::log::Reader;
use iomap_trace::report::{Format, Session};
use std::io::Cursor;

const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Reads `input` as a log, plain or compressed as it is, and reports it in every format. What is
/// printed holds no control characters, its JSON is a log of the same report, and compression
/// changes nothing.
///
/// # Panics
/// When one of these does not hold.
pub fn log_reader(input: &[u8]) {
    let json = report(input, Format::Json);
    let table = report(input, Format::Table { width: 80 });
    assert_eq!(json.is_some(), table.is_some());
    let Some(json) = json else {
        return;
    };
    for text in table.into_iter().map(|report| report.text) {
        let text = String::from_utf8(text).expect("a table is text");
        let hostile = text.chars().find(|c| c.is_control() && *c != '\n');
        assert_eq!(hostile, None, "{text:?}");
    }
    if json.whole {
        let again = report(&json.text, Format::Json).expect("a report as JSON is a log");
        assert!(
            again.text == json.text,
            "{}",
            differ(&json.text, &again.text)
        );
    }
    if !input.starts_with(&ZSTD_MAGIC) {
        let again = report(&compressed(input), Format::Json).expect("it was a log uncompressed");
        assert!(
            again.text == json.text,
            "{}",
            differ(&json.text, &again.text)
        );
        assert_eq!(again.whole, json.whole);
    }
}

struct Report {
    text: Vec<u8>,
    /// Every line could be read, and was of a kind that is known.
    whole: bool,
}

/// The report of a log; `None` when it is none.
fn report(log: &[u8], format: Format) -> Option<Report> {
    let input = Box::new(Cursor::new(log.to_vec()));
    let mut reader = Reader::new("log", input).ok()?;
    let mut session = Session::new(format);
    let mut text = Vec::new();
    let mut whole = true;
    for event in reader.by_ref() {
        match event {
            Ok(event) => session.event(event, &mut text).expect("memory takes all"),
            Err(_) => whole = false,
        }
    }
    session.finish(&mut text).expect("memory takes all");
    let _ = reader.ending().warning(reader.name());
    Some(Report {
        text,
        whole: whole && reader.unknown() == 0,
    })
}

/// Two frames, which end anywhere.
fn compressed(log: &[u8]) -> Vec<u8> {
    let halves = log.split_at(log.len() / 2);
    let frames = [halves.0, halves.1].map(|half| zstd::encode_all(half, 1));
    frames
        .map(|frame| frame.expect("memory takes all"))
        .concat()
}

/// The first line in which two reports differ.
fn differ(one: &[u8], other: &[u8]) -> String {
    let (one, other) = (String::from_utf8_lossy(one), String::from_utf8_lossy(other));
    let lines = one.lines().zip(other.lines());
    let differing = lines.enumerate().find(|(_, (one, other))| one != other);
    differing.map_or_else(
        || "one report is longer".to_owned(),
        |(at, (one, other))| format!("line {}:\n{one}\n{other}", at + 1),
    )
}
