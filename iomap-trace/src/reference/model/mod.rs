//! The executable model: direct writes and whoever stands in their way, as a discrete-event
//! simulation with a virtual clock.
//!
//! Each party (direct writers, the flusher, workers that complete ordered extents, whoever dirties,
//! reads, locks) is a small machine of atomic steps over one shared world: the page cache, the extent
//! io tree, the work queue, the disk. A [`Scenario`] says who takes part; the same scenario always
//! gives the same [`Run`]. What a tracer would have recorded is beside the truth.
//!
//! The model shares the assumptions of the correlator: an unlock takes effect within 50 ms of its
//! event, and within 10 us where somebody tries for the range meanwhile and gets it; an attempt to
//! lock takes less than 1 ms; work on an ordered extent ends within 20 ms of its unlock; no range is
//! held for 2 s; and, where folios are only found by a walk of the page cache, none of the range is
//! dirtied between the invalidation and that walk.

mod cache;
mod cast;
mod failure;
mod flush;
mod invalidate;
mod kernel;
mod lock;
mod locker;
mod party;
mod play;
mod scenario;
mod schedule;
mod script;
mod stream;
mod tape;
#[cfg(test)]
mod tests;
mod tree;
mod truth;
mod world;
mod writer;

pub use kernel::Kernel;
pub use play::Run;
pub use scenario::Scenario;
pub use script::Culprit;
pub use stream::Degrade;
pub use truth::{Reason, Truth};
pub use world::{Fs, Line, Shape};
