//! Live = replay, for every event that there can be.

use proptest::prelude::*;

use super::*;
use crate::event::{Event, strategies};
use crate::log::Writer;

/// What a live run writes while it keeps `log`, and what the replay of that log writes.
fn live_and_replayed(events: &[Event], format: Format, compressed: bool) -> (Vec<u8>, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(if compressed { "x.zst" } else { "x" });
    let mut writer = Writer::create(&path).unwrap();
    let mut session = Session::new(format);
    let mut live = Vec::new();
    for event in events {
        writer.append(event).unwrap();
        session.event(event.clone(), &mut live).unwrap();
    }
    session.finish(&mut live).unwrap();
    writer.finish().unwrap();
    let mut replayed = Vec::new();
    replay(&[path], format, &mut replayed, &mut Vec::new()).unwrap();
    (live, replayed)
}

/// Records of few failures, so that they meet.
fn few_ids(mut event: Event) -> Event {
    match &mut event {
        Event::Failure(failure) => {
            failure.id %= 4;
            (failure.refusals, failure.dirtied, failure.cached) = (1, failure.dirtied % 2, 0);
            failure.ts_ns %= 1 << 40;
        }
        Event::Refusal(record) => record.failure %= 4,
        Event::Dirtied(record) | Event::Cached(record) => record.failure %= 4,
        Event::Outcome(record) => record.failure %= 4,
        Event::Mark(mark) => mark.ts_ns %= 1 << 40,
        Event::Start(_) | Event::File(_) | Event::Holder(_) | Event::Loss(_) | Event::End(_) => {}
    }
    event
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn the_replay_of_a_log_gives_the_bytes_of_the_live_run(
        begin in strategies::start(),
        events in prop::collection::vec(strategies::event().prop_map(few_ids), 0..40),
        compressed: bool,
        width in 80..160_usize,
    ) {
        let events = [vec![Event::Start(Box::new(begin))], events].concat();
        for format in [Format::Json, Format::Table { width }, Format::Summary { width }] {
            let (live, replayed) = live_and_replayed(&events, format, compressed);
            prop_assert_eq!(String::from_utf8(live), String::from_utf8(replayed));
        }
    }
}
