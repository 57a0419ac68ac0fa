//! A disk that fills up, or is not there any more.

use super::*;
use std::path::Path;

#[test]
fn a_full_disk_is_reported_once_and_keeps_whole_records() {
    let events = events(60);
    for compressed in [false, true] {
        let full = log(&events, compressed, 4);
        for room in (0..full.len()).step_by(37) {
            let disk = Disk::with_room(room);
            let mut writer = Writer::new(disk.clone(), "/x", compressed).unwrap();
            let mut errors = Vec::new();
            for chunk in events.chunks(4) {
                errors.extend(chunk.iter().filter_map(|event| writer.append(event).err()));
                errors.extend(writer.flush().err());
            }
            errors.extend(writer.finish().err());
            assert_eq!(errors.len(), 1, "room {room}");
            let kept = writer.records();
            assert_eq!(
                errors[0].to_string(),
                format!(
                    "event log /x: no space left on device: recording stopped after {kept} \
                     records, tracing goes on; free some space, or choose another file with -o"
                )
            );
            assert_eq!(kept + writer.dropped(), events.len() as u64);
            if kept > 0 {
                let (read, ending) = read(&disk.contents()).unwrap();
                assert_eq!(read, events[..kept as usize]);
                // Nothing torn is left behind.
                assert_eq!(ending, Ending::NoEnd);
            } else {
                assert!(disk.contents().is_empty());
            }
        }
    }
}

#[test]
fn what_cannot_be_cut_off_again_is_skipped_by_the_reader() {
    let events = events(60);
    let full = log(&events, false, 4);
    let disk = Disk {
        can_cut: false,
        ..Disk::with_room(full.len() / 2)
    };
    let mut writer = Writer::new(disk.clone(), "/x", false).unwrap();
    let failed = events
        .iter()
        .filter(|event| writer.append(event).is_err())
        .count();
    assert_eq!(failed + usize::from(writer.finish().is_err()), 1);
    let (read, ending) = read(&disk.contents()).unwrap();
    assert_eq!(read.len() as u64, writer.records());
    assert!(matches!(ending, Ending::Cut { .. }), "{ending:?}");
}

#[test]
fn much_that_has_gathered_is_flushed_without_being_asked() {
    let disk = Disk::with_room(1 << 30);
    let mut writer = Writer::new(disk.clone(), "/x", false).unwrap();
    for n in 0..20_000 {
        writer.append(&mark(n)).unwrap();
    }
    assert!(disk.contents().len() >= 256 << 10);
    drop(writer);
    assert_eq!(
        disk.contents()
            .iter()
            .filter(|byte| **byte == b'\n')
            .count(),
        20_000
    );
}

/// The kernel's own full disk.
#[test]
fn dev_full_is_one_clear_line() {
    let mut writer = Writer::create(Path::new("/dev/full")).unwrap();
    writer.append(&mark(1)).unwrap();
    let error = writer.flush().unwrap_err().to_string();
    assert!(
        error.contains("/dev/full: no space left on device"),
        "{error}"
    );
    writer.append(&mark(2)).unwrap();
    writer.finish().unwrap();
    assert_eq!((writer.records(), writer.dropped()), (0, 2));
}
