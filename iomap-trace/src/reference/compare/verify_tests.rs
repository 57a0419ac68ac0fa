use proptest::collection::vec;
use proptest::prelude::*;

use super::super::record::{contents, fill};
use super::*;
use crate::workload::stamp;

const SECTORS: u64 = 4;
const BYTES: usize = SECTORS as usize * SECTOR;

fn id(op: u32) -> OpId {
    OpId {
        thread: 0,
        round: 0,
        op,
    }
}

/// A direct write of whole sectors.
fn write(op: u32, sectors: std::ops::Range<u64>, begin_ns: u64, end_ns: u64) -> Record {
    let len = (sectors.end - sectors.start) * SECTOR as u64;
    Record {
        pos: sectors.start * SECTOR as u64,
        len,
        begin_ns,
        end_ns,
        result: len as i64,
        ..Record::new(id(op), Some(Role::DirectWriter), Kind::Write, None)
    }
}

/// An image: the number of the write that each sector has.
fn image(writes: &[Option<u32>]) -> Vec<u8> {
    let mut bytes = vec![0; BYTES];
    for (at, (sector, write)) in bytes.chunks_mut(SECTOR).zip(writes).enumerate() {
        let pos = (at * SECTOR) as u64;
        match write {
            Some(op) => fill(sector, id(*op), pos),
            None => stamp::fill(sector, stamp::INITIAL, 0, pos),
        }
    }
    bytes
}

fn judged(records: &[Record], disk: &[Option<u32>]) -> Findings {
    let disk = image(disk);
    verify(&Evidence {
        records,
        seen: &[],
        cache: &disk,
        disk: &disk,
    })
}

#[test]
fn what_was_written_last_is_right_and_what_overlaps_is_either() {
    let records = [write(1, 0..4, 10, 20), write(2, 1..3, 15, 30)];
    let found = judged(&records, &[Some(1), Some(1), Some(2), Some(1)]);
    assert_eq!(found.lost, Found::default());
    assert_eq!(found.acknowledged, 2);
    let records = [write(1, 0..4, 10, 20), write(2, 1..3, 21, 30)];
    let found = judged(&records, &[Some(1), Some(1), Some(1), Some(1)]);
    assert_eq!((found.lost.ranges, found.lost.bytes), (1, 1024));
    let example = found.lost.examples[0];
    assert_eq!((example.pos, example.len), (512, 1024));
    assert_eq!(example.has, Content::Write(id(1)));
    assert_eq!(example.instead_of, Some(Content::Write(id(2))));
}

#[test]
fn the_first_contents_are_lost_writes_and_strangers_are_foreign() {
    let records = [write(1, 0..2, 10, 20)];
    let found = judged(&records, &[None, Some(1), None, Some(9)]);
    assert_eq!((found.lost.ranges, found.foreign.ranges), (1, 1));
    assert_eq!(found.foreign.examples[0].pos, 3 * SECTOR as u64);
    // A write that is real, but was made elsewhere.
    let found = judged(&records, &[Some(1), Some(1), Some(1), None]);
    assert_eq!(found.foreign.ranges, 1);
}

#[test]
fn a_failed_write_may_have_been_done_at_any_time() {
    let mut failed = write(1, 0..4, 10, 20);
    failed.result = -16;
    let records = [failed, write(2, 0..4, 30, 40)];
    let found = judged(&records, &[Some(1), Some(2), Some(1), Some(2)]);
    assert_eq!(found.lost.ranges, 0);
    assert_eq!(found.acknowledged, 1);
}

#[test]
fn a_neighbour_of_a_store_is_told_apart() {
    let mut store = write(3, 0..1, 25, 40);
    store.role = Some(Role::MmapWriter);
    let records = [write(1, 0..4, 10, 20), write(2, 2..3, 22, 30), store];
    let found = judged(&records, &[Some(3), Some(1), Some(1), Some(1)]);
    assert_eq!((found.lost.ranges, found.neighbour.ranges), (0, 1));
}

#[test]
fn a_sector_of_several_is_torn_unless_words_were_stored() {
    let mut records = [write(1, 0..2, 10, 20), write(2, 0..2, 15, 30)];
    let mut disk = image(&[Some(1), Some(2), None, None]);
    let other = image(&[Some(2), Some(1), None, None]);
    disk[256..512].copy_from_slice(&other[256..512]);
    let verdict = |records: &[Record]| {
        verify(&Evidence {
            records,
            seen: &[],
            cache: &disk,
            disk: &disk,
        })
    };
    let found = verdict(&records);
    assert_eq!((found.torn.ranges, found.mixed.ranges), (1, 0));
    records[1].role = Some(Role::MmapWriter);
    let found = verdict(&records);
    assert_eq!((found.torn.ranges, found.mixed.ranges), (0, 1));
}

#[test]
fn stale_ranges_name_both_writes() {
    let records = [write(1, 0..4, 10, 20), write(2, 0..4, 30, 40)];
    let found = verify(&Evidence {
        records: &records,
        seen: &[],
        cache: &image(&[Some(2), Some(1), Some(1), Some(2)]),
        disk: &image(&[Some(2); 4]),
    });
    assert_eq!((found.stale.ranges, found.stale.bytes), (1, 1024));
    let example = found.stale.examples[0];
    assert_eq!(example.has, Content::Write(id(2)));
    assert_eq!(example.instead_of, Some(Content::Write(id(1))));
    assert_eq!(found.lost.ranges, 0);
}

#[test]
fn examples_are_few_and_everything_is_counted() {
    let mut found = Found::default();
    for at in 0..100 {
        let finding = |pos| Finding {
            pos,
            len: 512,
            has: Content::Torn,
            instead_of: None,
            read: None,
        };
        found.add(finding(at * 4096));
        found.add(finding(at * 4096 + 512));
    }
    assert_eq!((found.ranges, found.bytes), (100, 100 * 1024));
    assert_eq!(found.examples.len(), EXAMPLES);
    assert!(found.examples.iter().all(|example| example.len == 1024));
}

/// A number of a write, its sectors, when, how it ended, and whether it was direct.
fn any_write() -> impl Strategy<Value = (u64, u64, u64, u64, u8, bool)> {
    (
        0..SECTORS,
        1..=SECTORS,
        0..40u64,
        0..12u64,
        0..8u8,
        any::<bool>(),
    )
}

fn records(raw: &[(u64, u64, u64, u64, u8, bool)], fsyncs: &[(u64, u64, bool)]) -> Vec<Record> {
    let mut records: Vec<_> = (0..)
        .zip(raw)
        .map(|(op, (first, sectors, begin, takes, how, direct))| {
            let end = (first + sectors).min(SECTORS);
            let mut record = write(op, *first..end, *begin, begin + takes);
            match how {
                0 => record.result = -16,
                1 => record.result = SECTOR as i64,
                _ => {}
            }
            if !direct {
                record.role = Some(Role::BufferedWriter);
            }
            record
        })
        .collect();
    let mut at = 0;
    for (number, (after, takes, ok)) in (0..).zip(fsyncs) {
        let begin = at + after;
        at = begin + takes;
        let mut record = Record::new(id(1000 + number), None, Kind::Fsync, None);
        record.id.thread = 7;
        (record.begin_ns, record.end_ns) = (begin, at);
        record.result = if *ok { 0 } else { -5 };
        records.push(record);
    }
    records
}

/// By the definition, one pair at a time.
fn lost_by_force(records: &[Record], disk: &[Option<u32>]) -> Vec<bool> {
    let faults = ack::faults(records);
    let acked = |write: &&Record| {
        let synced = || {
            let calls = || records.iter().filter(|r| r.kind == Kind::Fsync);
            let Some(after) = calls().find(|call| call.begin_ns >= write.end_ns) else {
                return false;
            };
            let between = |call: &&Record| {
                call.begin_ns < write.end_ns && call.end_ns > write.begin_ns && call.result < 0
            };
            after.result >= 0 && calls().filter(between).count() == 0
        };
        let direct = write.role == Some(Role::DirectWriter) && !faults;
        write.kind == Kind::Write && write.result > 0 && (direct || synced())
    };
    let lost = |(sector, has): (u64, &Option<u32>)| {
        let has = has.map(|op| *records.iter().find(|r| r.id == id(op)).unwrap());
        records.iter().filter(acked).any(|write| {
            write.done_sectors().contains(&sector)
                && has.is_none_or(|has| has.whole() && has.end_ns < write.begin_ns)
        })
    };
    (0..).zip(disk).map(lost).collect()
}

proptest! {
    #[test]
    fn the_fast_way_finds_what_the_definition_says(
        raw in vec(any_write(), 1..8),
        fsyncs in vec((0..12u64, 0..12u64, any::<bool>()), 0..5),
        picks in vec(any::<prop::sample::Index>(), SECTORS as usize),
    ) {
        let records = records(&raw, &fsyncs);
        // A sector holds the first contents, or a write to it.
        let disk: Vec<_> = (0..).zip(&picks).map(|(sector, pick)| {
            let mut writers: Vec<_> = records.iter()
                .filter(|r| r.kind == Kind::Write && r.covers(sector))
                .map(|r| Some(r.id.op))
                .collect();
            writers.push(None);
            writers[pick.index(writers.len())]
        }).collect();
        let found = judged(&records, &disk);
        let expected = lost_by_force(&records, &disk);
        let bytes = expected.iter().filter(|lost| **lost).count() * SECTOR;
        prop_assert_eq!(found.lost.bytes, bytes as u64);
        prop_assert_eq!(found.foreign.ranges + found.neighbour.ranges + found.torn.ranges, 0);
    }

    #[test]
    fn a_read_is_stale_by_the_definition(
        raw in vec(any_write(), 1..8),
        pick in any::<prop::sample::Index>(),
        begin_ns in 0..60u64,
    ) {
        let records = records(&raw, &[]);
        let has = pick.index(records.len() + 1);
        let content = records.get(has).map_or(Content::Initial, |r| Content::Write(r.id));
        let seen = [Seen { first: 0, sectors: SECTORS, content, begin_ns, by: id(99) }];
        let disk = image(&[None; SECTORS as usize]);
        let found = verify(&Evidence { records: &records, seen: &seen, cache: &disk, disk: &disk });
        let stale = |sector: &u64| records.iter().any(|write| {
            let had = records.get(has).map_or(Some(0), |r| r.whole().then_some(r.end_ns));
            write.result > 0 && write.done_sectors().contains(sector)
                && write.end_ns < begin_ns && had.is_some_and(|had| had < write.begin_ns)
        });
        let expected = (0..SECTORS).filter(stale).count() * SECTOR;
        prop_assert_eq!(found.stale_reads.bytes, expected as u64);
    }

    #[test]
    fn an_image_is_read_as_it_was_made(writes in vec(proptest::option::of(0..9u32), SECTORS as usize)) {
        let runs = contents(&image(&writes), 0);
        let back: Vec<_> = runs.iter().flat_map(|(_, sectors, content)| {
            std::iter::repeat_n(*content, *sectors as usize)
        }).collect();
        let expected: Vec<_> = writes.iter().map(|op| match op {
            Some(op) => Content::Write(id(*op)),
            None => Content::Initial,
        }).collect();
        prop_assert_eq!(back, expected);
    }
}
