//! What is opened: files of every kind, logs of every version.

use super::*;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

fn error_of(bytes: &[u8]) -> String {
    read(bytes).unwrap_err().to_string()
}

/// A log whose `start` record was changed.
fn with_start(change: impl Fn(&mut Value)) -> Vec<u8> {
    let events = events(4);
    let mut start = serde_json::to_value(&events[0]).unwrap();
    change(&mut start);
    let mut bytes = serde_json::to_vec(&start).unwrap();
    bytes.push(b'\n');
    bytes.extend(log(&events[1..], false, 4));
    bytes
}

#[test]
fn a_new_log_is_private_and_an_old_one_is_emptied() {
    let dir = tempfile::tempdir().unwrap();
    let events = events(5);
    for name in ["x.jsonl", "x.jsonl.zst"] {
        let path = dir.path().join(name);
        for count in [5, 3] {
            let mut writer = Writer::create(&path).unwrap();
            events[..count]
                .iter()
                .for_each(|event| writer.append(event).unwrap());
            writer.finish().unwrap();
            assert_eq!(
                fs::metadata(&path).unwrap().permissions().mode() & 0o777,
                0o600
            );
            let mut reader = Reader::open(&path).unwrap();
            let read: Vec<_> = reader.by_ref().map(Result::unwrap).collect();
            assert_eq!(read, events[..count]);
        }
        let magic = fs::read(&path)
            .unwrap()
            .starts_with(&[0x28, 0xb5, 0x2f, 0xfd]);
        assert_eq!(magic, name.ends_with(".zst"));
    }
}

#[test]
fn a_symbolic_link_is_refused_and_its_target_untouched() {
    let dir = tempfile::tempdir().unwrap();
    let (target, link) = (dir.path().join("precious"), dir.path().join("log.jsonl"));
    fs::write(&target, "precious").unwrap();
    symlink(&target, &link).unwrap();
    let error = Writer::create(&link).err().unwrap().to_string();
    assert!(error.contains("is a symbolic link"), "{error}");
    assert_eq!(fs::read(&target).unwrap(), b"precious");
    let error = Writer::create(&dir.path().join("no/such"))
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("no such file or directory"), "{error}");
}

#[test]
fn compression_is_told_by_the_contents_not_the_name() {
    let dir = tempfile::tempdir().unwrap();
    let events = events(5);
    for (name, compressed) in [("plain.zst", false), ("compressed.jsonl", true)] {
        let path = dir.path().join(name);
        fs::write(&path, log(&events, compressed, 2)).unwrap();
        let read: Vec<_> = Reader::open(&path).unwrap().map(Result::unwrap).collect();
        assert_eq!(read, events);
    }
}

#[test]
fn foreign_files_are_one_clear_line() {
    for foreign in [
        &b"\x7fELF\0\0\0"[..],
        b"hello\nworld\n",
        b"{\"type\":\"mark\",\"ts_ns\":1}\n",
        b"\n",
    ] {
        assert_eq!(
            error_of(foreign),
            "test is not an iomap-trace event log: its first record is not \"start\""
        );
    }
    assert_eq!(
        error_of(b""),
        "test is not an iomap-trace event log: it is empty"
    );
    let directory = Reader::open(Path::new("/")).err().unwrap().to_string();
    assert_eq!(directory, "/ cannot be read: is a directory");
    let missing = Reader::open(Path::new("/no/such"))
        .err()
        .unwrap()
        .to_string();
    assert_eq!(
        missing,
        "/no/such cannot be read: no such file or directory"
    );
}

#[test]
fn a_newer_schema_is_refused_and_both_versions_named() {
    let newer = with_start(|start| {
        start["schema"] = json!(2);
        start["version"] = json!("9.1.0");
        // The rest may have changed.
        start["kernel"] = json!("Linux");
    });
    assert_eq!(
        error_of(&newer),
        format!(
            "test was written by iomap-trace 9.1.0 with log schema 2, and this is iomap-trace {}, \
             which reads schemas up to 1: use a newer iomap-trace",
            env!("CARGO_PKG_VERSION")
        )
    );
}

#[test]
fn a_start_that_lacks_something_says_what() {
    let error = error_of(&with_start(|start| {
        start.as_object_mut().unwrap().remove("boot_id");
    }));
    assert_eq!(
        error,
        "test: line 1 is not a record of log schema 1: missing field `boot_id`"
    );
}

#[test]
fn damage_in_the_middle_is_an_error_with_its_line() {
    let events = events(10);
    let mut bytes = log(&events, false, 10);
    let third = bytes
        .split_inclusive(|byte| *byte == b'\n')
        .take(2)
        .map(<[u8]>::len)
        .sum::<usize>();
    bytes[third] = b'#';
    let mut reader = Reader::new("test", Box::new(Cursor::new(bytes))).unwrap();
    assert!(reader.next().unwrap().is_ok());
    assert!(reader.next().unwrap().is_ok());
    let error = reader.next().unwrap().unwrap_err().to_string();
    assert_eq!(
        error,
        "test: line 3 is damaged: the events before it are valid"
    );
    assert!(reader.next().is_none());

    let mut bytes = log(&events, true, 3);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    let error = error_of(&bytes);
    assert!(error.contains("the log is damaged after line"), "{error}");
}

#[test]
fn records_of_the_future_are_skipped_and_counted() {
    let events = events(4);
    let mut bytes = log(&events[..3], false, 3);
    bytes.extend(b"{\"type\":\"of-the-future\",\"x\":1}\n");
    bytes.extend(b"{\"type\":\"verdict\",\"failure\":1}\n\n");
    bytes.extend(log(&events[3..], false, 1));
    bytes.extend(b"{\"type\":\"summary\"}\n");
    let mut reader = Reader::new("test", Box::new(Cursor::new(bytes))).unwrap();
    let read: Vec<_> = reader.by_ref().map(Result::unwrap).collect();
    assert_eq!(read, events);
    assert_eq!((reader.unknown(), reader.ending()), (1, Ending::Complete));
}

#[test]
fn logs_may_stand_one_after_the_other() {
    let events = events(6);
    for compressed in [false, true] {
        let mut bytes = log(&events, compressed, 4);
        bytes.extend(log(&events, compressed, 4));
        let (read, ending) = read(&bytes).unwrap();
        assert_eq!(read, [&events[..], &events[..]].concat());
        assert_eq!(ending, Ending::Complete);
    }
}
