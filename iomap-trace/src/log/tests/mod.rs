//! The writer and the reader together.

mod ahead;
mod cut;
mod full_disk;
mod kinds;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use std::io::{self, Cursor, Read, Write};
use std::sync::{Arc, Mutex};

use super::{Ending, Reader, Sink, Writer};
use crate::event::{Event, Mark, strategies};

/// A disk that holds `room` bytes.
#[derive(Clone, Debug, Default)]
struct Disk {
    bytes: Arc<Mutex<Vec<u8>>>,
    room: usize,
    can_cut: bool,
}

impl Disk {
    fn with_room(room: usize) -> Self {
        Self {
            bytes: Arc::default(),
            room,
            can_cut: true,
        }
    }

    fn contents(&self) -> Vec<u8> {
        self.bytes.lock().unwrap().clone()
    }
}

impl Write for Disk {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let mut bytes = self.bytes.lock().unwrap();
        let room = self.room - bytes.len();
        if room == 0 {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        // Never all at once, as a disk that fills up does.
        let len = data.len().min(room).min(1000);
        bytes.extend_from_slice(&data[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Disk {
    fn cut(&mut self, len: u64) -> io::Result<()> {
        if !self.can_cut {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        self.bytes.lock().unwrap().truncate(len as usize);
        Ok(())
    }

    fn settle(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Some records of every kind, always the same, `start` first and `end` last.
fn events(count: usize) -> Vec<Event> {
    let mut runner = TestRunner::deterministic();
    let mut events = vec![Event::Start(Box::new(
        strategies::start().new_tree(&mut runner).unwrap().current(),
    ))];
    while events.len() < count - 1 {
        let event = strategies::event().new_tree(&mut runner).unwrap().current();
        if !matches!(event, Event::Start(_) | Event::End(_)) {
            events.push(event);
        }
    }
    events.push(Event::End(Box::default()));
    events
}

/// The bytes of a log, flushed after every `every` records.
fn log(events: &[Event], compressed: bool, every: usize) -> Vec<u8> {
    let disk = Disk::with_room(1 << 30);
    let mut writer = Writer::new(disk.clone(), "test", compressed).unwrap();
    for chunk in events.chunks(every) {
        for event in chunk {
            writer.append(event).unwrap();
        }
        writer.flush().unwrap();
    }
    writer.finish().unwrap();
    assert_eq!(writer.records(), events.len() as u64);
    assert_eq!(writer.bytes(), disk.contents().len() as u64);
    disk.contents()
}

/// Reads a whole log.
fn read(bytes: &[u8]) -> anyhow::Result<(Vec<Event>, Ending)> {
    let mut reader = Reader::new("test", Box::new(Cursor::new(bytes.to_vec())))?;
    let events = reader.by_ref().collect::<anyhow::Result<_>>()?;
    Ok((events, reader.ending()))
}

fn mark(ts_ns: u64) -> Event {
    Event::Mark(Mark { ts_ns })
}
