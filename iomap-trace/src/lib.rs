//! iomap-trace says why page-cache invalidation fails under direct I/O, and who the other party was.
//!
//! Data flows one way: [`kernel`] and [`probe`] set the programs up, [`capture`] turns their records
//! into [`event`]s, [`log`] keeps them, [`correlate`] makes verdicts of them, [`report`] prints those.
//! A live run and the replay of its log go through the same code.

pub mod audit;
pub mod bundle;
pub mod capture;
pub mod cli;
pub mod clock;
pub mod correlate;
pub mod cost;
pub mod error;
pub mod event;
pub mod kernel;
pub mod log;
pub mod probe;
pub mod reference;
pub mod report;
mod rng;
pub mod text;
pub mod workload;
