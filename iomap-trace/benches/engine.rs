//! The engine alone: events from memory, verdicts counted and dropped. One group for each shape, and
//! in it one bench for each number of holders that are open at once.
//!
//! `IOMAP_TRACE_BENCH_EVENTS` sets the number of events of a run.

mod settings;
mod shapes;

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput, criterion_main};
use iomap_trace::correlate::Engine;
use iomap_trace::event::Event;
use std::hint::black_box;
use std::time::Duration;

use shapes::{Generator, Shape, Spec};

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Events of a run: enough that most of them meet all that is open.
const EVENTS: u64 = 300_000;

/// What is open at once: three decades.
const OPEN: [u64; 4] = [10, 100, 1_000, 10_000];

/// Events that the engine gets at a time, as from the reader of a log: they are made just before,
/// so that the time of the engine is not that of memory which nobody has touched.
const BATCH: usize = 1024;

/// What this thread has used of its core: what others use meanwhile does not count.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// How long the engine takes for these events, verdicts read and dropped.
fn judge(events: &[Event]) -> Duration {
    let Some(Event::Start(start)) = events.first() else {
        return Duration::ZERO;
    };
    let mut engine = Engine::new(start);
    let mut judged = Vec::new();
    let mut sums = (0, 0);
    let mut time = Duration::ZERO;
    let mut batch = Vec::with_capacity(BATCH);
    for events in events.chunks(BATCH) {
        batch.extend_from_slice(events);
        let began = cpu_time();
        for event in batch.drain(..) {
            engine.push(event, &mut judged);
            for judged in judged.drain(..) {
                sums.0 += 1;
                sums.1 += usize::from(!judged.verdict.holders.is_empty());
            }
        }
        time += cpu_time().saturating_sub(began);
    }
    let began = cpu_time();
    engine.finish(&mut judged);
    sums.0 += judged.len();
    black_box(sums);
    time + cpu_time().saturating_sub(began)
}

fn engine(criterion: &mut Criterion) {
    let count = settings::events(EVENTS);
    for shape in Shape::ALL {
        let mut group = criterion.benchmark_group(format!("engine/{shape}"));
        group.throughput(Throughput::Elements(count));
        group.sampling_mode(SamplingMode::Flat);
        for open in OPEN {
            let spec = Spec {
                open,
                ..Spec::usual(shape, count)
            };
            let events: Vec<Event> = Generator::new(spec).collect();
            group.bench_function(BenchmarkId::from_parameter(open), |bench| {
                bench.iter_custom(|times| (0..times).map(|_| judge(&events)).sum());
            });
        }
        group.finish();
    }
}

fn benches() {
    let mut criterion = settings::criterion();
    engine(&mut criterion);
    criterion.final_summary();
}

criterion_main!(benches);
