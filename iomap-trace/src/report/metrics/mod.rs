//! The figures of a run for Prometheus, as OpenMetrics text.
//!
//! The sets of labels are bounded: causes, phases and outcomes by this program, filesystems by the
//! kernel, devices by [`DEVICES`]; further devices are `other` together. Files, processes and
//! cgroups are no labels: the event log has them.

mod classic;
mod counts;
mod holds;
mod page;
#[cfg(test)]
mod tests;

pub use classic::classic;
pub use counts::{Counts, DEVICES};
pub use page::{Present, page};
