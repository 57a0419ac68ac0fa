//! One line of a log to one event.

use serde::Deserialize;
use serde_json::Value;

use super::{fixup, scan};
use crate::event::{Event, SCHEMA};

/// What a line holds.
#[derive(Debug)]
pub(super) enum Line {
    /// A record.
    Event(Event),
    /// A record that is made of others, or says nothing of failures: a verdict, a summary, what a
    /// second cost.
    Derived,
    /// A record of a type this version does not know.
    Unknown,
    /// No JSON object: damaged.
    Damaged,
    /// A record that lacks what its type has, with the reason.
    Malformed(String),
}

/// Types of the records this version reads.
const TYPES: &[&str] = &[
    "start", "failure", "refusal", "dirtied", "cached", "outcome", "file", "holder", "loss",
    "mark", "end",
];

/// Length of the longest of them.
const LONGEST: usize = 7;

/// Types of the records that `report` makes itself, and that a live run adds on standard output.
const DERIVED: &[&str] = &["verdict", "summary", "cost"];

/// Reads a line, without its newline, of a log of schema `schema`.
pub(super) fn parse(line: &[u8], schema: u32) -> Line {
    if schema == SCHEMA
        && let Some(event) = scan::event(line)
            .or_else(|| written(line))
            .or_else(|| serde_json::from_slice(line).ok())
    {
        return Line::Event(event);
    }
    let Ok(mut record) = serde_json::from_slice::<Value>(line) else {
        return Line::Damaged;
    };
    fixup::apply(&mut record, schema);
    match record.get("type").and_then(Value::as_str) {
        None => Line::Damaged,
        Some(name) if DERIVED.contains(&name) => Line::Derived,
        Some(name) if !TYPES.contains(&name) => Line::Unknown,
        Some(_) => match serde_json::from_value(record) {
            Ok(event) => Line::Event(event),
            Err(error) => Line::Malformed(error.to_string()),
        },
    }
}

/// A record as the writer writes it, its type first. Knowing the type beforehand spares the
/// intermediate value in which serde keeps the fields of a tagged enum until it has found the tag.
fn written(line: &[u8]) -> Option<Event> {
    fn of<'a, T: Deserialize<'a>>(line: &'a [u8], event: impl Fn(T) -> Event) -> Option<Event> {
        // The type is one field more than the structure has, and skipped.
        serde_json::from_slice(line).ok().map(event)
    }
    let rest = line.strip_prefix(br#"{"type":""#)?;
    let end = rest.iter().take(LONGEST + 1).position(|b| *b == b'"')?;
    match &rest[..end] {
        b"start" => of(line, Event::Start),
        b"failure" => of(line, Event::Failure),
        b"refusal" => of(line, Event::Refusal),
        b"dirtied" => of(line, Event::Dirtied),
        b"cached" => of(line, Event::Cached),
        b"outcome" => of(line, Event::Outcome),
        b"file" => of(line, Event::File),
        b"holder" => of(line, Event::Holder),
        b"loss" => of(line, Event::Loss),
        b"mark" => of(line, Event::Mark),
        b"end" => of(line, Event::End),
        _ => None,
    }
}

/// What the first line tells of the log.
#[derive(Debug)]
pub(super) enum Head {
    /// A `start` record of this schema.
    Start(u32),
    /// A `start` record of a schema that is too new, and the version that wrote it.
    Newer(u64, String),
    /// Something else.
    Foreign,
}

/// Looks at a `start` record only as far as every schema has it.
pub(super) fn head(line: &[u8]) -> Head {
    let Ok(record) = serde_json::from_slice::<Value>(line) else {
        return Head::Foreign;
    };
    let schema = record.get("schema").and_then(Value::as_u64);
    match (record.get("type").and_then(Value::as_str), schema) {
        (Some("start"), Some(schema @ 1..)) => match u32::try_from(schema) {
            Ok(schema) if schema <= SCHEMA => Head::Start(schema),
            _ => {
                let version = record.get("version").and_then(Value::as_str);
                Head::Newer(schema, version.unwrap_or("of unknown version").to_owned())
            }
        },
        _ => Head::Foreign,
    }
}

/// Whether `line` can be the beginning of a `start` record as the writer writes it.
pub(super) fn begins_start(line: &[u8]) -> bool {
    const BEGINNING: &[u8] = br#"{"type":"start","#;
    let len = line.len().min(BEGINNING.len());
    line[..len] == BEGINNING[..len]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::strategies;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_event_survives_its_line(event in strategies::event()) {
            let line = serde_json::to_vec(&event).expect("an event is valid JSON");
            prop_assert!(!line.contains(&b'\n'));
            match parse(&line, SCHEMA) {
                Line::Event(read) => {
                    prop_assert_eq!(&read, &event);
                    prop_assert_eq!(serde_json::to_vec(&read).expect("JSON"), line);
                }
                other => prop_assert!(false, "{:?}", other),
            }
        }

        /// By its type, as a tagged enum, and by way of a value whose keys are in another order.
        #[test]
        fn every_way_to_read_a_line_gives_the_same(event in strategies::event()) {
            let line = serde_json::to_vec(&event).expect("an event is valid JSON");
            let short = written(&line);
            prop_assert_eq!(short.as_ref(), Some(&event));
            let generic: Event = serde_json::from_slice(&line).expect("an event");
            prop_assert_eq!(&generic, &event);
            let scanned = scan::event(&line);
            prop_assert!(scanned.is_none_or(|scanned| scanned == event));
            let value: Value = serde_json::from_slice(&line).expect("JSON");
            let sorted = serde_json::to_vec_pretty(&value).expect("JSON");
            prop_assert_eq!(written(&sorted), None);
            prop_assert!(matches!(parse(&sorted, SCHEMA), Line::Event(read) if read == event));
        }

        /// A damaged record is never read differently because its type came first.
        #[test]
        fn damage_is_the_same_to_the_short_way(
            event in strategies::event(), at: prop::sample::Index, byte: u8, cut: bool,
        ) {
            let mut line = serde_json::to_vec(&event).expect("an event is valid JSON");
            let at = at.index(line.len());
            line[at] = byte;
            if cut {
                line.truncate(at);
            }
            for read in [written(&line), scan::event(&line)].into_iter().flatten() {
                prop_assert_eq!(serde_json::from_slice::<Event>(&line).ok(), Some(read));
            }
        }

        /// Common records take the shortest way: text without escapes is all they need.
        #[test]
        fn common_records_are_scanned(event in strategies::event()) {
            let line = serde_json::to_vec(&event).expect("an event is valid JSON");
            let rare = matches!(
                event,
                Event::Start(_) | Event::File(_) | Event::Loss(_) | Event::End(_)
            );
            if !rare && !line.contains(&b'\\') {
                prop_assert_eq!(scan::event(&line), Some(event));
            }
        }

        #[test]
        fn no_line_makes_the_parser_panic(line: Vec<u8>) {
            let _ = parse(&line, SCHEMA);
            let _ = head(&line);
        }
    }

    #[test]
    fn the_types_are_those_of_the_events() {
        assert_eq!(TYPES.iter().map(|name| name.len()).max(), Some(LONGEST));
        for name in TYPES {
            let line = format!(r#"{{"type":"{name}","x":1}}"#);
            match parse(line.as_bytes(), SCHEMA) {
                Line::Malformed(why) => assert!(why.contains("missing field"), "{name}: {why}"),
                other => panic!("{name}: {other:?}"),
            }
        }
    }

    #[test]
    fn other_lines_are_told_apart() {
        let parse = |text: &str| parse(text.as_bytes(), SCHEMA);
        assert!(matches!(
            parse(r#"{"type":"verdict","failure":1}"#),
            Line::Derived
        ));
        assert!(matches!(
            parse(r#"{"type":"of-the-future"}"#),
            Line::Unknown
        ));
        assert!(matches!(parse(r#"{"type":"mark","ts_n"#), Line::Damaged));
        assert!(matches!(parse("[]"), Line::Damaged));
        match parse(r#"{"type":"mark"}"#) {
            Line::Malformed(why) => assert!(why.contains("ts_ns"), "{why}"),
            other => panic!("{other:?}"),
        }
        // A field of the future does no harm.
        assert!(matches!(
            parse(r#"{"type":"mark","ts_ns":1,"new":2}"#),
            Line::Event(_)
        ));
    }
}
