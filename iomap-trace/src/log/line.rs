//! One line of a log to one event.

use serde_json::Value;

use super::fixup;
use crate::event::{Event, SCHEMA};

/// What a line holds.
#[derive(Debug)]
pub(super) enum Line {
    /// A record.
    Event(Box<Event>),
    /// A record that is made of others: a verdict, a summary.
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
    "start", "failure", "refusal", "dirtied", "cached", "outcome", "holder", "mark", "end",
];

/// Types of the records that `report` makes itself.
const DERIVED: &[&str] = &["verdict", "summary"];

/// Reads a line, without its newline, of a log of schema `schema`.
pub(super) fn parse(line: &[u8], schema: u32) -> Line {
    if schema == SCHEMA {
        // The common way, without an intermediate value.
        if let Ok(event) = serde_json::from_slice(line) {
            return Line::Event(Box::new(event));
        }
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
            Ok(event) => Line::Event(Box::new(event)),
            Err(error) => Line::Malformed(error.to_string()),
        },
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
                    prop_assert_eq!(&*read, &event);
                    prop_assert_eq!(serde_json::to_vec(&read).expect("JSON"), line);
                }
                other => prop_assert!(false, "{:?}", other),
            }
        }

        #[test]
        fn no_line_makes_the_parser_panic(line: Vec<u8>) {
            let _ = parse(&line, SCHEMA);
            let _ = head(&line);
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
