//! The engine alone: events from memory, verdicts counted and dropped. One group for each shape, and
//! in it one bench for each number of holders that are open at once.
//!
//! `IOMAP_TRACE_BENCH_EVENTS` sets the number of events of a run.

mod settings;
mod shapes;

use criterion::{BatchSize, BenchmarkId, Criterion, SamplingMode, Throughput, criterion_main};
use iomap_trace::correlate::Engine;
use iomap_trace::event::Event;
use std::hint::black_box;

use shapes::{Generator, Shape, Spec};

/// Events of a run: enough that most of them meet all that is open.
const EVENTS: u64 = 300_000;

/// What is open at once: three decades.
const OPEN: [u64; 4] = [10, 100, 1_000, 10_000];

fn events(spec: Spec) -> Vec<Event> {
    Generator::new(spec).collect()
}

/// Number of verdicts, and of those that name a holder.
fn judge(events: Vec<Event>) -> (usize, usize) {
    let mut engine = None;
    let mut judged = Vec::new();
    let mut sums = (0, 0);
    for event in events {
        if let Event::Start(start) = &event {
            engine = Some(Engine::new(start));
        }
        let Some(engine) = &mut engine else { continue };
        engine.push(event, &mut judged);
        for judged in judged.drain(..) {
            sums.0 += 1;
            sums.1 += usize::from(!judged.verdict.holders.is_empty());
        }
    }
    if let Some(mut engine) = engine {
        engine.finish(&mut judged);
    }
    (sums.0 + judged.len(), sums.1)
}

fn engine(criterion: &mut Criterion) {
    let count = settings::events(EVENTS);
    for shape in Shape::ALL {
        let mut group = criterion.benchmark_group(format!("engine/{shape}"));
        group.throughput(Throughput::Elements(count));
        group.sampling_mode(SamplingMode::Flat);
        for open in OPEN {
            let events = events(Spec {
                open,
                ..Spec::usual(shape, count)
            });
            group.bench_function(BenchmarkId::from_parameter(open), |bench| {
                bench.iter_batched(
                    || events.clone(),
                    |events| black_box(judge(events)),
                    BatchSize::PerIteration,
                );
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
