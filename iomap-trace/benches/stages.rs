//! What a report consists of, stage by stage on the same log and one core: to decompress it, to
//! parse its lines, the reader as a whole, the engine, and the engine with each output format.
//!
//! `IOMAP_TRACE_BENCH_EVENTS` sets the number of events of the log.

#![allow(
    clippy::expect_used,
    reason = "a bench that cannot read its own log has nothing to measure"
)]

mod settings;
mod shapes;

use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, Criterion, SamplingMode, Throughput, criterion_main};
use iomap_trace::correlate::Engine;
use iomap_trace::event::Event;
use iomap_trace::log::{Reader, Writer};
use iomap_trace::report::{Format, Session, replay};
use std::fs;
use std::hint::black_box;
use std::io::{self, Cursor, Read};
use std::path::Path;

use shapes::{Generator, Shape, Spec};

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Events of the log.
const EVENTS: u64 = 100_000;

/// Writes the log to both files.
fn write(events: &[Event], plain: &Path, zstd: &Path) {
    for path in [plain, zstd] {
        let mut log = Writer::create(path).expect("a log in a new directory");
        for event in events {
            log.append(event).expect("a log on a disk with space");
        }
        log.finish().expect("a log on a disk with space");
    }
}

fn parse(text: &[u8]) -> usize {
    let lines = text
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let event: Event = serde_json::from_slice(line).expect("a generated line");
            black_box(event);
        })
        .count()
}

fn read(bytes: &[u8]) -> usize {
    let input = Box::new(Cursor::new(bytes.to_vec()));
    let reader = Reader::new("bench", input).expect("a generated log");
    let mut count = 0;
    for event in reader {
        black_box(event.expect("a generated event"));
        count += 1;
    }
    count
}

fn judge(events: Vec<Event>) -> usize {
    let mut engine = None;
    let mut judged = Vec::new();
    let mut count = 0;
    for event in events {
        if let Event::Start(start) = &event {
            engine = Some(Engine::new(start));
        }
        let Some(engine) = &mut engine else { continue };
        engine.push(event, &mut judged);
        count += judged.len();
        judged.clear();
    }
    count
}

fn show(events: Vec<Event>, format: Format) {
    let mut session = Session::new(format);
    let mut out = io::sink();
    for event in events {
        session.event(event, &mut out).expect("a sink takes all");
    }
    session.finish(&mut out).expect("a sink takes all");
}

fn owned<T>(
    group: &mut BenchmarkGroup<WallTime>,
    name: &str,
    events: &[Event],
    work: impl Fn(Vec<Event>) -> T,
) {
    group.bench_function(name, |bench| {
        bench.iter_batched(
            || events.to_vec(),
            |events| black_box(work(events)),
            BatchSize::PerIteration,
        );
    });
}

fn stages(criterion: &mut Criterion) {
    let count = settings::events(EVENTS);
    let events: Vec<Event> = Generator::new(Spec::usual(Shape::Mixed, count)).collect();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (plain, zstd) = (
        dir.path().join("log.jsonl"),
        dir.path().join("log.jsonl.zst"),
    );
    write(&events, &plain, &zstd);
    let text = fs::read(&plain).expect("a log just written");
    let packed = fs::read(&zstd).expect("a log just written");

    let mut group = criterion.benchmark_group("stages");
    group.throughput(Throughput::Elements(count));
    group.sampling_mode(SamplingMode::Flat);
    group.bench_function("decompress", |bench| {
        let mut room = Vec::with_capacity(text.len());
        bench.iter(|| {
            room.clear();
            let mut decoder = zstd::Decoder::new(&packed[..]).expect("a decoder");
            decoder.read_to_end(&mut room).expect("zstd frames")
        });
    });
    group.bench_function("parse", |bench| bench.iter(|| parse(&text)));
    group.bench_function("reader-plain", |bench| bench.iter(|| read(&text)));
    group.bench_function("reader-zstd", |bench| bench.iter(|| read(&packed)));
    owned(&mut group, "engine", &events, judge);
    let width = 80;
    let table = Format::Table { width };
    owned(&mut group, "engine+summary", &events, |events| {
        show(events, Format::Summary { width });
    });
    owned(&mut group, "engine+table", &events, |events| {
        show(events, table);
    });
    owned(&mut group, "engine+json", &events, |events| {
        show(events, Format::Json);
    });
    for (name, format) in [("report-table", table), ("report-json", Format::Json)] {
        group.bench_function(name, |bench| {
            bench.iter(|| {
                let logs = [zstd.clone()];
                replay(&logs, format, &mut io::sink(), &mut io::sink()).expect("a report");
            });
        });
    }
    group.finish();
}

fn benches() {
    let mut criterion = settings::criterion();
    stages(&mut criterion);
    criterion.final_summary();
}

criterion_main!(benches);
