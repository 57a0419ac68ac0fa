//! The kernel's direct write path beside the reference: one schedule, once for each column.

mod ack;
mod generate;
mod record;
mod runner;
mod schedule;
mod target;
mod verify;
mod worker;

pub use generate::Mix;
pub use record::{Content, Kind, OpId, Record, Seen};
pub use runner::{Place, Ran, run};
pub use schedule::{Op, Role, SCHEMA, Schedule, Thread};
pub use target::Column;
pub use verify::{Evidence, Finding, Findings, Found, verify};
