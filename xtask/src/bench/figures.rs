//! All that a run of the bench found.

use serde::Serialize;

use super::fit::Fit;
use super::micro::Bench;
use super::reports::Report;
use super::rivals::Rival;

/// Events a second that the engine is to do on one core.
pub const ENGINE_RATE: f64 = 5e6;
/// Events a second that a report is to do on two cores.
pub const REPORT_RATE: f64 = 1e6;
/// Bytes that a report may take beyond what is open.
pub const REPORT_BYTES: u64 = 64 << 20;
/// How many times faster than DuckDB a report is to be.
pub const RATIO: f64 = 5.0;

/// Everything.
#[derive(Debug, Default, Serialize)]
pub struct Figures {
    /// The engine, by shape.
    pub engine: Vec<Shape>,
    /// The stages of a report on one core.
    pub stages: Vec<Bench>,
    /// Whole reports.
    pub reports: Vec<Report>,
    /// Joins of the same log.
    pub joins: Vec<Join>,
}

/// The engine on one shape.
#[derive(Debug, Serialize)]
pub struct Shape {
    /// Shape.
    pub shape: String,
    /// What is open at once, and nanoseconds an event.
    pub points: Vec<(u64, f64)>,
    /// How cost grows.
    pub fit: Option<Fit>,
    /// No faster than the logarithm.
    pub no_faster_than_log: bool,
}

/// The joins of one log.
#[derive(Debug, Serialize)]
pub struct Join {
    /// Shape of the log.
    pub shape: String,
    /// Its records.
    pub events: u64,
    /// All that found something found the same.
    pub agree: bool,
    /// This program first.
    pub rows: Vec<Rival>,
}

impl Figures {
    /// Puts criterion's benches in their places.
    pub fn sort_in(&mut self, benches: Vec<Bench>) {
        for bench in benches {
            let shape = bench.group.strip_prefix("engine/");
            let (Some(shape), Ok(open)) = (shape, bench.name.parse()) else {
                self.stages.push(bench);
                continue;
            };
            let at = self.engine.iter().position(|known| known.shape == shape);
            let at = at.unwrap_or_else(|| {
                self.engine.push(Shape {
                    shape: shape.to_owned(),
                    points: Vec::new(),
                    fit: None,
                    no_faster_than_log: false,
                });
                self.engine.len() - 1
            });
            self.engine[at].points.push((open, bench.ns));
        }
        for shape in &mut self.engine {
            shape.points.sort_by_key(|(open, _)| *open);
            shape.fit = Fit::of(&shape.points);
            shape.no_faster_than_log = shape.fit.is_some_and(|fit| fit.no_faster_than_log());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn benches_find_their_places() {
        let bench = |group: &str, name: &str, ns| Bench {
            group: group.to_owned(),
            name: name.to_owned(),
            ns,
        };
        let mut figures = Figures::default();
        figures.sort_in(vec![
            bench("engine/mixed", "100", 110.0),
            bench("stages", "parse", 500.0),
            bench("engine/mixed", "10", 100.0),
            bench("engine/mixed", "1000", 120.0),
        ]);
        assert_eq!(figures.stages.len(), 1);
        assert_eq!(
            figures.engine[0].points,
            [(10, 100.0), (100, 110.0), (1_000, 120.0)]
        );
        assert!(figures.engine[0].no_faster_than_log);
    }
}
