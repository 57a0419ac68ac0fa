//! Whoever reads ahead reads the same, whatever the bytes; and both read what a reader that takes
//! one line after the other would.

use super::super::line::{self, Head, Line};
use super::*;
use crate::event::SCHEMA;
use proptest::prelude::*;
use proptest::sample::Index;

/// Everything that can be seen of a reader.
#[derive(Debug, PartialEq)]
struct Seen {
    events: Vec<Event>,
    error: Option<String>,
    ending: Ending,
    unknown: u64,
    bytes_read: u64,
}

/// Gives at most `step` bytes at a time, and an error at its end if it is to.
struct Slow {
    input: Cursor<Vec<u8>>,
    step: usize,
    fails: bool,
}

impl Read for Slow {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let len = out.len().min(self.step);
        match self.input.read(&mut out[..len])? {
            0 if self.fails && len > 0 => Err(io::Error::from_raw_os_error(libc::EIO)),
            read => Ok(read),
        }
    }
}

fn seen(bytes: &[u8], step: usize, fails: bool, parsers: Option<usize>) -> Result<Seen, String> {
    let input = Cursor::new(bytes.to_vec());
    let input = Box::new(Slow { input, step, fails });
    let mut reader = Reader::new("test", input).map_err(|error| error.to_string())?;
    if let Some(parsers) = parsers {
        reader = reader.ahead_with(parsers);
    }
    let (mut events, mut error) = (Vec::new(), None);
    for event in reader.by_ref() {
        match event {
            Ok(event) => events.push(event),
            Err(why) => error = Some(why.to_string()),
        }
    }
    assert!(reader.next().is_none() && reader.batch().is_none());
    Ok(Seen {
        events,
        error,
        ending: reader.ending(),
        unknown: reader.unknown(),
        // A reader that was told to stop has read some bytes more, or not.
        bytes_read: reader.bytes_read(),
    })
}

/// The rules, for a plain log that is read without an error: one line after the other.
fn by_the_rules(bytes: &[u8]) -> Result<Seen, String> {
    let mut seen = Seen {
        events: Vec::new(),
        error: None,
        ending: Ending::NoEnd,
        unknown: 0,
        bytes_read: bytes.len() as u64,
    };
    if bytes.is_empty() {
        return Err("it is empty".to_owned());
    }
    let lines: Vec<_> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    for (n, raw) in lines.iter().enumerate() {
        let text = raw.trim_ascii();
        if (n == 0 || raw.starts_with(br#"{"type":"start""#))
            && !matches!(line::head(text), Head::Start(_))
        {
            let why = "a head that cannot be read".to_owned();
            if n == 0 {
                return Err(why);
            }
            seen.error = Some(why);
            break;
        }
        if text.is_empty() {
            continue;
        }
        match line::parse(text, SCHEMA) {
            Line::Event(event) => {
                seen.ending = match event {
                    Event::End(_) => Ending::Complete,
                    _ => Ending::NoEnd,
                };
                seen.events.push(event);
            }
            Line::Derived => {}
            Line::Unknown => {
                seen.unknown += 1;
                seen.ending = Ending::NoEnd;
            }
            Line::Damaged if n + 1 == lines.len() => {
                let bytes_ignored = raw.len() as u64;
                seen.ending = Ending::Cut { bytes_ignored };
            }
            Line::Damaged => {
                let number = n + 1;
                seen.error = Some(format!(
                    "test: line {number} is damaged: the events before it are valid"
                ));
                break;
            }
            Line::Malformed(why) => {
                let number = n + 1;
                seen.error = Some(format!(
                    "test: line {number} is not a record of log schema {SCHEMA}: {why}"
                ));
                break;
            }
        }
    }
    Ok(seen)
}

/// What happens to a log on its way.
#[derive(Clone, Debug)]
enum Damage {
    Cut(Index),
    Flip(Index, u8),
    Splice(Index, Vec<u8>),
    Drop(Index, usize),
    Zeros(usize),
    Again,
}

fn damage() -> impl Strategy<Value = Damage> {
    let lines = prop::sample::select(vec![
        "{\"type\":\"of-the-future\",\"x\":1}\n",
        "{\"type\":\"verdict\",\"failure\":1}\n",
        "{\"type\":\"mark\"}\n",
        "\n{\"type\":\"start\",\"schema\":7,\"version\":\"9\"}\n",
        "\n{\"type\":\"start\"}\n",
        "\n\n \n",
        "\n",
    ]);
    let splice = prop_oneof![
        lines.prop_map(|line| line.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..9),
    ];
    prop_oneof![
        any::<Index>().prop_map(Damage::Cut),
        any::<(Index, u8)>().prop_map(|(at, byte)| Damage::Flip(at, byte)),
        (any::<Index>(), splice).prop_map(|(at, bytes)| Damage::Splice(at, bytes)),
        (any::<Index>(), 1..99_usize).prop_map(|(at, len)| Damage::Drop(at, len)),
        (1..9_usize).prop_map(Damage::Zeros),
        Just(Damage::Again),
    ]
}

fn damaged(mut bytes: Vec<u8>, damage: &[Damage]) -> Vec<u8> {
    for damage in damage {
        let len = bytes.len();
        match damage {
            Damage::Cut(at) => bytes.truncate(at.index(len + 1)),
            Damage::Flip(at, byte) if len > 0 => bytes[at.index(len)] ^= byte,
            Damage::Flip(..) => {}
            Damage::Splice(at, more) => {
                let at = at.index(len + 1);
                // Mostly between two lines.
                let line = bytes[..at].iter().rposition(|b| *b == b'\n');
                let at = line.map_or(at, |newline| newline + 1);
                bytes.splice(at..at, more.iter().copied());
            }
            Damage::Drop(at, count) => {
                let at = at.index(len + 1);
                bytes.drain(at..(at + count).min(len));
            }
            Damage::Zeros(count) => bytes.extend(std::iter::repeat_n(0, *count)),
            Damage::Again => bytes.extend_from_within(..),
        }
    }
    bytes
}

fn compare(bytes: &[u8], step: usize, fails: bool, parsers: usize, plain: bool) {
    let alone = seen(bytes, step, fails, None);
    let ahead = seen(bytes, step, fails, Some(parsers));
    match (&alone, ahead) {
        (Ok(alone), Ok(mut ahead)) => {
            if alone.error.is_some() {
                assert!(ahead.bytes_read >= alone.bytes_read);
                ahead.bytes_read = alone.bytes_read;
            }
            assert_eq!(*alone, ahead);
        }
        (alone, ahead) => assert_eq!(*alone, ahead),
    }
    if !plain || fails {
        return;
    }
    match (alone, by_the_rules(bytes)) {
        (Ok(mut alone), Ok(ruled)) => {
            if alone.error.is_some() {
                alone.bytes_read = ruled.bytes_read;
            }
            if ruled.error.as_deref() == Some("a head that cannot be read") {
                assert!(alone.error.is_some());
                alone.error.clone_from(&ruled.error);
            }
            assert_eq!(alone, ruled);
        }
        (alone, ruled) => assert_eq!(alone.is_err(), ruled.is_err()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_same_is_read_ahead(
        count in 2..30_usize,
        every in 1..9_usize,
        compressed: bool,
        damage in prop::collection::vec(damage(), 0..4),
        step in prop_oneof![Just(usize::MAX), 1..400_usize],
        fails in prop::bool::weighted(0.2),
        parsers in 1..4_usize,
    ) {
        let bytes = damaged(log(&events(count), compressed, every), &damage);
        let plain = !bytes.starts_with(&crate::log::ZSTD_MAGIC);
        compare(&bytes, step, fails, parsers, plain);
    }
}

/// More than one piece, so that threads have something to do.
#[test]
fn a_large_log_is_read_in_order() {
    let mut events = events(30);
    let end = events.pop().unwrap();
    events.extend((0..120_000).map(mark));
    events.push(end);
    let dir = tempfile::tempdir().unwrap();
    for name in ["x.jsonl", "x.jsonl.zst"] {
        let path = dir.path().join(name);
        let mut bytes = log(&events, name.ends_with("zst"), 5_000);
        for damage in [false, true] {
            if damage {
                let mut middle = bytes.len() / 2;
                if name == "x.jsonl" {
                    // The first byte of a record: others can be damaged and leave a record.
                    let rest = bytes[middle..].iter();
                    middle += 1 + rest.take_while(|byte| **byte != b'\n').count();
                }
                bytes[middle] ^= 0x55;
            }
            std::fs::write(&path, &bytes).unwrap();
            let read = |reader: Reader| {
                let mut reader = reader;
                let read: Vec<_> = reader
                    .by_ref()
                    .map(|e| e.map_err(|e| e.to_string()))
                    .collect();
                (read, reader.ending(), reader.unknown())
            };
            let alone = read(Reader::open(&path).unwrap());
            let ahead = read(Reader::open(&path).unwrap().ahead_with(3));
            assert!(alone == ahead, "{name}");
            let errors = alone.0.iter().filter(|event| event.is_err()).count();
            assert_eq!(errors, usize::from(damage));
            if !damage {
                assert!(alone.0.into_iter().map(Result::unwrap).eq(events.clone()));
            }
        }
    }
}

/// A line that is too long is cut, and what follows is another.
#[test]
fn a_line_without_end_is_damage() {
    let mut bytes = log(&events(3), false, 3);
    bytes.extend(std::iter::repeat_n(b'x', 17 << 20));
    for parsers in [None, Some(2)] {
        let seen = seen(&bytes, usize::MAX, false, parsers).unwrap();
        assert_eq!(seen.events, events(3));
        assert_eq!(
            seen.error.unwrap(),
            "test: line 4 is damaged: the events before it are valid"
        );
    }
}

/// Nobody has to read a log to its end.
#[test]
fn a_reader_can_be_dropped_at_any_time() {
    let mut events = events(30);
    events.extend((0..50_000).map(mark));
    let bytes = log(&events, false, 5_000);
    for taken in [0, 1, 10_000] {
        let input = Box::new(Cursor::new(bytes.clone()));
        let reader = Reader::new("test", input).unwrap().ahead_with(2);
        assert_eq!(reader.take(taken).map(Result::unwrap).count(), taken);
    }
}
